"""Software engineering: a repository, an issue, tools to work on it, and tests that judge the result.

    row --rows.py--> snapshot (archives.py), tests --> working tree (tools.py) --the last turn--> verdict (judgement.py)
                                                            `-- commands, tests: the sandbox (runner.py)

``world`` is the environment ``repository``. This package decides what the policy is told and which of its changes are
kept; commands and tests are the model's programs, and run in the sandbox.
"""
