"""A small generated benchmark of repositories: toy packages with planted bugs, an issue for each, and tests.

``programs`` has the packages, their tests and the bugs; ``task`` makes repositories and rows from them, by a seed;
``__main__`` writes them as files: ``python -m r1ray.examples.toy_repositories FOLDER``.
"""
