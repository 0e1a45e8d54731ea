"""Software engineering: a repository, an issue, tools to work on it, and tests that judge what is left.

    row --rows.py--> snapshot (archives.py), tests --> working tree (tools.py) --the last turn--> verdict (judgement.py)
                                                            `-- commands, tests: the sandbox (runner.py)

``world`` is the environment ``repository``. What is said to the policy, and what becomes of its files, is decided here;
commands and tests are programs of the model's, and run in the sandbox.
"""
