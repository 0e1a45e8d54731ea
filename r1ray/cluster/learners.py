"""The Learner role over the ranks of one group."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

from r1ray.cluster.host import Handle, Ref
from r1ray.errors import InfrastructureError
from r1ray.types import Float32Array, Int32Array, Shard, StepStats


class LearnerGroup:
    """The Learner role over the ranks of one DeepSpeed group."""

    def __init__(self, ranks: Sequence[Handle]) -> None:
        self.ranks = list(ranks)

    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """Call a method on every rank at once; what any rank raises is raised."""
        calls = [getattr(rank, method).remote(*arguments, **keywords) for rank in self.ranks]
        return list(await _gather(calls))

    async def train(self, shards: Sequence[Shard], chunks: Sequence[Ref]) -> StepStats:
        """See :class:`r1ray.interfaces.Learner`. References are resolved inside each rank."""
        return await self._on_shards("train", shards, chunks)

    async def evaluate(self, shards: Sequence[Shard], chunks: Sequence[Any]) -> StepStats:
        """See :class:`r1ray.interfaces.SupervisedLearner`."""
        return await self._on_shards("evaluate", shards, chunks)

    async def _on_shards(self, method: str, shards: Sequence[Shard], chunks: Sequence[Any]) -> StepStats:
        together = len(self.ranks) // len(shards)  # ranks that compute the same rows
        references = [chunk if isinstance(chunk, ray.ObjectRef) else ray.put(chunk) for chunk in chunks]
        calls = [getattr(rank, method).remote(shards[i // together], *references) for i, rank in enumerate(self.ranks)]
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
