"""The rollout log's actor over fakes of it; and the real one, which is killed and stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster import recorder
from r1ray.cluster.recorder import MAX_ATTEMPTS, RecorderProxy
from r1ray.errors import DeadlineExceeded
from r1ray.types import GroupRecord
from tests.telemetry.test_rollouts import record_of

pytestmark = pytest.mark.faults


class Writer:
    """Writes steps into a list; dies over some of them, or says nothing any more."""

    def __init__(
        self,
        wrote: list[tuple[int, bool]],
        *,
        dies_over: Sequence[int] = (),
        hangs: bool = False,
        is_slow: bool = False,
    ) -> None:
        self.is_killed = asyncio.Event()

        async def write(step: int, records: Any, lent: Any, name: str, *, learned: Any, again: bool) -> Path:
            await asyncio.sleep(0)
            if hangs or is_slow:
                await self.is_killed.wait()
            if self.is_killed.is_set() or step in dies_over:
                self.is_killed.set()
                raise RayActorError
            wrote.append((step, again))
            return Path(f"{name}={step}")

        async def place() -> None:
            if hangs:
                await asyncio.Event().wait()

        self.write, self.actor = SimpleNamespace(remote=write), SimpleNamespace(place=SimpleNamespace(remote=place))

    def kill(self) -> None:
        self.is_killed.set()


class Groups:
    """Lends nothing, and notes what is let go."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def lend(self, groups: Any, *, within_s: float) -> None: ...

    async def drop(self, groups: Any) -> None:
        self.dropped += [group.group_id for group in groups]


def records(step: int) -> list[GroupRecord]:
    return [record_of(f"0/{step}", [])]


def proxy(*writers: Writer, deadline_s: float = 20.0) -> tuple[RecorderProxy, Groups, list[str]]:
    """Return the role over writers, one after the other, what it let go, and a note of each loss."""
    left, groups, losses = list(writers), Groups(), list[str]()
    made = RecorderProxy(lambda: left.pop(0), groups, deadline_s=deadline_s)  # type: ignore[arg-type, return-value]
    made.when_lost(lambda: losses.append("lost"))
    return made, groups, losses


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_what_a_lost_writer_had_in_flight_is_written_by_the_next_one(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        wrote: list[tuple[int, bool]] = []
        role, groups, losses = proxy(Writer(wrote, dies_over=[2]), Writer(wrote))
        for step in (1, 2, 3):
            await role.record(step, records(step))
        await role.flush()
        assert wrote == [(1, False), (2, True), (3, False)], "only the first one looks at what was left"
        assert groups.dropped == ["0/1", "0/2", "0/3"] and losses == ["lost"]

    with caplog.at_level(logging.WARNING):
        run(scenario())
    (line,) = caplog.messages
    assert "Another one writes step 2" in line


def test_an_evaluation_is_written_by_its_own_name_and_let_go_by_who_holds_it() -> None:
    async def scenario() -> None:
        wrote: list[tuple[int, bool]] = []
        role, groups, _ = proxy(Writer(wrote))
        others = Groups()
        await role.record_evaluation(4, records(4), others)  # type: ignore[arg-type]
        await role.flush()
        assert wrote == [(4, False)] and (groups.dropped, others.dropped) == ([], ["0/4"])

    run(scenario())


def test_a_step_over_which_every_writer_ends_is_lost_in_a_line_and_the_next_ones_are_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario() -> None:
        wrote: list[tuple[int, bool]] = []
        role, groups, losses = proxy(*(Writer(wrote, dies_over=[1]) for _ in range(MAX_ATTEMPTS + 1)))
        await role.record(1, records(1))
        await role.record(2, records(2))
        await role.flush()
        assert wrote == [(2, True)] and groups.dropped == ["0/1", "0/2"] and len(losses) == MAX_ATTEMPTS

    run(scenario())
    assert "the rollouts of step 1 are lost" in caplog.text


def test_a_writer_that_answers_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        wrote: list[tuple[int, bool]] = []
        role, _, losses = proxy(Writer(wrote, hangs=True), Writer(wrote))
        await role.record(1, records(1))
        await role.flush()
        assert wrote == [(1, True)] and losses == ["lost"]

    monkeypatch.setattr(recorder, "PING_S", 0.02)
    run(scenario())


def test_one_that_answers_nothing_is_replaced_at_its_deadline_and_one_that_answers_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        wrote: list[tuple[int, bool]] = []
        role, _, losses = proxy(Writer(wrote, hangs=True), Writer(wrote, is_slow=True), deadline_s=0.2)
        await role.record(1, records(1))
        with pytest.raises(DeadlineExceeded):
            await role.flush()
        assert losses == ["lost"] and not wrote

    monkeypatch.setattr(recorder, "PING_S", 0.1)
    monkeypatch.setattr(recorder, "MAX_SILENT_AT_START", 100)
    run(scenario())


@pytest.mark.real
@pytest.mark.long
def test_the_real_one_is_killed_and_stopped_and_every_step_is_on_disk_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from r1ray.cluster.host import import_path
    from r1ray.cluster.rank_host import rank_host
    from r1ray.telemetry.rollouts import rollout_steps

    monkeypatch.setattr(recorder, "PING_S", 0.5)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)

    async def scenario() -> None:
        started: list[Any] = []

        def start() -> Any:
            env = {"runtime_env": {"env_vars": import_path()}}
            started.append(rank_host("r1ray.telemetry.rollouts:RolloutLog", tmp_path, num_cpus=0, **env))
            return started[-1]

        groups = SimpleNamespace(lend=lambda groups: Held({}), drop=Groups().drop)
        role = RecorderProxy(start, groups, deadline_s=120.0)  # type: ignore[arg-type]
        for step, sign in enumerate((signal.SIGKILL, signal.SIGSTOP, None), 1):
            await role.record(step, records(step))
            await role.flush()
            if sign is not None:
                os.kill((await started[-1].actor.place.remote()).pid, sign)
        assert len(started) == 3 and rollout_steps(tmp_path) == [1, 2, 3]

    from r1ray.cluster.lending import Held

    try:
        asyncio.run(asyncio.wait_for(scenario(), 240))
    finally:
        ray.shutdown()
