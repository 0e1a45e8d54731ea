"""Assignment of a step's trajectories to minibatches, ranks and micro-batches: pure planning that moves no data.

A minibatch's loss is a sum over tokens with global denominators, so none of these choices changes a gradient.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeAlias

import numpy as np

from r1ray.types import Minibatch, SampleRef, Shard

Microbatches: TypeAlias = tuple[tuple[SampleRef, ...], ...]
"""Micro-batches of one rank in one minibatch."""


def split_minibatches(num_items: int, *, num_minibatches: int, seed: int) -> list[list[int]]:
    """Split ``range(num_items)`` at random into parts whose sizes differ by at most one (paper: one rollout is split
    into 16 minibatches for one inner epoch)."""
    order = np.random.default_rng(seed).permutation(num_items)
    return [part.tolist() for part in np.array_split(order, num_minibatches) if len(part)]


def balance(lengths: Sequence[int], *, num_parts: int) -> list[list[int]]:
    """Return the indices of ``lengths`` in ``num_parts`` parts of nearly equal total length: longest first, each to the
    part with the smallest total."""
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    totals = [(0, part) for part in range(num_parts)]
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        total, part = heapq.heappop(totals)
        parts[part].append(index)
        heapq.heappush(totals, (total + lengths[index], part))
    return parts


def pack(lengths: Sequence[int], *, num_ranks: int, max_tokens: int) -> list[list[list[int]]]:
    """Return the indices of ``lengths`` for each rank and micro-batch. The micro-batches are as few as can hold
    everything at ``max_tokens`` each, nearly equally full, and equally many on every rank. The sequences of a
    micro-batch are laid end to end.

    Ranks synchronize at the end of every micro-batch, so micro-batches of similar size are computed at the same time.
    If there are fewer sequences than ranks, some micro-batches are empty.

    Raises ValueError if a single sequence is longer than ``max_tokens``.
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


@dataclass(frozen=True, slots=True)
class Unit:
    """Samples that one micro-batch computes together."""

    members: tuple[int, ...]
    num_tokens: int


MIN_SAVED, MIN_SAVED_SHARE = 16, 1 / 32
"""Least number of tokens that sharing a common beginning has to save, and their least share of the tokens after it:
attention in more parts has a cost, too."""


def is_worth_sharing(saved: int, rest: int) -> bool:
    """Return whether a common beginning should be computed only once.

    Args:
        saved: tokens that sharing saves.
        rest: tokens after the beginning, of all sequences.
    """
    return saved >= max(MIN_SAVED, MIN_SAVED_SHARE * rest)


def group_units(samples: Sequence[SampleRef], *, num_parts: int, max_tokens: int) -> list[Unit]:
    """Return the samples of a group as units, each of which computes the common prompt once. There are at least
    ``num_parts`` units, and more if that is needed to keep each within ``max_tokens``. If sharing is not worth it, each
    sample is a unit of its own."""
    shared, own = _split(samples)
    saved = sum(sample.num_tokens for sample in samples) - sum(own) - shared
    if not is_worth_sharing(saved, sum(own)):
        return [Unit((index,), sample.num_tokens) for index, sample in enumerate(samples)]
    while True:
        parts = [part for part in balance(own, num_parts=num_parts) if part]
        units = [Unit(tuple(sorted(part)), shared + sum(own[i] for i in part)) for part in parts]
        if num_parts >= len(samples) or max(unit.num_tokens for unit in units) <= max_tokens:
            return units
        num_parts += 1


def num_distinct_tokens(samples: Sequence[SampleRef]) -> int:
    """Count the tokens of a group, its prompt only once."""
    shared, own = _split(samples)
    return shared + sum(own)


def _split(samples: Sequence[SampleRef]) -> tuple[int, list[int]]:
    """Return the number of prompt tokens that all samples share, and the number of other tokens of each."""
    shared = min(sample.num_prompt_tokens for sample in samples)
    return shared, [each.num_tokens - (each.num_branches - 1) * each.num_prompt_tokens - shared for each in samples]


def pack_groups(groups: Sequence[Sequence[SampleRef]], *, num_ranks: int, max_tokens: int) -> list[Microbatches]:
    """Return the micro-batches of each rank as :func:`pack` does, of whole groups. A group is cut only if it exceeds
    ``max_tokens`` or if there are more ranks than groups. If whole groups load the ranks so unequally that single
    samples are computed sooner, single samples are dealt out instead."""
    num_parts = math.ceil(num_ranks / max(len(groups), 1))
    cut = [group_units(group, num_parts=num_parts, max_tokens=max_tokens) for group in groups]
    units = [
        ([group[i] for i in unit.members], unit.num_tokens)
        for group, of_group in zip(groups, cut, strict=True)
        for unit in of_group
    ]
    singles = [([sample], sample.num_tokens) for group in groups for sample in group]
    found = [_pack_units(each, num_ranks=num_ranks, max_tokens=max_tokens) for each in (units, singles)]
    plans, _ = min(found, key=itemgetter(1))
    return plans


def _pack_units(
    units: Sequence[tuple[list[SampleRef], int]], *, num_ranks: int, max_tokens: int
) -> tuple[list[Microbatches], int]:
    """Return the plan, and the number of tokens for which all ranks have to wait."""
    lengths = [num_tokens for _, num_tokens in units]
    plans = pack(lengths, num_ranks=num_ranks, max_tokens=max_tokens)
    waits = [max(sum(lengths[i] for i in micro) for micro in together) for together in zip(*plans, strict=True)]
    return [tuple(tuple(each for i in micro for each in units[i][0]) for micro in plan) for plan in plans], sum(waits)


def pack_samples(samples: Sequence[SampleRef], *, num_ranks: int, max_tokens: int) -> list[Microbatches]:
    """Return the micro-batches of each rank as :func:`pack` does, of single samples."""
    plans, _ = _pack_units([([each], each.num_tokens) for each in samples], num_ranks=num_ranks, max_tokens=max_tokens)
    return plans


def plan_shards(
    samples: Sequence[Sequence[SampleRef]],
    num_policy_tokens: Sequence[Sequence[int]],
    *,
    num_minibatches: int,
    num_ranks: int,
    max_tokens_per_microbatch: int,
    learner_version: int,
    seed: int,
    shares_prompts: bool = False,
) -> tuple[Shard, ...]:
    """Return one shard for each rank. Every rank has the same number of micro-batches in every minibatch, because
    ZeRO's collectives need all ranks in each backward pass. A minibatch is a set of whole groups; one with nothing to
    train on is left out. Its plan depends on its groups, their order and the seed, not on the other minibatches.

    Args:
        samples: samples of each group.
        num_policy_tokens: tokens of each sample that are in the loss, for the global denominators. A sample with 0 goes
            to no rank, but counts among the trajectories of its minibatch.
        shares_prompts: samples of a group in the same micro-batch compute their prompt once.
    """
    by_rank: list[list[Minibatch]] = [[] for _ in range(num_ranks)]
    for groups in split_minibatches(len(samples), num_minibatches=num_minibatches, seed=seed):
        chosen = [list(zip(samples[group], num_policy_tokens[group], strict=True)) for group in sorted(groups)]
        trained = [of_group for pairs in chosen if (of_group := [sample for sample, tokens in pairs if tokens])]
        if not trained:
            continue
        limits = {"num_ranks": num_ranks, "max_tokens": max_tokens_per_microbatch}
        if shares_prompts:
            plans = pack_groups(trained, **limits)
        else:
            members = [pair for pairs in chosen for pair in pairs]
            order = np.random.default_rng(seed).permutation(len(members))
            plans = pack_samples([members[i][0] for i in order if members[i][1]], **limits)
        of_all_ranks = {
            "num_sequences": sum(map(len, chosen)),
            "num_tokens": sum(tokens for pairs in chosen for _, tokens in pairs),
            "num_distinct_tokens": sum(map(num_distinct_tokens, trained)),
        }
        for minibatches, microbatches in zip(by_rank, plans, strict=True):
            minibatches.append(Minibatch(microbatches=microbatches, **of_all_ranks))
    return tuple(Shard(tuple(minibatches), learner_version) for minibatches in by_rank)
