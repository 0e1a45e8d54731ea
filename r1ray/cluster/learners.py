"""The Learner role over the ranks of one group, which can be started again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle, cause_of
from r1ray.cluster.lending import Held, Kept, Remote
from r1ray.cluster.rank_host import Place
from r1ray.cluster.rank_watch import RankWatch
from r1ray.errors import GroupLost, InfrastructureError, LearnerLost, R1RayError, WeightSyncError
from r1ray.types import Float32Array, Int32Array, ScoredGroup, Shard, StepStats, group_of


class LearnerGroup:
    """The Learner role over the ranks of one DeepSpeed group, and the SupervisedLearner role."""

    def __init__(
        self,
        ranks: Sequence[Handle],
        address: str,
        groups: GroupWorkers | None = None,
        *,
        start: Callable[[], Awaitable[tuple[Sequence[Handle], str]]],
        kill: Callable[[Place], Awaitable[None]],
    ) -> None:
        """
        Args:
            address: of rank 0's node.
            groups: who holds the trajectories that shards name; None for a learner of given rows.
            start: starts as many ranks anew, in the same places, and returns them and the address; they need not answer
                yet.
            kill: kills a process at once, also one that is stopped.
        """
        self._groups, self._start, self._kill = groups, start, kill
        self._when_lost: list[Callable[[LearnerLost], None]] = []
        self._before_restart: list[Callable[[], Awaitable[None]]] = []
        self.incarnation = 0
        """Rises with every restart: whoever met the ranks before has to meet them again."""
        self._take_over(ranks, address)

    # ------------------------------------------------------------------ who lives

    def _take_over(self, ranks: Sequence[Handle], address: str) -> None:
        self.ranks, self.address = list(ranks), address
        self._watch = RankWatch(self.ranks, tell=self._tell, kill=self._kill)

    def _tell(self, error: LearnerLost) -> None:
        for callback in self._when_lost:
            callback(error)

    async def watch(self) -> None:
        """Look after the ranks from now on. They have to answer."""
        await self._watch.begin()

    def close(self) -> None:
        """Look after no rank any more: they are about to end."""
        self._watch.close()

    def when_lost(self, callback: Callable[[LearnerLost], None]) -> None:
        """See :class:`r1ray.loop.roles.RestartableLearner`."""
        self._when_lost.append(callback)

    def before_restart(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have ``callback`` called once all ranks have ended, before others start in their places."""
        self._before_restart.append(callback)

    async def check(self) -> None:
        """See :class:`r1ray.loop.roles.RestartableLearner`."""
        await self._watch.check()

    async def restart(self) -> None:
        """See :class:`r1ray.loop.roles.RestartableLearner`. A survivor is of no use: its process groups cannot be made
        anew, and the state of a broken step is none that a step can begin with."""
        await self._watch.end()
        self.incarnation += 1
        for callback in self._before_restart:
            await callback()
        try:
            self._take_over(*await self._start())
            await asyncio.gather(*(rank.alive() for rank in self.ranks))
            await self._watch.begin()
        except RayActorError as error:
            raise LearnerLost(f"a learner rank died while it was started again: {cause_of(error)}") from error
        except InfrastructureError as error:
            raise LearnerLost(f"the learner could not be started again: {error}") from error

    # ------------------------------------------------------------------ calls

    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        """Call a method on every rank at once; what any rank raises is raised, and LearnerLost where one is dead."""
        calls = [getattr(rank, method).remote(*arguments, **keywords) for rank in self.ranks]
        return list(await self._gather(calls))

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

    async def train_rows(
        self, shards: Sequence[Shard], rows: Mapping[str, Any], *, has_more: bool = False
    ) -> StepStats:
        """See :class:`r1ray.interfaces.SupervisedLearner`; ``has_more`` as of :meth:`train`."""
        await self._lend(rows, shards)
        return await self._on_shards("train", shards, has_more)

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
        return {name for missing in await self._gather(calls) for name in missing}

    async def _on_shards(self, method: str, shards: Sequence[Shard], *arguments: Any) -> StepStats:
        """Have every rank compute. What one raises that is no mistake of the data, memory that is not enough among it,
        leaves the group in the middle of a step: then it is lost."""
        together = len(self.ranks) // len(shards)
        calls = [getattr(rank, method).remote(shards[i // together], *arguments) for i, rank in enumerate(self.ranks)]
        try:
            stats: StepStats = (await self._gather(calls))[0]
        except RayError as error:
            if isinstance(error, R1RayError):
                raise
            raise LearnerLost(f"a learner rank failed: {cause_of(error)}") from error
        return stats

    def learned(self, deadline_s: float) -> Kept:
        """Have each rank keep what it found of the trajectories of the last step, for who reads it until a deadline.
        Nobody waits for it here."""
        return Kept([rank.actor.keep.remote("learned") for rank in self.ranks], deadline_s)

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

    async def _gather(self, calls: Sequence[Any]) -> Sequence[Any]:
        """Return every answer. Raises LearnerLost where a rank is dead: those that waited for it in a collective raise
        at the same moment, and what they raise says nothing."""
        self._watch.raise_lost()
        try:
            return await asyncio.gather(*calls)
        except RayError as error:
            is_own = isinstance(error, R1RayError)
            if is_own and (isinstance(error, WeightSyncError) or not isinstance(error, InfrastructureError)):
                raise  # of engines, of the user's data or settings
            await self._watch.find_lost()
            if isinstance(error, RayActorError):
                raise LearnerLost(f"a learner rank died: {cause_of(error)}") from error
            raise


def _ids_of(shard: Shard) -> list[str]:
    return [each.id for minibatch in shard.minibatches for micro in minibatch.microbatches for each in micro]
