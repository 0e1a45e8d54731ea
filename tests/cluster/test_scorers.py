"""Reward actors, over fakes of our own: routing and retries of a group worker, replacement by the driver."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from r1ray.cluster.scorers import MAX_SCORING_ATTEMPTS, RewardWorkers, ScorerPool
from r1ray.errors import PartFailure, PartStuck
from r1ray.types import Outcome, Scored, ScoredTrajectory, ScoringFailed, Trajectory
from tests.fakes import make_prompt, make_trajectory


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.cluster.scorers.RETRY_S", 0.0)


PROMPT = make_prompt()
TRAJECTORY = make_trajectory()


def scored_as(outcome: Outcome) -> ScoredTrajectory:
    return ScoredTrajectory.of(TRAJECTORY, outcome, extracted=None)


class Actor:
    """Answers with what ``answer`` gives."""

    def __init__(self, answer: Callable[[], Awaitable[Any]]) -> None:
        self.calls, self.is_killed = 0, False
        self._answer = answer
        self.score = SimpleNamespace(remote=self._score)

    def _score(self, *arguments: Any) -> Awaitable[Any]:
        self.calls += 1
        return self._answer()

    def kill(self) -> None:
        self.is_killed = True


def steady(outcome: Outcome) -> Actor:
    async def answer() -> Any:
        return scored_as(outcome)

    return Actor(answer)


def stuck() -> Actor:
    async def answer() -> Any:
        await asyncio.sleep(3600)

    return Actor(answer)


def pool(
    actors: list[Actor],
    fresh: Callable[[int], Actor],
    *,
    max_in_flight: int = 8,
    suspects: dict[str, str] | None = None,
) -> ScorerPool:
    """Return a pool whose reports are heeded as the driver heeds them."""
    rewards = RewardWorkers(actors, fresh)  # type: ignore[arg-type]

    def heed(index: int, actor: Any) -> None:
        asyncio.get_running_loop().call_later(0.01, rewards.replace, index, actor)

    made = ScorerPool(actors, heed, deadline_s=0.2, max_in_flight=max_in_flight, suspects=suspects)  # type: ignore[arg-type]
    rewards.when_replaced(lambda: made.update(rewards.actors))
    return made


class Judging(Actor):
    """Answers what ``judge`` makes of each trajectory, after a pause in which others come; dies with all that is on it
    where that is nothing."""

    def __init__(self, judge: Callable[[int], Outcome | Exception | None], asked: list[int]) -> None:
        super().__init__(self._never)
        self._judge, self._asked = judge, asked
        self._death = asyncio.Event()

    async def _never(self) -> Any:
        raise AssertionError

    def _score(self, prompt: Any, trajectory: Trajectory) -> Awaitable[Any]:
        self._asked.append(trajectory.index)
        return self._judged(trajectory)

    async def _judged(self, trajectory: Trajectory) -> Any:
        await asyncio.sleep(0.005)
        found = self._judge(trajectory.index)
        if found is None:
            self._death.set()
        if found is None or self._death.is_set():
            raise RayActorError
        if isinstance(found, Exception):
            raise found
        return ScoredTrajectory.of(trajectory, found, extracted=None)


def scored_by(
    judge: Callable[[int], Outcome | Exception | None], count: int, *, num_actors: int = 1
) -> tuple[list[Outcome], list[int]]:
    """Score trajectories 0, 1, ... at the same time. Return their outcomes, and in which order actors were asked."""
    asked: list[int] = []

    def spawn(index: int) -> Actor:
        return Judging(judge, asked)

    async def scenario() -> list[Outcome]:
        made = pool([spawn(index) for index in range(num_actors)], spawn, suspects={"mine": "auto", "other": "stop"})
        trajectories = [make_trajectory(index=index, text=f"text {index}") for index in range(count)]
        async with asyncio.timeout(30):
            found = await asyncio.gather(*(made.score(PROMPT, each) for each in trajectories))
        return [each.outcome for each in found]

    return asyncio.run(scenario()), asked


def refuse(index: int) -> Actor:
    raise AssertionError("nothing is to be replaced")


def test_a_trajectory_that_an_actor_could_not_score_goes_to_another_one() -> None:
    actors = [steady(ScoringFailed("no sandbox")), steady(Scored(1.0, {}))]
    scored = asyncio.run(pool(actors, refuse).score(PROMPT, TRAJECTORY))
    assert scored.outcome == Scored(1.0, {})
    assert [actor.calls for actor in actors] == [1, 1]


@pytest.mark.faults
def test_after_the_last_attempt_it_is_a_scoring_failure_never_a_zero() -> None:
    actors = [steady(ScoringFailed("no sandbox"))]
    scored = asyncio.run(pool(actors, refuse).score(PROMPT, TRAJECTORY))
    assert scored.outcome == ScoringFailed("no sandbox")
    assert actors[0].calls == MAX_SCORING_ATTEMPTS


@pytest.mark.faults
def test_an_actor_that_does_not_answer_is_replaced_and_the_trajectory_scored_by_the_next() -> None:
    hanging, good = stuck(), steady(Scored(1.0, {}))

    async def scenario() -> None:
        made = pool([hanging], lambda index: good)
        scored = await made.score(PROMPT, TRAJECTORY)
        assert scored.outcome == Scored(1.0, {})
        assert hanging.is_killed and made.actors == [good]

    asyncio.run(scenario())


def test_a_trajectory_that_waits_behind_slow_ones_is_no_reason_to_replace_a_busy_actor() -> None:
    turn = 0

    async def answer() -> Any:
        nonlocal turn
        turn += 1
        await asyncio.sleep(0.1 * turn)  # one after the other, the last one after three deadlines
        return scored_as(Scored(1.0, {}))

    async def many() -> None:
        made = pool([Actor(answer)], refuse)
        found = await asyncio.gather(*(made.score(PROMPT, TRAJECTORY) for _ in range(6)))
        assert [scored.outcome for scored in found] == [Scored(1.0, {})] * 6

    asyncio.run(many())


def test_no_more_trajectories_are_in_flight_than_allowed() -> None:
    running = most = 0

    async def answer() -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return scored_as(Scored(0.0, {}))

    async def many() -> None:
        actors = [Actor(answer), Actor(answer)]
        made = pool(actors, refuse, max_in_flight=3)
        await asyncio.gather(*(made.score(PROMPT, TRAJECTORY) for _ in range(40)))
        assert [actor.calls for actor in actors] == [20, 20]

    asyncio.run(many())
    assert most == 6


@pytest.mark.faults
@pytest.mark.parametrize("count", [1, 5])
def test_many_that_notice_a_dead_actor_replace_it_once(count: int) -> None:
    spawned: list[Actor] = []

    def spawn(index: int) -> Actor:
        spawned.append(steady(Scored(1.0, {})))
        return spawned[-1]

    async def many() -> None:
        made = pool([stuck()], spawn)
        await asyncio.gather(*(made.score(PROMPT, TRAJECTORY) for _ in range(count)))

    asyncio.run(many())
    assert len(spawned) == 1


@pytest.mark.faults
@pytest.mark.parametrize(("count", "num_actors"), [(1, 1), (6, 1), (20, 1), (20, 3)])
def test_a_trajectory_that_ends_its_actors_is_given_up_and_no_other(count: int, num_actors: int) -> None:
    outcomes, asked = scored_by(lambda index: None if index == 0 else Scored(1.0, {}), count, num_actors=num_actors)
    assert outcomes[1:] == [Scored(1.0, {})] * (count - 1)
    assert isinstance(outcomes[0], ScoringFailed)
    assert "the last time by itself" in outcomes[0].reason
    assert [(each.part, each.on_error, each.response, each.ended_worker) for each in outcomes[0].failures] == [
        ("mine", "auto", "text 0", True),
        ("other", "stop", "text 0", True),
    ], "either may have done it"
    assert asked.count(0) == (2 if count == 1 else MAX_SCORING_ATTEMPTS), "once more if it was among others"


@pytest.mark.faults
def test_several_that_end_their_actors_take_no_other_along() -> None:
    outcomes, _ = scored_by(lambda index: None if index % 7 == 0 else Scored(1.0, {}), 24, num_actors=2)
    failed = [index for index, outcome in enumerate(outcomes) if isinstance(outcome, ScoringFailed)]
    assert failed == [0, 7, 14, 21]


@pytest.mark.faults
def test_a_part_that_does_not_return_twice_is_known_by_its_name() -> None:
    stuck = RayTaskError(
        "score", "traceback", PartStuck("a completion waited 5 s for mine", "mine")
    ).as_instanceof_cause()
    outcomes, asked = scored_by(lambda index: stuck if index == 0 else Scored(1.0, {}), 3)
    assert isinstance(outcomes[0], ScoringFailed)
    assert [(each.part, each.kind) for each in outcomes[0].failures] == [("mine", "did not return")]
    assert asked.count(0) == 2
    assert outcomes[1:] == [Scored(1.0, {})] * 2


def test_a_trajectory_that_is_masked_is_not_scored_again() -> None:
    failure = PartFailure(part="mine", kind="returned None", message="returned None", response="x", on_error="mask")
    outcome = ScoringFailed("returned None", (failure,))
    actors = [steady(outcome), steady(Scored(1.0, {}))]
    assert asyncio.run(pool(actors, refuse).score(PROMPT, TRAJECTORY)).outcome == outcome
    assert [actor.calls for actor in actors] == [1, 0]


@pytest.mark.faults
def test_nothing_is_sent_to_a_dead_actor_until_another_is_in_its_place() -> None:
    """With one reward actor, every trajectory would use up its attempts on the one that is gone."""

    async def die() -> Any:
        raise RayActorError

    async def scenario() -> None:
        dead, good = Actor(die), steady(Scored(1.0, {}))
        made = pool([dead], lambda index: good)
        found = await asyncio.gather(*(made.score(PROMPT, TRAJECTORY) for _ in range(20)))
        assert [scored.outcome for scored in found] == [Scored(1.0, {})] * 20
        assert (dead.calls, good.calls) == (8, 20)  # as many as were sent before the first death was known

    asyncio.run(scenario())


@pytest.mark.faults
def test_two_pools_that_share_reward_actors_get_the_same_successor() -> None:
    spawned: list[Actor] = []

    def spawn(index: int) -> Any:
        spawned.append(steady(Scored(1.0, {})))
        return spawned[-1]

    dead: Any = stuck()
    rewards = RewardWorkers([dead], spawn)
    pools = [ScorerPool([dead], rewards.replace, deadline_s=0.2, max_in_flight=8) for _ in range(2)]
    for each in pools:
        rewards.when_replaced(lambda each=each: each.update(rewards.actors))  # type: ignore[misc]
    for each in pools:
        each._note(0, dead)
    assert len(spawned) == 1 and [each.actors for each in pools] == [spawned, spawned]
