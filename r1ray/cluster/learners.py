"""The Learner role over the ranks of one group."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle
from r1ray.cluster.lending import Held, Remote
from r1ray.errors import GroupLost, InfrastructureError
from r1ray.types import Float32Array, Int32Array, ScoredGroup, Shard, StepStats, group_of


class LearnerGroup:
    """The Learner role over the ranks of one DeepSpeed group, and the SupervisedLearner role."""

    def __init__(self, ranks: Sequence[Handle], groups: GroupWorkers | None = None) -> None:
        """``groups``: who holds the trajectories that shards name; None for a learner of given rows."""
        self.ranks, self._groups = list(ranks), groups

    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """Call a method on every rank at once; what any rank raises is raised."""
        calls = [getattr(rank, method).remote(*arguments, **keywords) for rank in self.ranks]
        return list(await _gather(calls))

    async def train(
        self, shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False
    ) -> StepStats:
        """See :class:`r1ray.interfaces.Learner`. Each rank reads the trajectories of its own shard."""
        assert self._groups is not None
        lent = [self._groups.lend(groups, _ids_of(shard)) for shard in shards]
        missing = await self._fetch(lent, shards)
        if missing:
            raise GroupLost(tuple(dict.fromkeys(group_of(name) for name in missing)))
        return await self._on_shards("train", shards, has_more)

    async def train_rows(self, shards: Sequence[Shard], rows: Mapping[str, Any]) -> StepStats:
        """See :class:`r1ray.interfaces.SupervisedLearner`."""
        await self._lend(rows, shards)
        return await self._on_shards("train", shards)

    async def evaluate_rows(self, shards: Sequence[Shard], rows: Mapping[str, Any]) -> StepStats:
        """See :class:`r1ray.interfaces.SupervisedLearner`."""
        await self._lend(rows, shards)
        return await self._on_shards("evaluate", shards)

    async def _lend(self, rows: Mapping[str, Any], shards: Sequence[Shard]) -> None:
        """Have every rank read its share of given rows."""
        await self._fetch([Held({name: rows[name] for name in _ids_of(shard)}) for shard in shards], shards)

    async def _fetch(self, lent: Sequence[Held | Remote], shards: Sequence[Shard]) -> set[str]:
        """Have every rank read what its shard names, before any of them begins to compute. Returns what is gone."""
        together = len(self.ranks) // len(shards)  # ranks that compute the same rows
        references = [ray.put(each) for each in lent]  # once for ranks that share it
        names = [_ids_of(shard) for shard in shards]
        calls = [
            rank.fetch.remote(references[i // together], names[i // together]) for i, rank in enumerate(self.ranks)
        ]
        return {name for missing in await _gather(calls) for name in missing}

    async def _on_shards(self, method: str, shards: Sequence[Shard], *arguments: Any) -> StepStats:
        together = len(self.ranks) // len(shards)
        calls = [getattr(rank, method).remote(shards[i // together], *arguments) for i, rank in enumerate(self.ranks)]
        stats: StepStats = (await _gather(calls))[0]
        return stats

    async def refresh_reference(self) -> None:
        await self.each("refresh_reference")

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        values: Float32Array = (await self.each("logprobs", sequences))[0]
        return values

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        await self.each("save", folder, asynchronous=asynchronous)

    async def written(self) -> bool:
        return all(await self.each("written"))

    async def load(self, folder: Path) -> None:
        await self.each("load", folder)

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        await self.each("export", folder, checkpoint=checkpoint)


async def _gather(calls: Sequence[Any]) -> Sequence[Any]:
    try:
        return await asyncio.gather(*calls)
    except RayActorError as error:
        raise InfrastructureError(f"a learner rank died: {error}") from error


def _ids_of(shard: Shard) -> list[str]:
    return [each.id for minibatch in shard.minibatches for micro in minibatch.microbatches for each in micro]
