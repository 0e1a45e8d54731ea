"""Where the learner writes a version, and where engines find it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster import snapshot as module
from r1ray.cluster.snapshot import MAX_PROBLEMS, Snapshot
from r1ray.weights.snapshot import SnapshotPlace

pytestmark = pytest.mark.faults


class Keeper:
    """Has two files, until it is killed."""

    def __init__(self, name: str, start_s: float = 0.0) -> None:
        self.is_killed, self.start_s = False, start_s

        async def paths() -> list[str]:
            await asyncio.sleep(self.start_s)
            if self.is_killed:
                raise RayActorError
            return [f"{name}/0", f"{name}/1"]

        self.paths = SimpleNamespace(remote=paths)

    def kill(self) -> None:
        self.is_killed = True


def snapshot() -> tuple[Snapshot, list[Keeper]]:
    made: list[Keeper] = []

    def spawn() -> Any:
        made.append(Keeper(f"keeper {len(made)}"))
        return made[-1]

    return Snapshot(spawn), made


async def keep(files: Snapshot, version: int, problem: str = "") -> str:
    place = await files.place(version)
    assert place is not None
    files.note(place, problem)
    files.publish(version)
    return place.path


def test_versions_take_turns_and_only_the_last_one_is_found() -> None:
    async def scenario() -> None:
        files, _ = snapshot()
        assert [await keep(files, version) for version in range(3)] == ["keeper 0/0", "keeper 0/1", "keeper 0/0"]
        assert files.of(2) == SnapshotPlace("keeper 0/0", 2)
        assert files.of(1) is None and files.of(3) is None

    asyncio.run(scenario())


def test_a_version_that_was_not_published_leaves_the_last_one_in_place() -> None:
    async def scenario() -> None:
        files, _ = snapshot()
        first = await keep(files, 0)
        second = await files.place(1)
        assert second is not None and second.path != first
        files.note(second, "")
        assert files.kept(1) == second
        assert await files.place(1) == second and files.kept(1) is None, "it is sent again, and written again"
        assert files.of(0) is not None and files.of(1) is None

    asyncio.run(scenario())


def test_a_version_that_is_kept_is_not_written_again() -> None:
    async def scenario() -> None:
        files, _ = snapshot()
        await keep(files, 0)
        assert await files.place(0) is None

    asyncio.run(scenario())


def test_a_keeper_that_is_lost_is_replaced_and_keeps_the_next_version(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        files, keepers = snapshot()
        await keep(files, 0)
        keepers[0].kill()
        assert await files.place(1) is None and files.of(0) is None
        assert await keep(files, 2) == "keeper 1/0"
        assert caplog.text.count("is lost") == 1

    asyncio.run(scenario())


def test_a_keeper_that_starts_slowly_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(module, "ANSWER_S", 0.05)
        made = [Keeper("keeper 0", start_s=0.2)]
        files = Snapshot(lambda: made[0])  # type: ignore[arg-type, return-value]
        assert await files.place(0) is None and not made[0].is_killed
        monkeypatch.setattr(module, "ANSWER_S", 5.0)
        assert await keep(files, 1) == "keeper 0/0"

    asyncio.run(scenario())


def test_a_keeper_that_answers_no_more_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        files, keepers = snapshot()
        await keep(files, 0)
        monkeypatch.setattr(module, "ANSWER_S", 0.05)
        keepers[0].start_s = 60.0
        assert await files.place(1) is None and keepers[0].is_killed and len(keepers) == 2

    asyncio.run(scenario())


def test_without_memory_nothing_is_kept_any_more_after_some_tries(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        files, _ = snapshot()
        await keep(files, 0)
        for version in range(1, 1 + MAX_PROBLEMS):
            await keep(files, version, problem="it needs 2 GiB, and 1 GiB are free")
            assert files.of(version) is None
        assert await files.place(9) is None and files.of(0) is None
        assert caplog.text.count("it needs 2 GiB, and 1 GiB are free") == MAX_PROBLEMS

    asyncio.run(scenario())


def test_one_problem_is_forgotten_with_the_next_version_that_is_kept() -> None:
    async def scenario() -> None:
        files, _ = snapshot()
        for version in range(0, 4 * MAX_PROBLEMS, 2):
            await keep(files, version, problem="planted")
            await keep(files, version + 1)
            assert files.of(version + 1) is not None

    asyncio.run(scenario())


def test_a_run_may_do_without() -> None:
    files = Snapshot(None)
    assert asyncio.run(files.place(0)) is None and files.of(0) is None
