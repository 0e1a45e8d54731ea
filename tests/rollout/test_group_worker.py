"""Groups on engines that are fakes of our own role; every test ends within a second or two."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from r1ray.checks import FormatOnly
from r1ray.errors import EngineLost, PromptTooLong
from r1ray.rollout import turn_sampler
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.group_worker import GroupWorker
from r1ray.rollout.placement import EngineState
from r1ray.types import (
    GroupRequest,
    Prompt,
    Sampling,
    Scored,
    ScoredTrajectory,
    Segment,
    Trajectory,
    VersionSpan,
)

PROMPT = Prompt(id="p", text="question", check=FormatOnly(), domain="math", language="en")


def request(group_id: str = "0/0", **changes: Any) -> GroupRequest:
    settings = {"group_id": group_id, "prompt": PROMPT, "group_size": 4, "sampling": Sampling(1.0, 1.0, 8), "seed": 0}
    return GroupRequest(**(settings | changes))


def trajectory(of: TrajectoryRequest, *, num_tokens: int = 3, version: int = 0, status: Any = "finished") -> Trajectory:
    segment = Segment(
        kind="policy",
        token_ids=np.arange(num_tokens, dtype=np.int32),
        logprobs=np.zeros(num_tokens, dtype=np.float32),
        versions=(VersionSpan(version, 0, num_tokens),) if num_tokens else (),
        text=f"{of.index}",
    )
    return Trajectory(
        group_id=of.group_id,
        index=of.index,
        prompt_token_ids=np.arange(2, dtype=np.int32),
        segments=(segment,),
        status=status,
    )


@dataclass
class Engine:
    """Answers at once, after ``seconds(request)``, or with what ``fails`` raises."""

    seconds: Callable[[TrajectoryRequest], float] = lambda of: 0.0
    fails: Callable[[TrajectoryRequest], Exception | None] = lambda of: None
    hears_aborts: bool = True
    kv_tokens: int = 0
    asked: list[TrajectoryRequest] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    _events: dict[str, asyncio.Event] = field(default_factory=dict)

    async def generate(self, of: TrajectoryRequest) -> Generated:
        self.asked.append(of)
        if (error := self.fails(of)) is not None:
            raise error
        event = self._events[of.id] = asyncio.Event()
        try:
            await asyncio.wait_for(event.wait(), self.seconds(of))
        except TimeoutError:
            return Generated(trajectory(of), self.kv_tokens)
        return Generated(trajectory(of, num_tokens=2, status="aborted"), self.kv_tokens)

    async def abort(self, ids: Sequence[str]) -> None:
        self.aborted += ids
        if self.hears_aborts:
            for each in ids:
                self._events[each].set()


class Rewards:
    async def score(self, prompt: Prompt, scored: Trajectory) -> ScoredTrajectory:
        return ScoredTrajectory.of(scored, Scored(float(scored.index), {}), extracted=None)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        return None


def state(engine: Engine, *, name: str = "engine 0", slots: int = 8, **changes: Any) -> EngineState:
    return EngineState(
        **({"name": name, "incarnation": 0, "engine": engine, "num_slots": slots, "state": "serving"} | changes)
    )


def within(seconds: float, work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, seconds))


async def worker_of(*engines: EngineState, deadline_s: float = 5.0) -> GroupWorker:
    worker = GroupWorker(Rewards(), deadline_s=deadline_s)
    await worker.set_engines(engines)
    return worker


def test_a_group_is_answered_with_facts_and_its_trajectories_stay_until_they_are_dropped() -> None:
    async def scenario() -> None:
        worker = await worker_of(state(Engine()))
        group = await worker.run(request())
        assert [each.index for each in group.trajectories] == [0, 1, 2, 3] and group.removed == ()
        ids = [f"0/0#{index}" for index in range(4)]
        assert [each.text for each in await worker.read(group.incarnation, ids) if each] == ["0", "1", "2", "3"]
        kept = [each for each in await worker.read(group.incarnation, ids) if each]  # reading takes nothing away
        assert [each.domain for each in kept] == ["math"] * 4, "their teachers are chosen by it"
        assert await worker.read("another", ids) == [None] * 4
        await worker.drop(ids)
        assert await worker.read(group.incarnation, ids) == [None] * 4

    within(5, scenario())


def test_one_trajectory_is_retried_alone() -> None:
    async def scenario() -> None:
        failures = iter([EngineLost("planted")])
        engine = Engine(fails=lambda of: next(failures, None) if of.index == 2 else None)
        worker = await worker_of(state(engine))
        group = await worker.run(request())
        assert len(group.trajectories) == 4 and group.num_retries == 1
        assert sorted(of.index for of in engine.asked) == [0, 1, 2, 2, 3]

    within(5, scenario())


def test_a_trajectory_that_fails_three_times_is_removed_and_the_group_goes_on() -> None:
    async def scenario() -> None:
        engine = Engine(fails=lambda of: EngineLost("planted") if of.index == 1 else None)
        group = await (await worker_of(state(engine))).run(request())
        assert [each.index for each in group.trajectories] == [0, 2, 3]
        assert [(each.index, each.reason) for each in group.removed] == [(1, "engine_lost")]

    within(5, scenario())


def test_a_late_trajectory_goes_on_from_where_it_stood() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 9.0 if of.index == 1 and of.begun is None else 0.0)
        worker = await worker_of(state(engine), deadline_s=0.1)
        group = await worker.run(request())
        assert len(group.trajectories) == 4 and engine.aborted == ["0/0#1"]
        begun = engine.asked[-1].begun
        assert begun is not None and begun.num_policy_tokens == 2

    within(5, scenario())


def test_one_that_is_late_three_times_is_removed_with_its_tokens() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 9.0 if of.index == 1 else 0.0)
        worker = await worker_of(state(engine), deadline_s=0.05)
        group = await worker.run(request())
        (removed,) = group.removed
        assert (removed.index, removed.reason, removed.num_policy_tokens) == (1, "late", 2)
        (partial,) = await worker.read(group.incarnation, ["0/0#1"])
        assert partial is not None and partial.status == "aborted"

    within(5, scenario())


def test_an_engine_that_hears_no_abort_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(turn_sampler, "ABORT_S", 0.05)
        engine = Engine(seconds=lambda of: 9.0 if of.index == 1 else 0.0, hears_aborts=False)
        group = await (await worker_of(state(engine), deadline_s=0.05)).run(request())
        assert [(each.reason, each.num_policy_tokens) for each in group.removed] == [("late", 0)]

    within(5, scenario())


def test_no_clock_runs_while_a_trajectory_waits_for_its_slot() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 0.3)
        worker = await worker_of(state(engine, slots=1), deadline_s=0.8)  # a busy machine takes half a second
        group = await worker.run(request())  # the last waits 0.9 s for its slot
        assert len(group.trajectories) == 4 and engine.aborted == [] and group.num_retries == 0

    within(5, scenario())


def test_no_clock_runs_while_weights_come_in() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 0.4)
        worker = await worker_of(state(engine), deadline_s=0.3)
        running = asyncio.create_task(worker.run(request()))
        await asyncio.sleep(0.05)
        await worker.set_engines([state(engine, state="held")])
        await asyncio.sleep(0.25)
        await worker.set_engines([state(engine)])
        assert len((await running).trajectories) == 4 and engine.aborted == []

    within(5, scenario())


def test_what_an_engine_samples_is_held_back_until_its_weights_are_verified() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 0.05)
        worker = await worker_of(state(engine))
        running = asyncio.create_task(worker.run(request()))
        await asyncio.sleep(0.01)
        await worker.set_engines([state(engine, state="held")])
        await asyncio.sleep(0.2)
        assert not running.done() and (await worker.status()).held == 0
        await worker.set_engines([state(engine)])
        assert len((await running).trajectories) == 4 and len(engine.asked) == 4

    within(5, scenario())


def test_what_was_sampled_under_weights_that_were_wrong_is_sampled_again() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 0.05)
        worker = await worker_of(state(engine))
        running = asyncio.create_task(worker.run(request()))
        await asyncio.sleep(0.01)
        await worker.set_engines([state(engine, state="held")])
        await asyncio.sleep(0.1)
        await worker.set_engines([state(engine, failed_rounds=1)])
        assert len((await running).trajectories) == 4 and len(engine.asked) == 8

    within(5, scenario())


def test_the_loss_of_an_engine_sends_its_trajectories_to_another_and_keeps_the_finished_ones() -> None:
    async def scenario() -> None:
        stuck = Engine(seconds=lambda of: 9.0 if of.index % 2 else 0.0)
        worker = await worker_of(state(stuck))
        running = asyncio.create_task(worker.run(request()))
        await asyncio.sleep(0.05)
        other = Engine()
        await worker.set_engines([state(stuck, state="lost"), state(other, name="engine 1")])
        assert len((await running).trajectories) == 4
        assert sorted(of.index for of in other.asked) == [1, 3]

    within(5, scenario())


def test_a_group_may_be_closed_with_what_is_scored() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 9.0 if of.index == 3 else 0.0)
        worker = await worker_of(state(engine))
        group = await worker.run(request(min_group_size=3))
        assert [each.index for each in group.trajectories] == [0, 1, 2]
        assert [(each.index, each.reason, each.num_policy_tokens) for each in group.removed] == [(3, "enough", 2)]

    within(5, scenario())


def test_an_abort_ends_what_waits_for_a_slot_too() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 9.0)
        worker = await worker_of(state(engine, slots=1))
        running = asyncio.create_task(worker.run(request()))
        await asyncio.sleep(0.05)
        await worker.abort("0/0", "surplus")
        group = await running
        assert {each.reason for each in group.removed} == {"surplus"} and len(group.removed) == 4
        status = await worker.status()
        assert (status.groups, status.generating, status.waiting) == (0, 0, 0)

    within(5, scenario())


def test_a_prompt_that_does_not_fit_fails_its_group_and_ends_the_others_in_the_engine() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 9.0, fails=lambda of: PromptTooLong("planted") if of.index == 3 else None)
        worker = await worker_of(state(engine))
        with pytest.raises(PromptTooLong):
            await worker.run(request())
        await asyncio.sleep(0.05)
        assert sorted(engine.aborted) == ["0/0#0", "0/0#1", "0/0#2"]
        assert (await worker.status()).groups == 0

    within(5, scenario())


def test_trajectories_go_to_the_engine_with_the_least_keys_and_values_in_use() -> None:
    async def scenario() -> None:
        full, empty = Engine(kv_tokens=5000), Engine(kv_tokens=0)
        worker = await worker_of(state(full), state(empty, name="engine 1"))
        await worker.run(request("0/0"))
        await worker.run(request("0/1"))
        assert len(full.asked) == 2  # of the first group, when nothing was known
        assert len(empty.asked) == 6

    within(5, scenario())


def test_two_thousand_groups_on_a_thousand_engines_keep_the_limits_of_each() -> None:
    async def scenario() -> None:
        most = [0]

        @dataclass
        class Counting(Engine):
            running: int = 0

            async def generate(self, of: TrajectoryRequest) -> Generated:
                self.running += 1
                most[0] = max(most[0], self.running)
                await asyncio.sleep(0)
                self.running -= 1
                return Generated(trajectory(of), 10 * self.running)

        engines = [state(Counting(), name=f"engine {index}", slots=2) for index in range(1000)]
        worker = await worker_of(*engines)
        groups = await asyncio.gather(*(worker.run(request(f"0/{index}")) for index in range(2000)))
        assert all(len(group.trajectories) == 4 for group in groups) and most[0] <= 2

    within(60, scenario())


def test_evaluation_goes_first() -> None:
    async def scenario() -> None:
        engine = Engine(seconds=lambda of: 0.01)
        worker = await worker_of(state(engine, slots=1))
        training = [asyncio.create_task(worker.run(request(f"0/{index}"))) for index in range(3)]
        await asyncio.sleep(0.005)
        await worker.run(request("eval/0", is_eval=True))
        assert not any(task.done() for task in training)
        await asyncio.gather(*training)

    within(5, scenario())


def test_long_texts_do_not_pass_through_the_driver() -> None:
    class Programs(Rewards):
        async def score(self, prompt: Prompt, scored: Trajectory) -> ScoredTrajectory:
            return ScoredTrajectory.of(
                scored, Scored(1.0, {"accuracy": 1.0}, detail="y" * 50_000), extracted="x" * 50_000
            )

    async def scenario() -> None:
        worker = GroupWorker(Programs(), deadline_s=5.0)
        await worker.set_engines([state(Engine())])
        group = await worker.run(request(group_size=8))
        assert len(pickle.dumps(group)) < 10 * 1024

    within(5, scenario())


def test_a_group_that_fails_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        engine = Engine(
            seconds=lambda of: 0.1 * (of.index == 3), fails=lambda of: PromptTooLong("late") if of.index == 3 else None
        )
        worker = await worker_of(state(engine, slots=1))
        with pytest.raises(PromptTooLong):
            await worker.run(request())
        assert (await worker.status()).held == 0

    within(5, scenario())
