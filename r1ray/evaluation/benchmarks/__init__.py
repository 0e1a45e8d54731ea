"""Benchmarks as data: a file in ``conf/benchmark/`` defines how rows of a published set become prompts with a check.

    conf/benchmark/NAME.yaml --definition--> Benchmark --+
    the user's local copy    --files--> rows ------------+--reader--> Items and a report --(evaluate)--> metrics

Nothing here downloads anything.
"""
