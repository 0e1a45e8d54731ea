"""The Recorder role over the actor that writes the rollout log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1ray.cluster.host import Handle, Ref
from r1ray.runtime.deadline import within
from r1ray.types import GroupRecord


class RecorderProxy:
    """The Recorder role over one actor: references go in, Parquet files come out, nobody waits."""

    MAX_BEHIND = 8

    def __init__(self, actor: Handle, *, deadline_s: float) -> None:
        self._actor, self._deadline_s = actor, deadline_s
        self._pending: list[Any] = []

    async def record(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Ref]]]) -> None:
        """See :class:`r1ray.interfaces.Recorder`. Waits only where the writer is ``MAX_BEHIND`` steps behind."""
        self._pending.append(self._write(step, groups))
        while len(self._pending) > self.MAX_BEHIND:
            await self._wait(self._pending.pop(0))

    async def set_aside(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Ref]]]) -> Path:
        path: Path = await self._wait(self._write(step, groups, name="not_finite_step"))
        return path

    async def flush(self) -> None:
        while self._pending:
            await self._wait(self._pending.pop(0))

    def _write(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[Ref]]], **keywords: Any) -> Any:
        records = [record for record, _ in groups]
        counts = [len(chunks) for _, chunks in groups]
        chunks = [chunk for _, chunks in groups for chunk in chunks]
        return self._actor.write.remote(step, records, counts, *chunks, **keywords)

    async def _wait(self, pending: Any) -> Any:
        return await within(
            self._deadline_s, pending, waiter="the controller", owner="the rollout log", key="deadlines.checkpoint_s"
        )
