"""A learner group over fakes of its ranks: who is found lost, how, and what is done about it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from r1ray.cluster import rank_watch
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.rank_host import Place
from r1ray.errors import LearnerLost, NonFiniteLoss
from r1ray.types import StepStats

pytestmark = pytest.mark.faults
STATS = StepStats({}, trained_tokens=1, padding_tokens=0)


class Rank:
    """A rank's actor. It does what it is asked for, until it dies or is stopped."""

    def __init__(self, pid: int, *, raises: Exception | None = None, dies_in: str = "") -> None:
        self.pid, self.raises, self.dies_in = pid, raises, dies_in
        self.death, self.is_stopped, self.is_killed = asyncio.Event(), False, False
        self.calls: list[str] = []
        self.actor = SimpleNamespace(place=self._method("place"), until_dead=self._method("until_dead"))

    def _method(self, name: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments, **keywords: self._call(name))

    def __getattr__(self, name: str) -> Any:
        return self._method(name)

    async def _call(self, name: str) -> Any:
        self.calls.append(name)
        if name == self.dies_in:
            self.death.set()
        if self.is_stopped or name == "until_dead":
            await self.death.wait()
        if self.death.is_set():
            await asyncio.sleep(0.02)  # others notice first
            raise RayActorError
        if name == "place":
            return Place("node", "10.0.0.1", self.pid, 0.0)
        if self.raises is not None and name != "fetch":
            raise self.raises
        return [] if name == "fetch" else STATS

    async def alive(self) -> None:
        await self._call("alive")

    def kill(self) -> None:
        self.is_killed = True
        self.death.set()


class World:
    """A group of two ranks, and those that come after them."""

    def __init__(self, *ranks: Rank, later: Sequence[Rank] = ()) -> None:
        self.ranks, self.later = ranks, list(later)
        self.killed: list[int] = []
        self.told: list[LearnerLost] = []
        self.group = LearnerGroup(ranks, "10.0.0.1", start=self._start, kill=self._kill)  # type: ignore[arg-type]
        self.group.when_lost(self.told.append)

    async def _start(self) -> Any:
        started, self.later = self.later[:2], self.later[2:]
        return started, "10.0.0.2"

    async def _kill(self, place: Place) -> None:
        self.killed.append(place.pid)
        for rank in self.ranks:
            if rank.pid == place.pid:
                rank.death.set()

    async def train(self) -> StepStats:
        return await self.group.train_rows([], {})


def run(scenario: Callable[[], Coroutine[Any, Any, None]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_watch, "PING_S", 0.05)
    monkeypatch.setattr(rank_watch, "GRACE_S", 0.2)
    monkeypatch.setattr(LearnerGroup, "_fetch", _nothing)
    monkeypatch.setattr(LearnerGroup, "train_rows", _train)
    asyncio.run(asyncio.wait_for(scenario(), 10))


async def _nothing(self: LearnerGroup, *arguments: Any) -> set[str]:
    return set()


async def _train(self: LearnerGroup, shards: Any, rows: Any) -> StepStats:
    return await self._on_shards("train", [None] * len(self.ranks))  # type: ignore[list-item]


def in_task(error: Exception) -> Exception:
    """Return what a rank raised, as Ray raises it."""
    raised: Exception = RayTaskError("train", "Traceback", error).as_instanceof_cause()
    return raised


def test_who_died_is_named_and_not_who_waited_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        broken = in_task(RuntimeError("Connection closed by peer"))
        w = World(Rank(7, raises=broken), Rank(8, dies_in="train"))
        await w.group.watch()
        with pytest.raises(LearnerLost, match=r"^learner rank 1 \(process 8 on 10.0.0.1\) died: ") as raised:
            await w.train()
        assert raised.value.ranks == (1,) and [error.ranks for error in w.told] == [(1,)]
        with pytest.raises(LearnerLost, match="learner rank 1"):
            await w.group.check()

    run(scenario, monkeypatch)


def test_two_that_die_at_once_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7, dies_in="train"), Rank(8, dies_in="train"))
        await w.group.watch()
        with pytest.raises(LearnerLost, match=r"learner rank 0.*learner rank 1"):
            await w.train()

    run(scenario, monkeypatch)


def test_a_death_is_told_while_nobody_waits_for_the_learner(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7), Rank(8))
        await w.group.watch()
        w.ranks[0].death.set()
        while not w.told:
            await asyncio.sleep(0.01)
        assert w.told[0].ranks == (0,)

    run(scenario, monkeypatch)


def test_a_rank_that_answers_no_question_is_killed_and_its_calls_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7), Rank(8))
        await w.group.watch()
        w.ranks[1].is_stopped = True
        with pytest.raises(LearnerLost, match=r"learner rank 1 .* has not answered for 0.6 s"):
            await w.train()
        assert w.killed == [8]

    run(scenario, monkeypatch)


def test_a_check_finds_who_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7), Rank(8))
        await w.group.watch()
        await w.group.check()
        w.ranks[0].is_stopped = True
        with pytest.raises(LearnerLost, match=r"learner rank 0 .* does not answer within 0.05 s"):
            await w.group.check()

    run(scenario, monkeypatch)


def test_a_mistake_of_the_data_is_none_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7, raises=in_task(NonFiniteLoss(("0/1",)))), Rank(8))
        with pytest.raises(NonFiniteLoss):
            await w.train()
        assert not w.told

    run(scenario, monkeypatch)


def test_what_breaks_a_step_loses_the_group_and_what_breaks_a_save_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7, raises=in_task(RuntimeError("out of memory"))), Rank(8))
        with pytest.raises(LearnerLost, match="a learner rank failed: RuntimeError: out of memory") as raised:
            await w.train()
        assert raised.value.ranks == ()
        w = World(Rank(7, raises=in_task(OSError(28, "No space left on device"))), Rank(8))
        with pytest.raises(OSError):
            await w.group.written()

    run(scenario, monkeypatch)


def test_a_restart_ends_all_ranks_and_waits_for_the_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        w = World(Rank(7), Rank(8), later=[Rank(17), Rank(18)])
        await w.group.watch()
        w.ranks[0].is_stopped = True
        await w.group.restart()
        assert sorted(w.killed) == [7, 8] and all(rank.is_killed for rank in w.ranks)
        assert (w.group.incarnation, w.group.address) == (1, "10.0.0.2")
        assert not w.told, "those that were ended are not lost"
        assert (await w.train()) == STATS
        await w.group.check()

    run(scenario, monkeypatch)


def test_a_rank_that_dies_at_its_start_makes_another_restart_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        later = [Rank(17), Rank(18, dies_in="alive"), Rank(27), Rank(28)]
        w = World(Rank(7), Rank(8), later=later)
        await w.group.watch()
        with pytest.raises(LearnerLost, match="died while it was started again"):
            await w.group.restart()
        await w.group.restart()
        assert later[0].is_killed and w.group.ranks == later[2:]
        assert (await w.train()) == STATS

    run(scenario, monkeypatch)
