"""A group worker with the reward actors that it asks: what a group worker's process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.cluster.host import Handle
from r1ray.cluster.scorers import ScorerPool
from r1ray.config.specs import GroupWorkerSpec
from r1ray.rollout.group_worker import GroupWorker


@dataclass(frozen=True, slots=True)
class Trouble:
    """A reward actor that died, or has gone quiet, as a group worker found it."""

    scorer: int
    actor: Handle


class GroupHost:
    """A group worker, and the reward actors that it asks."""

    def __init__(self, scorers: Sequence[Handle], spec: GroupWorkerSpec) -> None:
        self._scorers = ScorerPool(
            scorers,
            self._note,
            deadline_s=spec.score_s,
            max_in_flight=spec.scores_in_flight,
            suspects=spec.suspects,
        )
        self._worker = GroupWorker(self._scorers, deadline_s=spec.generate_s, number=spec.number)
        self._troubles: asyncio.Queue[Trouble] = asyncio.Queue()
        self.run, self.sample, self.abort = self._worker.run, self._worker.sample, self._worker.abort
        self.read, self.drop, self.status = self._worker.read, self._worker.drop, self._worker.status
        self.set_engines, self.classes = self._worker.set_engines, self._scorers.classes
        self.score, self.held = self._scorers.score, self._worker.held

    async def set_scorers(self, actors: Sequence[Handle]) -> None:
        """Take over the reward actors that live now."""
        self._scorers.update(actors)

    async def troubles(self) -> list[Trouble]:
        """Wait until something died here; return all that did."""
        found = [await self._troubles.get()]
        while not self._troubles.empty():
            found.append(self._troubles.get_nowait())
        return found

    def _note(self, index: int, actor: Handle) -> None:
        self._troubles.put_nowait(Trouble(index, actor))
