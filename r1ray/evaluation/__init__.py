"""Metrics of ``r1ray eval`` (paper section 3), as functions of samples and their outcomes.

    answers, correctness --consensus--> one vote a question --+
    correctness -----------------------------------------------+--statistics--> a metric and its 95 % interval
    contest places -------elo--> ratings ----------------------+
    texts ------telemetry.reflection--> frequency of re-evaluation by the model, with quotes
    a generator and a value --search--> answers of best-of-n and tree search with equal token budgets (section 4.2)

Axis suffixes: ``Q`` questions, ``K`` samples of a question, ``R`` resamples, ``N`` contestants.
"""
