"""The metrics of ``r1ray eval`` (paper section 3), as functions of what was sampled and how it was judged.

    answers, correctness --consensus--> one vote a question --+
    correctness -----------------------------------------------+--statistics--> a metric and its 95 % interval
    contest places -------elo--> ratings ----------------------+
    texts ------telemetry.reflection--> how often the model re-evaluates, with quotes
    a generator and a value --search--> answers of best-of-n and tree search at equal token budgets (section 4.2)

Axis suffixes: ``Q`` questions, ``K`` samples of a question, ``R`` resamples, ``N`` contestants.
"""
