"""Failures of the user's reward functions, in the loop: what is counted, shown, and ends a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.config import RewardConfig, StopConfig
from r1ray.errors import OwnFunctionFailed, PartFailure, R1RayError, Terminated, UserError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.reward_errors import RewardErrors, refuse_before_training
from r1ray.reward.failure_book import FailureBook
from r1ray.types import Outcome, Removed, Scored, ScoredGroup, ScoringFailed, Trajectory, Unscorable
from tests.fakes import make_prompt
from tests.loop.groups import make_group
from tests.loop.test_controller import World, make_config

GOOD = Scored(1.0, {"mine": 1.0})


def failure(kind: str = "ValueError at my_rewards.py:7", *, on_error: str = "auto") -> PartFailure:
    return PartFailure(
        part="mine",
        kind=kind,
        message="ValueError: no number in it",
        response="what the model wrote",
        traceback="Traceback (most recent call last):\n  my_rewards.py, line 7\n",
        on_error=on_error,
    )


def bad(kind: str = "ValueError at my_rewards.py:7", *, on_error: str = "auto") -> Outcome:
    return Scored(0.0, {"mine": 0.0}, (failure(kind, on_error=on_error),))


class Watch:
    """RewardErrors of steps with 40 trajectories, after the first."""

    def __init__(self, *, step: int = 1) -> None:
        config = RewardConfig(parts={"accuracy": {}, "mine": {"function": "my_rewards:mine"}})
        self.progress = Progress(9, StopConfig(), state=None, history=())
        self.progress.step = step
        self.errors = RewardErrors(config, step_size=40, progress=self.progress)

    def note(self, *outcomes: Outcome) -> bool:
        return self.errors.note(make_prompt("p7"), make_group("0/0", outcomes))


def test_every_part_of_the_users_has_its_count_in_every_step() -> None:
    watch = Watch()
    assert watch.errors.metrics() == {"reward_errors/mine": 0.0}
    watch.note(bad(), GOOD, bad("returned None"), Unscorable("no reference"), ScoringFailed("down"))
    assert watch.errors.metrics() == {"reward_errors/mine": 2.0}
    assert watch.errors.metrics() == {"reward_errors/mine": 0.0}, "a count is of one step"


def test_a_kind_is_shown_once_with_its_traceback_and_response_and_counted_at_the_end_of_a_step(said: list[str]) -> None:
    watch = Watch()
    watch.note(bad(on_error="zero"), bad(on_error="zero"), GOOD)
    (shown,) = said
    assert shown.startswith(
        "reward part mine: ValueError: no number in it (my_rewards.py:7) on prompt p7; the part is 0"
    )
    assert "my_rewards.py, line 7" in shown and "what the model wrote" in shown
    watch.note(bad("returned None", on_error="mask"))
    assert len(said) == 2 and "the response is left out" in said[1]
    watch.errors.metrics()
    assert said[2:] == [
        "reward part mine: ValueError at my_rewards.py:7 on 2 of 4 trajectories, 2 so far",
        "reward part mine: returned None on 1 of 4 trajectories, 1 so far",
    ]
    watch.note(bad(on_error="zero"))
    watch.errors.metrics()
    assert said[4:] == ["reward part mine: ValueError at my_rewards.py:7 on 1 of 1 trajectories, 3 so far"]


def test_in_the_first_step_it_ends_the_run_with_all_that_is_needed_to_mend_it() -> None:
    with pytest.raises(OwnFunctionFailed) as found:
        Watch(step=0).note(GOOD, bad())
    message = str(found.value)
    for part in ("mine", "p7", "my_rewards.py, line 7", "what the model wrote", "first step", "on_error=zero"):
        assert part in message
    assert isinstance(found.value, UserError), "exit code 2: the same command does the same"


@pytest.mark.parametrize("on_error", ["zero", "mask"])
def test_who_says_zero_or_mask_has_it_from_the_first_step_however_often(on_error: str) -> None:
    assert not Watch(step=0).note(*[bad(on_error=on_error)] * 40)


def test_stop_ends_it_whenever_it_comes() -> None:
    with pytest.raises(OwnFunctionFailed, match=r"reward\.parts\.mine\.on_error=stop ends the run"):
        Watch(step=0).note(bad(on_error="stop"))
    assert Watch(step=5).note(GOOD, bad(on_error="stop"))


def test_more_than_a_tenth_of_a_step_ends_it() -> None:
    watch = Watch()
    assert not watch.note(*[bad()] * 4)
    assert watch.note(bad())
    tolerant = Watch()
    for _ in range(5):
        assert not tolerant.note(*[bad()] * 4)
        tolerant.errors.metrics()  # a step each
    many = Watch()
    assert not any(many.note(bad(), *[GOOD] * 12) for _ in range(20)), "of what was scored, if that is more than a step"


def test_a_trajectory_with_two_failures_counts_once() -> None:
    both = (failure(), failure("returned None"))
    watch = Watch()
    assert not watch.note(*[Scored(0.0, {"mine": 0.0}, both)] * 4)
    assert watch.note(Scored(0.0, {"mine": 0.0}, both))


# ---------------------------------------------------------------------- in the controller


def run(world: World) -> None:
    asyncio.run(world.controller().run())


def failing_from(version: int, *, on_error: str = "auto") -> Callable[[Trajectory], Outcome]:
    """Rewards that fail on what is sampled from a version on."""

    def reward(trajectory: Trajectory) -> Outcome:
        if trajectory.oldest_version < version:
            return Scored(float(trajectory.index), {"mine": float(trajectory.index)})
        if on_error == "mask":
            return ScoringFailed("masked", (failure(on_error=on_error),))
        return bad(on_error=on_error)

    return reward


def test_a_function_that_never_works_ends_the_run_before_anything_is_trained(tmp_path: Path) -> None:
    world = World(tmp_path, make_config())
    world.scorer.reward = failing_from(0)
    with pytest.raises(OwnFunctionFailed, match="first step"):
        run(world)
    assert world.learner.trained == []


@pytest.mark.parametrize(("staleness", "on_error"), [(0, "auto"), (0, "stop"), (1, "auto")])
def test_a_function_that_breaks_later_ends_the_run_at_a_checkpoint(
    tmp_path: Path, staleness: int, on_error: str
) -> None:
    world = World(tmp_path, make_config(staleness=staleness, checkpoint_every=10, steps=8))
    world.scorer.reward = failing_from(2, on_error=on_error)
    with pytest.raises(OwnFunctionFailed, match=r"goes on") as found:
        run(world)
    assert "what the model wrote" in str(found.value)
    latest = Checkpoints(tmp_path / "checkpoints", keep=2).latest()
    assert latest is not None and latest[1].version == len(world.learner.trained)
    assert 2 <= latest[1].version <= 2 + staleness, "what was sampled before may be trained on, or not any more"


@pytest.mark.parametrize("on_error", ["zero", "auto"])
def test_some_zeros_are_trained_on_and_counted(tmp_path: Path, on_error: str) -> None:
    world = World(tmp_path, make_config(steps=3, prompts=12))

    def reward(trajectory: Trajectory) -> Outcome:
        is_bad = trajectory.oldest_version and trajectory.group_id.endswith("/3") and trajectory.index == 0
        return bad(on_error=on_error) if is_bad else Scored(1.0 + trajectory.index, {"mine": 1.0})

    world.scorer.reward = reward
    run(world)
    assert len(world.learner.trained) == 3
    lines = [line for line in world.log if line["step"]]
    assert [line.get("reward_errors/mine", 0.0) for line in lines] == [0.0, 1.0, 2.0]
    assert "scoring/failed_parts" not in lines[0]


def test_groups_that_nothing_can_score_say_why_when_they_end_the_run(tmp_path: Path) -> None:
    world = World(tmp_path, make_config())
    world.scorer.reward = lambda each: ScoringFailed("reward part mine: ConnectError: refused")
    with pytest.raises(R1RayError, match=r"because of unscored \(reward part mine: ConnectError: refused\)"):
        run(world)


def test_a_masked_failure_is_no_infrastructure_error(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1, prompts=2))
    world.config.algo.group_size = 3

    def reward(trajectory: Trajectory) -> Outcome:
        masked = ScoringFailed("masked", (failure(on_error="mask"),))
        return masked if trajectory.index == 2 else Scored(float(trajectory.index), {"mine": 1.0})

    world.scorer.reward = reward
    run(world)
    line = world.log[-1]
    assert (line["scoring/reward_error"], line["scoring/unscored"]) == (1 / 3, 2.0)
    assert line["reward_errors/mine"] >= 2.0 and "scoring/infrastructure_error" not in line


@pytest.mark.parametrize(("on_error", "ends"), [("auto", True), ("stop", True), ("zero", False), ("mask", False)])
def test_in_the_evaluation_before_the_first_step_it_ends_the_run_as_in_that_step(on_error: str, ends: bool) -> None:
    book = FailureBook(refuse_before_training)
    if ends:
        with pytest.raises(OwnFunctionFailed, match="in the evaluation before the first step") as found:
            book.note(failure(on_error=on_error), "p7")
        assert "what the model wrote" in str(found.value)
    else:
        book.note(failure(on_error=on_error), "p7")
        assert book.count("mine", "ValueError at my_rewards.py:7") == 1


WORLD_FAILED = PartFailure(
    part="maze",
    kind="KeyError at maze.py:3",
    message="KeyError: 'left'",
    response="",
    traceback="Traceback (most recent call last):\n  maze.py, line 3\n",
    on_error="mask",
    of="environment",
)


def without_worlds(num: int, *, reason: str = "environment_failed") -> ScoredGroup:
    """Return a group with one scored trajectory, and some that were removed."""
    failed = WORLD_FAILED if reason == "environment_failed" else None
    removed = tuple(Removed(index=i + 1, reason=reason, num_policy_tokens=0, failure=failed) for i in range(num))
    return replace(make_group("0/0", [GOOD]), removed=removed)


def test_a_failure_of_an_environments_own_is_shown_once_with_its_traceback(said: list[str]) -> None:
    watch = Watch()
    assert not watch.errors.note(make_prompt("p7"), without_worlds(2))
    (shown,) = said
    assert shown.startswith("environment maze: KeyError: 'left' (maze.py:3) on prompt p7; the response is left out")
    assert "maze.py, line 3" in shown and "The response was" not in shown
    assert watch.errors.metrics() == {"reward_errors/mine": 0.0}, "it is no reward"


def test_environments_that_fail_on_more_than_a_tenth_of_a_step_end_the_run_at_a_checkpoint() -> None:
    watch = Watch()
    assert not watch.errors.note(make_prompt(), without_worlds(4))
    assert watch.errors.note(make_prompt(), without_worlds(1))
    ended = watch.errors.instead_of(Terminated("stopped after step 1"))
    assert isinstance(ended, OwnFunctionFailed)
    assert "5 of a step's 40 trajectories" in str(ended) and "maze.py, line 3" in str(ended)
    another = Watch()
    for _ in range(3):
        assert not another.errors.note(make_prompt(), without_worlds(4))
        another.errors.metrics()  # a count is of one step


def test_in_the_first_step_they_end_it_at_once_and_lost_worlds_never_do() -> None:
    watch = Watch(step=0)
    assert not watch.errors.note(make_prompt(), without_worlds(40, reason="environment_lost"))
    assert not watch.errors.note(make_prompt(), without_worlds(4))
    with pytest.raises(OwnFunctionFailed, match="Fix environment maze"):
        watch.errors.note(make_prompt(), without_worlds(1))
