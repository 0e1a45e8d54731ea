"""How a step's trajectories become minibatches, ranks and micro-batches. Pure planning: nothing is moved.

A minibatch's loss is a sum over tokens with global denominators, so none of these choices changes a gradient.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

import numpy as np

from r1ray.types import Minibatch, SampleRef, Shard


def split_minibatches(num_items: int, *, num_minibatches: int, seed: int) -> list[list[int]]:
    """A random split of ``range(num_items)`` into parts whose sizes differ by at most one (paper: one rollout is
    split into 16 minibatches for one inner epoch)."""
    order = np.random.default_rng(seed).permutation(num_items)
    return [part.tolist() for part in np.array_split(order, num_minibatches) if len(part)]


def balance(lengths: Sequence[int], *, num_parts: int) -> list[list[int]]:
    """Indices of ``lengths`` in ``num_parts`` parts of nearly equal total length: longest first, each to the part
    that has least."""
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    totals = [(0, part) for part in range(num_parts)]
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        total, part = heapq.heappop(totals)
        parts[part].append(index)
        heapq.heappush(totals, (total + lengths[index], part))
    return parts


def pack(lengths: Sequence[int], *, num_ranks: int, max_tokens: int) -> list[list[list[int]]]:
    """Indices of ``lengths`` for each rank and micro-batch: as few micro-batches as hold everything at ``max_tokens``
    each, all nearly equally full, as many on every rank. The sequences of a micro-batch are to lie end to end.

    Ranks meet at the end of every micro-batch; therefore those that are computed at the same time are the most alike.
    Where there are fewer sequences than ranks, some micro-batches are empty.

    Raises ValueError where one sequence alone is longer than ``max_tokens``.
    """
    if lengths and max(lengths) > max_tokens:
        raise ValueError(f"a sequence of {max(lengths)} tokens does not fit {max_tokens} tokens a micro-batch")
    count = math.ceil(sum(lengths) / (num_ranks * max_tokens))
    while True:
        parts = balance(lengths, num_parts=num_ranks * count)
        totals = [sum(lengths[i] for i in part) for part in parts]
        if max(totals, default=0) <= max_tokens:
            break
        count += 1
    fullest = sorted(range(len(parts)), key=lambda part: -totals[part])
    by_rank: list[list[list[int]]] = [[] for _ in range(num_ranks)]
    for k in range(count):
        alike = [parts[part] for part in fullest[k * num_ranks : (k + 1) * num_ranks]]
        for rank, members in enumerate(alike if k % 2 == 0 else reversed(alike)):
            by_rank[rank].append(members)
    return by_rank


def plan_shards(
    samples: Sequence[Sequence[SampleRef]],
    num_policy_tokens: Sequence[Sequence[int]],
    *,
    num_minibatches: int,
    num_ranks: int,
    max_tokens_per_microbatch: int,
    learner_version: int,
    seed: int,
) -> tuple[Shard, ...]:
    """One shard for each rank. Every rank has the same number of micro-batches in every minibatch, because ZeRO's
    collectives need all ranks in each backward pass. A minibatch is a set of whole groups; one with nothing to train on
    is left out. Its plan depends on its groups, their order and the seed, not on the other minibatches.

    Args:
        samples: by group.
        num_policy_tokens: tokens of each sample that are in the loss, for the global denominators. A sample with 0 goes
            to no rank, but counts among the trajectories of its minibatch.
    """
    by_rank: list[list[Minibatch]] = [[] for _ in range(num_ranks)]
    for groups in split_minibatches(len(samples), num_minibatches=num_minibatches, seed=seed):
        members = [
            pair for group in sorted(groups) for pair in zip(samples[group], num_policy_tokens[group], strict=True)
        ]
        order = np.random.default_rng(seed).permutation(len(members))
        trained = [members[i] for i in order if members[i][1]]
        if not trained:
            continue
        num_tokens = sum(tokens for _, tokens in trained)
        lengths = [sample.num_tokens for sample, _ in trained]
        plans = pack(lengths, num_ranks=num_ranks, max_tokens=max_tokens_per_microbatch)
        for minibatches, plan in zip(by_rank, plans, strict=True):
            microbatches = tuple(tuple(trained[i][0] for i in micro) for micro in plan)
            minibatches.append(Minibatch(microbatches=microbatches, num_sequences=len(members), num_tokens=num_tokens))
    return tuple(Shard(tuple(minibatches), learner_version) for minibatches in by_rank)
