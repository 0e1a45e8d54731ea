r"""Mathematical answers, compared with the reference.

    text -> extract -> exact (strings, fractions, sixty digits) --- decided -------------------------------> Score
                          `- undecided -> guard -> a killable process: math-verify, second opinion --------> Score

``verifier.MathVerifier`` is the entry. This package imports neither sympy nor math-verify outside the processes that
``worker`` runs in, so that importing it is cheap.
"""
