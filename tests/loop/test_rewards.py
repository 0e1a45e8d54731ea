"""Rewards of a group in the step that trains on it, and why groups are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from r1ray.config import AlgoConfig, RewardConfig, TeacherConfig
from r1ray.loop.rewards import is_uniform_group, punish_overlong, reason_to_drop, rewards_of, turn_rewards_of, weigh
from r1ray.turns import InEnvironment
from r1ray.types import Outcome, Scored, ScoredGroup, ScoringFailed, Unscorable
from tests.loop.groups import make_group

LATE = {"accuracy": {}, "helpful": {"weight": 2.0, "from_step": 3}}


def group_of(outcomes: Sequence[Outcome]) -> ScoredGroup:
    return make_group("0/0", outcomes)


def scored(accuracy: float, helpful: float) -> Scored:
    return Scored(accuracy + 2.0 * helpful, {"accuracy": accuracy, "helpful": helpful})


def totals(group: ScoredGroup, config: RewardConfig, *, step: int) -> list[float | None]:
    return rewards_of(weigh(group, config, step=step).trajectories, config, step=step, epsilon=0.0)


def test_a_total_is_of_the_parts_that_count_in_the_step() -> None:
    group, config = group_of([scored(1.0, 0.0), ScoringFailed("x"), scored(0.0, 1.0)]), RewardConfig(parts=LATE)
    assert totals(group, config, step=2) == [1.0, None, 0.0]
    assert totals(group, config, step=3) == [1.0, None, 2.0]


def test_a_group_keeps_the_totals_of_the_scorer_where_every_part_counts() -> None:
    group = group_of([Scored(0.3, {"accuracy": 1.0})])
    assert weigh(group, RewardConfig(parts=LATE), step=3) is group


def test_normalised_parts_are_equal_whatever_their_range() -> None:
    config = RewardConfig(parts=LATE, combine="normalised")
    first, second = totals(group_of([scored(1.0, 0.0), scored(0.0, 0.5)]), config, step=3)
    assert (first, second) == (pytest.approx(0.5**0.5 - 2 * 0.5**0.5), pytest.approx(2 * 0.5**0.5 - 0.5**0.5))


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([scored(1.0, 0.0), Unscorable("broken"), scored(0.0, 0.0)], "unscorable"),
        ([scored(1.0, 0.0), ScoringFailed("down"), ScoringFailed("down")], "unscored"),
        ([scored(1.0, 0.0), scored(1.0, 1.0)], "uniform"),
        ([scored(1.0, 0.0), scored(0.0, 0.0), ScoringFailed("down")], None),
    ],
)
def test_a_group_is_dropped_with_its_reason(outcomes: list[Outcome], reason: str | None) -> None:
    algo, reward = AlgoConfig(drop_uniform=True), RewardConfig(parts=LATE)
    assert reason_to_drop(group_of(outcomes), algo, reward, step=2) == reason


def test_a_uniform_group_stays_unless_the_preset_samples_dynamically() -> None:
    group = group_of([scored(1.0, 0.0), scored(1.0, 0.0)])
    assert reason_to_drop(group, AlgoConfig(), RewardConfig(parts=LATE), step=1) is None


@pytest.mark.parametrize(
    ("outcomes", "removed", "reason"),
    [
        ([scored(1.0, 0.0)], {}, None),
        ([scored(1.0, 0.0), scored(1.0, 0.0)], {}, None),
        ([scored(1.0, 0.0), ScoringFailed("down")], {}, None),
        ([ScoringFailed("down")], {}, "unscored"),
        ([Unscorable("broken")], {}, "unscorable"),
        ([scored(1.0, 0.0)], {0: "late"}, "late"),
    ],
)
def test_a_teacher_in_the_place_of_rewards_compares_nothing(
    outcomes: list[Outcome], removed: dict[int, str], reason: str | None
) -> None:
    algo = AlgoConfig(group_size=1, drop_uniform=True, teacher=TeacherConfig("t"))
    group = make_group("0/0", outcomes, removed=removed)
    assert reason_to_drop(group, algo, RewardConfig(parts=LATE), step=1) == reason
    beside = AlgoConfig(drop_uniform=True, teacher=TeacherConfig("t", beside_rewards=True))
    assert reason_to_drop(group, beside, RewardConfig(parts=LATE), step=1) is not None


OVERLONG = {"overlong_share": 0.5, "max_completion_tokens": 20}
"""An output of 15 tokens loses a half, one of 20 tokens or more everything."""


def test_an_output_loses_for_its_length_once_however_often_it_is_looked_at() -> None:
    algo = AlgoConfig(**OVERLONG)  # type: ignore[arg-type]
    outcomes = [scored(1.0, 0.0), scored(0.0, 1.0), ScoringFailed("x"), scored(1.0, 1.0)]
    group = make_group("0/0", outcomes, lengths=[10, 15, 20, 99])
    for parts in (LATE, {"accuracy": {}, "helpful": {"weight": 2.0}}):
        config, once = RewardConfig(parts=parts), group
        for _ in range(2):  # the second time as from the rollout log
            once = punish_overlong(weigh(once, config, step=2), algo)
            late = 0.0 if parts is LATE else 2.0
            assert rewards_of(once.trajectories, config, step=2, epsilon=0.0) == [1.0, late - 0.5, None, late]
        assert [one.outcome.parts["overlong"] for one in once.trajectories if isinstance(one.outcome, Scored)] == [
            *(0.0, -0.5, -1.0)
        ]


def test_rewards_that_are_normalised_are_punished_too() -> None:
    config = RewardConfig(parts={"accuracy": {}}, combine="normalised")
    group = make_group("0/0", [Scored(1.0, {"accuracy": 1.0})] * 2, lengths=[1, 15])
    punished = punish_overlong(weigh(group, config, step=1), AlgoConfig(**OVERLONG))  # type: ignore[arg-type]
    assert rewards_of(punished.trajectories, config, step=1, epsilon=0.0) == [0.0, -0.5]


def test_in_an_environment_the_longest_turn_is_punished() -> None:
    group = in_world(Scored(1.0, {"exit": 1.0}), {}, {}, {})
    worlds = [InEnvironment(name="maze", turn_tokens=lengths) for lengths in ((9, 9, 9), (3, 15, 3))]
    pairs = zip(group.trajectories, worlds, strict=True)
    group = replace(group, trajectories=tuple(replace(one, world=world, num_policy_tokens=99) for one, world in pairs))
    punished = punish_overlong(group, AlgoConfig(**OVERLONG))  # type: ignore[arg-type]
    assert [one.outcome.total for one in punished.trajectories if isinstance(one.outcome, Scored)] == [1.0, 0.5]


def test_nobody_is_punished_unless_that_is_asked_for() -> None:
    group = make_group("0/0", [scored(1.0, 0.0)] * 2, lengths=[1, 10_000])
    assert punish_overlong(group, AlgoConfig()) is group


@pytest.mark.parametrize("part", [None, "accuracy", "other"])
def test_dynamic_sampling_looks_at_the_part_that_is_named_and_without_it_at_the_total(part: str | None) -> None:
    algo = AlgoConfig(drop_uniform=True, uniform_part=part, **OVERLONG)  # type: ignore[arg-type]
    group = make_group("0/0", [scored(1.0, 0.0), scored(1.0, 0.0)], lengths=[1, 20])
    assert is_uniform_group(group, algo, RewardConfig(parts=LATE), step=1) is (part == "accuracy")
    assert reason_to_drop(group, algo, RewardConfig(parts=LATE), step=1) == ("uniform" if part == "accuracy" else None)


@pytest.mark.parametrize(
    ("removed", "reason"),
    [
        ({0: "late", 1: "late", 2: "late"}, "late"),
        ({0: "engine_lost", 1: "late"}, "engine_lost"),
        ({0: "late"}, None),
    ],
)
def test_a_group_of_which_too_little_is_left_is_dropped_with_the_reason_of_what_is_missing(
    removed: dict[int, str], reason: str | None
) -> None:
    group = make_group("0/0", [scored(1.0, 0.0), scored(0.0, 0.0), scored(1.0, 1.0)], removed=removed)
    assert reason_to_drop(group, AlgoConfig(), RewardConfig(parts=LATE), step=1) == reason


STEPS = {"exit": {"from_environment": True}, "step": {"weight": 0.5, "from_environment": True, "from_step": 2}}


def in_world(outcome: Outcome, *turns: Mapping[str, float]) -> ScoredGroup:
    group = make_group("0/0", [outcome, outcome])
    world = InEnvironment(name="maze", turn_rewards=turns)
    return replace(group, trajectories=tuple(replace(each, world=world) for each in group.trajectories))


def test_a_turn_is_paid_the_weighted_parts_that_its_environment_gave_for_it() -> None:
    group = in_world(
        Scored(1.0, {"step": 1.0, "exit": 1.0}), {"step": 3.0, "other": 9.0}, {}, {"step": -2.0, "exit": 1}
    )
    config = RewardConfig(parts=STEPS)
    assert turn_rewards_of(group.trajectories[0], config, step=2) == [1.5, 0.0, 0.0]
    assert turn_rewards_of(group.trajectories[0], config, step=1) == [0.0, 0.0, 1.0], "the part does not count yet"
    of_rule = RewardConfig(parts={"step": {"function": "m:f"}})
    assert turn_rewards_of(group.trajectories[0], of_rule, step=2) == [0.0] * 3, "a rule of that name judges the whole"
    not_of_it = in_world(Scored(1.0, {"exit": 1.0}), {"step": 3.0})
    assert turn_rewards_of(not_of_it.trajectories[0], config, step=2) == [0.0], "the part is of other domains"


def test_turns_are_paid_nothing_where_the_gate_is_closed() -> None:
    config = RewardConfig(parts=STEPS | {"format": {}}, combine="gated")
    for form, paid in ((1.0, [1.5]), (0.0, [0.0])):
        group = in_world(Scored(form, {"step": 3.0, "format": form}), {"step": 3.0})
        assert turn_rewards_of(group.trajectories[0], config, step=2) == paid
    later = RewardConfig(parts=STEPS | {"format": {"from_step": 9}}, combine="gated")
    assert turn_rewards_of(group.trajectories[0], later, step=2) == [1.5], "the gate does not count yet"


def test_a_group_whose_turns_are_paid_is_not_uniform_where_credit_is_theirs() -> None:
    group, reward = in_world(Scored(1.0, {"step": 2.0}), {"step": 2.0}, {}), RewardConfig(parts=STEPS)
    assert is_uniform_group(group, AlgoConfig(), reward, step=2)
    assert not is_uniform_group(group, AlgoConfig(credit="turn"), reward, step=2)
    assert is_uniform_group(make_group("0/0", [scored(1.0, 0.0)] * 2), AlgoConfig(credit="turn"), reward, step=2)
