"""The Recorder role over the actor that writes the rollout log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle
from r1ray.runtime.deadline import within
from r1ray.types import GroupRecord


class RecorderProxy:
    """The Recorder role over one actor. It reads the trajectories from the workers that hold them and writes Parquet
    files, and nobody waits; then the workers let them go."""

    MAX_BEHIND = 8

    def __init__(self, actor: Handle, groups: GroupWorkers, *, deadline_s: float) -> None:
        self._actor, self._groups, self._deadline_s = actor, groups, deadline_s
        self._pending: list[asyncio.Task[Path]] = []

    async def record(self, step: int, records: Sequence[GroupRecord]) -> None:
        """See :class:`r1ray.interfaces.Recorder`. Waits only while the writer is ``MAX_BEHIND`` steps behind. Raises
        what went wrong in writing another step."""
        self._pending.append(asyncio.create_task(self._write(step, records, "step")))
        while self._pending and (self._pending[0].done() or len(self._pending) > self.MAX_BEHIND):
            await self._pending.pop(0)

    async def set_aside(self, step: int, records: Sequence[GroupRecord]) -> Path:
        return await self._write(step, records, "not_finite_step")

    async def flush(self) -> None:
        while self._pending:
            await self._pending.pop(0)

    async def _write(self, step: int, records: Sequence[GroupRecord], name: str) -> Path:
        groups = [record.group for record in records if record.group is not None]
        path: Path = await within(
            self._deadline_s,
            self._actor.write.remote(step, records, self._groups.lend(groups), name),
            waiter="the controller",
            owner="the rollout log",
            key="deadlines.checkpoint_s",
        )
        await self._groups.drop(groups)
        return path
