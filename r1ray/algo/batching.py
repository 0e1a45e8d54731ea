"""How a step's completions become minibatches, ranks and micro-batches. Pure planning: nothing is moved.

A minibatch's loss is a sum over tokens with global denominators, so none of these choices changes a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from r1ray.types import Minibatch, Pick, Shard


def split_minibatches(num_items: int, *, num_minibatches: int, seed: int) -> list[list[int]]:
    """A random split of ``range(num_items)`` into parts whose sizes differ by at most one (paper: one rollout is
    split into 16 minibatches for one inner epoch)."""
    order = np.random.default_rng(seed).permutation(num_items)
    return [part.tolist() for part in np.array_split(order, num_minibatches) if len(part)]


def balance(lengths: Sequence[int], *, num_parts: int) -> list[list[int]]:
    """Indices of ``lengths`` in ``num_parts`` parts of nearly equal total length: longest first, each to the part
    that has least."""
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    totals = [0] * num_parts
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        least = totals.index(min(totals))
        parts[least].append(index)
        totals[least] += lengths[index]
    return parts


def pack_rows(lengths: Sequence[int], *, max_tokens: int) -> list[list[int]]:
    """Indices of ``lengths`` in micro-batches of padded rows: rows of like length together, and
    rows * longest row <= ``max_tokens``.

    Raises ValueError where one row alone is longer than ``max_tokens``.
    """
    microbatches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if lengths[index] > max_tokens:
            raise ValueError(f"a sequence of {lengths[index]} tokens does not fit {max_tokens} tokens a micro-batch")
        if microbatches and lengths[microbatches[-1][0]] * (len(microbatches[-1]) + 1) <= max_tokens:
            microbatches[-1].append(index)
        else:
            microbatches.append([index])
    return microbatches


def plan_shards(
    picks: Sequence[Pick],
    num_completion_tokens: Sequence[int],
    *,
    num_minibatches: int,
    num_ranks: int,
    max_tokens_per_microbatch: int,
    learner_version: int,
    seed: int,
) -> tuple[Shard, ...]:
    """One shard for each rank. Every rank has the same number of micro-batches in every minibatch, because ZeRO's
    collectives need all ranks in each backward pass; a rank with fewer gets empty ones at the end. A minibatch with
    nothing to train on is left out.

    Args:
        num_completion_tokens: completion tokens of each pick, for the global denominators. A pick with 0 goes to no
            rank, but counts among the sequences of its minibatch.
    """
    by_rank: list[list[Minibatch]] = [[] for _ in range(num_ranks)]
    for members in split_minibatches(len(picks), num_minibatches=num_minibatches, seed=seed):
        trained = [i for i in members if num_completion_tokens[i]]
        if not trained:
            continue
        num_tokens = sum(num_completion_tokens[i] for i in trained)
        parts = balance([picks[i].num_tokens for i in trained], num_parts=num_ranks)
        rows_by_rank = [[picks[trained[i]] for i in part] for part in parts]
        plans = [
            pack_rows([pick.num_tokens for pick in rows], max_tokens=max_tokens_per_microbatch) for rows in rows_by_rank
        ]
        longest = max(len(plan) for plan in plans)
        for rank, (rows, plan) in enumerate(zip(rows_by_rank, plans, strict=True)):
            microbatches = tuple(tuple(rows[i] for i in micro) for micro in plan)
            by_rank[rank].append(
                Minibatch(
                    microbatches=microbatches + ((),) * (longest - len(plan)),
                    num_sequences=len(members),
                    num_tokens=num_tokens,
                )
            )
    return tuple(Shard(tuple(minibatches), learner_version) for minibatches in by_rank)
