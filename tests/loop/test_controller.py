"""The loop with fakes: order of events, staleness bound, ledger, drops, resume."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config import (
    AlgoConfig,
    CheckpointConfig,
    DataConfig,
    DeadlineConfig,
    EvalConfig,
    RewardConfig,
    RunConfig,
    StopConfig,
)
from r1ray.errors import LearnerLost, NonFiniteLoss, R1RayError, UserError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.controller import Controller
from r1ray.loop.roles import Roles
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.telemetry.eval_result import EvalResult
from r1ray.types import (
    GroupRecord,
    Minibatch,
    Outcome,
    Prompt,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    Shard,
    StepStats,
    Trajectory,
    Unscorable,
    group_of,
)
from tests.fakes import (
    Events,
    FakeEngine,
    FakeGroups,
    FakeLearner,
    FakePrompts,
    FakeRecorder,
    FakeScorer,
    FakeWeightSync,
    samples_of,
)


def make_config(*, staleness: int = 0, steps: int = 4, prompts: int = 3, checkpoint_every: int = 0) -> RunConfig:
    return RunConfig(
        reward=RewardConfig(parts={"accuracy": {}}),
        model="m",
        steps=steps,
        algo=AlgoConfig(
            group_size=2,
            prompts_per_step=prompts,
            minibatches_per_step=1,
            max_staleness=staleness,
            allow_unbounded_staleness=True,  # the fake learner has no objective
            reference_refresh_updates=2,
        ),
        data=DataConfig(train="t"),
        eval=EvalConfig(every=2),
        checkpoint=CheckpointConfig(every=checkpoint_every),
    )


class World:
    """A controller among fakes."""

    def __init__(self, tmp_path: Path, config: RunConfig, **engine: object) -> None:
        self.events = Events()
        self.engine = FakeEngine(self.events, **engine)  # type: ignore[arg-type]
        self.scorer = FakeScorer()
        self.groups = FakeGroups(self.engine, self.scorer)
        self.learner = FakeLearner(self.events)
        self.weights = FakeWeightSync(self.events, self.engine)
        self.recorder = FakeRecorder()
        self.prompts = FakePrompts()
        self.log: list[dict[str, float]] = []
        self.config = config
        self.checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
        self.evaluation_steps = 0
        """So many steps are trained during an evaluation, or all that are left."""
        self.lose_in_evaluation = -1
        self.score: Callable[[int], float] = lambda step: 0.5

    async def evaluate(self, step: int) -> EvalResult:
        self.events.append(f"evaluate v{step}, live v{self.engine.version}")
        await asyncio.sleep(0)
        end = len(self.learner.trained) + self.evaluation_steps
        while self.evaluation_steps and len(self.learner.trained) < min(end, self.config.steps):
            await asyncio.sleep(0)
        if self.lose_in_evaluation == step:  # every engine is lost: nothing comes before they are restored
            (self.weights.lose_eval_engine if self.config.eval.num_actors else self.engine.on_lost)()
            published = self.events.count(f"publish v{step}")
            while self.events.count(f"publish v{step}") == published:
                await asyncio.sleep(0)
        return EvalResult("heldout", {"pass@1": self.score(step)})

    def controller(self, **more: object) -> Controller:
        roles = Roles(self.groups, self.learner, self.weights, self.recorder, self.groups)
        self.last = Controller(
            self.config,
            roles,
            self.prompts,
            checkpoints=self.checkpoints,
            log=self.log.append,
            evaluate=self.evaluate,
            **more,  # type: ignore[arg-type]
        )
        return self.last

    def run(self, **more: object) -> None:
        asyncio.run(self.controller(**more).run())


def ends(records: Sequence[GroupRecord]) -> list[str]:
    """How each group ended, and why if it was not trained on."""
    return [f"{record.status} {record.dropped_reason}".strip() for record in records]


def trajectories_of(record: GroupRecord) -> tuple[ScoredTrajectory, ...]:
    assert record.group is not None
    return record.group.trajectories


def test_on_shared_devices_engines_rest_from_the_last_group_of_a_step_to_the_publish(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=2, prompts=2))
    world.weights.shares_devices = True
    world.run()
    assert [event for event in world.events if not event.startswith("evaluate")] == [
        *("publish v0", "generate 0/0 v0", "generate 0/1 v0", "rest", "train v0"),
        *("publish v1", "generate 0/2 v1", "generate 0/3 v1", "rest", "train v1", "refresh", "publish v2"),
    ]


def test_on_shared_devices_engines_go_on_where_groups_are_gone_once_they_rest(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1, prompts=2))
    world.weights.shares_devices, world.learner.lost = True, {"0/1"}
    world.run()
    order = [event for event in world.events if event.split()[0] in ("rest", "go", "generate", "train", "publish")]
    assert order[3:] == ["rest", "train v0", "go on v0", "generate 0/1 v0", "rest", "train v0", "publish v1"]


def test_on_policy_events_come_in_the_order_of_the_paper(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=2, prompts=2))
    world.run()
    assert [event for event in world.events if not event.startswith("evaluate")] == [
        *("publish v0", "generate 0/0 v0", "generate 0/1 v0", "train v0"),
        *("publish v1", "generate 0/2 v1", "generate 0/3 v1", "train v1", "refresh", "publish v2"),
    ]


@pytest.mark.parametrize("staleness", [0, 1, 2])
def test_no_completion_is_older_than_max_staleness(tmp_path: Path, staleness: int) -> None:
    slow = {"0/1": 60, "0/4": 45}
    world = World(tmp_path, make_config(staleness=staleness, steps=6), delay=lambda name: slow.get(name, 0))
    world.run()
    assert max(world.learner.staleness) <= staleness
    assert world.last.ledger.dropped.total() == 0
    if staleness == 0:
        assert set(world.learner.staleness) == {0}


def test_generation_runs_ahead_of_learning_when_it_may(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(staleness=1, steps=4))
    world.run()
    assert max(world.learner.staleness) == 1
    assert world.events.index("train v0") > world.events.index("generate 0/3 v0")


def test_every_group_is_trained_once_and_the_ledger_balances(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(staleness=1, steps=5))
    world.run()
    trained = list(itertools.chain(*world.learner.trained))
    assert len(trained) == len(set(trained)) == 15
    ledger = world.last.ledger
    assert (ledger.issued, ledger.trained, len(ledger.in_flight)) == (15, 15, 0)
    rows = [row for row in world.log if "ledger/issued" in row]
    for row in rows:
        ends = row["ledger/trained"] + row["ledger/dropped"] + row["ledger/in_flight"]
        assert row["ledger/issued"] == ends


def test_every_completion_is_scored_exactly_once(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=3))
    world.run()
    assert len(world.scorer.scored) == len(set(world.scorer.scored)) == 3 * 3 * 2


@pytest.mark.faults
def test_a_lost_engine_means_another_try_and_another_publish(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=2))
    world.engine.fail_next = 1
    world.run()
    assert world.last.ledger.trained == 6
    assert world.events.count("publish v0") == 2, "the engines are restored while the learner is idle"


def test_a_group_that_cannot_be_generated_is_dropped_and_replaced(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1, prompts=1))
    world.engine.fail_next = 6  # each attempt of both trajectories
    world.run()
    ledger = world.last.ledger
    assert ledger.dropped == {"engine_lost": 1}
    assert (ledger.issued, ledger.trained) == (2, 1)
    assert ends(world.recorder.records[1]) == ["trained", "dropped engine_lost"]


def test_an_unscorable_prompt_is_quarantined_not_scored_zero(tmp_path: Path) -> None:
    def reward(trajectory: Trajectory) -> Outcome:
        return Unscorable("broken") if trajectory.group_id == "0/0" else Scored(1.0, {"accuracy": 1.0})

    world = World(tmp_path, make_config(steps=1))
    world.scorer.reward = reward
    world.run()
    assert world.last.ledger.dropped == {"unscorable": 1}
    assert all("0/0" not in step for step in world.learner.trained)


@pytest.mark.faults
def test_a_completion_whose_scoring_failed_is_left_out_of_its_group(tmp_path: Path) -> None:
    config = make_config(steps=1, prompts=1)
    config.algo.group_size = 4

    def reward(trajectory: Trajectory) -> Outcome:
        return ScoringFailed("out of memory") if trajectory.index == 3 else Scored(float(trajectory.index == 0), {})

    world = World(tmp_path, config)
    world.scorer.reward = reward
    world.run()
    (record,) = world.recorder.records[1]
    assert record.advantages[3] is None
    assert sum(a for a in record.advantages if a is not None) == pytest.approx(0.0)
    assert world.log[-1]["scoring/unscored"] == 1.0


def test_a_group_with_fewer_than_two_rewards_is_dropped(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1))
    world.scorer.reward = lambda c: (
        ScoringFailed("x") if c.group_id == "0/1" and c.index == 0 else Scored(1.0, {"accuracy": 1.0})
    )
    world.run()
    assert world.last.ledger.dropped == {"unscored": 1}


def truncating(world: World, which: Callable[[int], bool]) -> None:
    """Let the length limit cut the completions whose index ``which`` accepts."""
    judge = world.scorer.score

    async def score(prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        scored = await judge(prompt, trajectory)
        return replace(scored, status="truncated") if which(scored.index) else scored

    world.scorer.score = score  # type: ignore[method-assign]


def watched(world: World) -> list[Minibatch]:
    """The minibatches of every step, of the only rank, as the learner gets them."""
    seen: list[Minibatch] = []
    learn = world.learner.train

    async def train(shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False) -> StepStats:
        seen.extend(shards[0].minibatches)
        return await learn(shards, groups, has_more=has_more)

    world.learner.train = train  # type: ignore[method-assign]
    return seen


def test_a_truncated_completion_can_be_masked_out_of_the_loss_but_not_of_the_baseline(tmp_path: Path) -> None:
    config = make_config(steps=1, prompts=1)
    config.algo = replace(config.algo, group_size=4, mask_truncated=True, advantage_std="none")
    world = World(tmp_path, config)
    truncating(world, lambda index: index == 3)
    minibatches = watched(world)
    world.run()
    (record,) = world.recorder.records[1]
    assert record.advantages == (-0.5, 0.5, -0.5, None), "of rewards 0, 1, 0, 1"
    assert [(m.num_sequences, m.num_tokens) for m in minibatches] == [(3, 9)]


def test_a_masked_completion_counts_where_the_preset_says_so(tmp_path: Path) -> None:
    config = make_config(steps=1, prompts=1)
    config.algo = replace(config.algo, group_size=4, mask_truncated=True, count_masked=True)
    world = World(tmp_path, config)
    truncating(world, lambda index: index == 3)
    minibatches = watched(world)
    world.run()
    assert [(m.num_sequences, m.num_tokens) for m in minibatches] == [(4, 9)]


def test_a_step_whose_every_completion_is_masked_changes_nothing_and_ends(tmp_path: Path) -> None:
    config = make_config(steps=2)
    config.algo = replace(config.algo, mask_truncated=True)
    world = World(tmp_path, config)
    truncating(world, lambda index: True)
    minibatches = watched(world)
    world.run()
    assert minibatches == [] and world.last.ledger.trained == 6
    assert {a for step in (1, 2) for record in world.recorder.records[step] for a in record.advantages} == {None}


def test_the_order_in_which_completions_finish_decides_nothing(tmp_path: Path) -> None:
    """What a step learns, row by row, with groups and completions that finish in turn and the other way round."""

    def learned(folder: Path, delay: Callable[[str], int], *, is_reversed: bool) -> list[list[tuple[str, int, float]]]:
        config = make_config(steps=2)
        config.algo = replace(config.algo, group_size=4, minibatches_per_step=3)
        world = World(folder, config, delay=delay)
        world.scorer.reward = lambda c: Scored(0.1 * c.index + 0.3 * (c.group_id == "0/1"), {"accuracy": 1.0})
        generate, learn = world.engine.generate, world.learner.train
        steps: list[list[tuple[str, int, float]]] = []

        async def reordered(request: TrajectoryRequest) -> Generated:
            for _ in range(8 * (4 - request.index) if is_reversed else 0):
                await asyncio.sleep(0)
            return await generate(request)

        async def train(shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False) -> StepStats:
            rows = samples_of(shards, groups)
            steps.append([(group_of(name), row.index, advantage) for name, row, advantage in rows])
            return await learn(shards, groups, has_more=has_more)

        world.engine.generate = reordered  # type: ignore[method-assign]
        world.learner.train = train  # type: ignore[method-assign]
        world.run()
        for step in (1, 2):
            for record in world.recorder.records[step]:
                pairs = zip(record.advantages, (scored.index for scored in trajectories_of(record)), strict=True)
                assert [index for _, index in sorted(pairs)] == [0, 1, 2, 3], "each trajectory keeps its own advantage"
        return steps

    in_turn = learned(tmp_path / "a", lambda name: 0, is_reversed=False)
    assert learned(tmp_path / "b", lambda name: {"0/0": 40, "0/1": 20}.get(name, 0), is_reversed=True) == in_turn
    assert len(in_turn) == 2 and len(in_turn[0]) == 12


def test_whitening_is_over_the_whole_step(tmp_path: Path) -> None:
    """Six completions of three tokens: advantages +1/2 and -1/2 in two groups, 0 in the third."""
    config = make_config(steps=1)
    config.algo = replace(config.algo, advantage_std="token_population")
    world = World(tmp_path, config)
    world.scorer.reward = lambda c: Scored(float(c.index % 2 or c.group_id == "0/2"), {"accuracy": 1.0})
    world.run()
    records = {record.group_id: record.advantages for record in world.recorder.records[1]}
    assert records["0/0"] == pytest.approx((-(1.5**0.5), 1.5**0.5), rel=1e-5)
    assert records["0/2"] == (0.0, 0.0)


def test_uniform_groups_are_dropped_and_replaced_where_the_preset_samples_dynamically(tmp_path: Path) -> None:
    uniform = {"0/0", "0/3"}
    config = make_config(steps=2, staleness=1)
    config.algo = replace(config.algo, drop_uniform=True)
    world = World(tmp_path, config)
    world.scorer.reward = lambda c: Scored(float(c.index % 2 or c.group_id in uniform), {"accuracy": 1.0})
    world.run()
    ledger = world.last.ledger
    assert ledger.dropped == {"uniform": 2} and ledger.trained == 6
    assert not uniform & set(itertools.chain(*world.learner.trained))
    statuses = {record.group_id: record.status for step in (1, 2) for record in world.recorder.records[step]}
    assert {statuses[name] for name in uniform} == {"uniform"}


LATE = {"accuracy": {}, "helpful": {"weight": 2.0, "from_step": 3}}


def late(config: RunConfig, combine: str = "sum") -> RunConfig:
    """A second part that counts from the third step on."""
    config.reward = RewardConfig(parts=LATE, combine=combine, gate="helpful")
    return config


def helped(trajectory: Trajectory) -> Outcome:
    """What the scorer, which knows of no steps, says: accuracy 1 of odd completions, helpful 1 of even ones."""
    parts = {"accuracy": float(trajectory.index % 2), "helpful": float(trajectory.index % 2 == 0)}
    return Scored(parts["accuracy"] + 2.0 * parts["helpful"], parts)


@pytest.mark.parametrize("staleness", [0, 1])
def test_a_part_counts_from_its_step_on(tmp_path: Path, staleness: int) -> None:
    world = World(tmp_path, late(make_config(steps=4, staleness=staleness)))
    world.scorer.reward = helped
    world.run()
    for step in (1, 2, 3, 4):
        counts = step >= 3
        row = next(row for row in world.log if row["step"] == step)
        assert (row["reward/mean"], row["reward/helpful"]) == (1.5 if counts else 0.5, 0.5)
        for record in world.recorder.records[step]:
            totals = [t.outcome.total for t in trajectories_of(record) if isinstance(t.outcome, Scored)]
            assert totals == ([2.0, 1.0] if counts else [0.0, 1.0]), "the log has what is trained on"
            first, second = record.advantages
            assert first is not None and second is not None
            assert (first > second) == counts


def test_a_part_that_does_not_count_yet_does_not_move_a_normalised_reward(tmp_path: Path) -> None:
    world = World(tmp_path, late(make_config(steps=3), "normalised"))
    world.scorer.reward = helped
    world.run()
    signs = [record.advantages[0] for step in (1, 2, 3) for record in world.recorder.records[step][:1]]
    assert signs == pytest.approx([-(0.5**0.5), -(0.5**0.5), 0.5**0.5], abs=1e-5)
    assert [row["reward/mean"] for row in world.log[1:]] == [0.5, 0.5, 1.5], "before it is normalised"


def test_a_gate_that_does_not_count_yet_closes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, late(make_config(steps=3), "gated"))
    world.scorer.reward = lambda c: Scored(0.0, {"accuracy": 1.0, "helpful": 0.0})
    world.run()
    assert [row["reward/mean"] for row in world.log[1:]] == [1.0, 1.0, 0.0]


def test_a_group_is_uniform_by_the_parts_that_count(tmp_path: Path) -> None:
    config = late(make_config(steps=3, prompts=1))
    config.algo = replace(config.algo, drop_uniform=True)
    world = World(tmp_path, config)
    world.scorer.reward = lambda c: Scored(
        2.0 * (c.index % 2), {"accuracy": float(c.index % 2 and c.group_id != "0/1"), "helpful": float(c.index % 2)}
    )
    world.run()
    assert world.last.ledger.dropped == {"uniform": 1}
    assert [record.group_id for step in (1, 2) for record in world.recorder.records[step]] == ["0/0", "0/2", "0/1"]


def test_rewards_are_those_of_the_scorer_where_every_part_counts(tmp_path: Path) -> None:
    """To the last bit, whatever the parts are."""
    world = World(tmp_path, make_config(steps=1))
    world.scorer.reward = lambda c: Scored(0.1 + 0.2 * c.index, {"accuracy": 7.0})
    world.run()
    assert world.log[-1]["reward/mean"] == sum([0.1, 0.1 + 0.2] * 3) / 6


def test_domains_have_their_own_metrics(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1, prompts=4))
    at = world.prompts.at
    world.prompts.at = lambda position: replace(at(position), domain="ab"[position.index % 4 == 3])  # type: ignore[method-assign]
    world.scorer.reward = lambda c: Scored(float(c.group_id == "0/3"), {})
    world.run(domains=["a", "b"])
    row = world.log[-1]
    assert (row["domain/a/share"], row["domain/b/share"]) == (0.75, 0.25)
    assert (row["domain/a/reward_mean"], row["domain/b/reward_mean"]) == (0.0, 1.0)


def flat(config: RunConfig, **stop: object) -> RunConfig:
    """Training ends once the mean reward has stopped to rise."""
    config.stop = StopConfig(**{"window": 1, "after": 0, "min_gain": 0.1, **stop})  # type: ignore[arg-type]
    return config


def rising_until(version: int) -> Callable[[Trajectory], Outcome]:
    def reward(trajectory: Trajectory) -> Outcome:
        total = float(min(trajectory.oldest_version, version)) + 0.01 * trajectory.index
        return Scored(total, {"accuracy": total})

    return reward


@pytest.mark.parametrize("staleness", [0, 2])
def test_training_ends_as_at_the_last_step_once_the_reward_has_stopped_to_rise(
    tmp_path: Path, staleness: int, said: list[str]
) -> None:
    world = World(tmp_path, flat(make_config(steps=40, staleness=staleness, checkpoint_every=100)))
    world.scorer.reward = rising_until(3)
    world.run()
    last = world.last.last
    assert world.last.version == last < 12
    rows = [row for row in world.log if "reward/mean" in row]
    assert [row["step"] for row in rows] == list(range(1, last + 1))
    gains = [after["reward/mean"] - before["reward/mean"] for before, after in itertools.pairwise(rows[:-1])]
    assert [gain < 0.1 for gain in gains] == [False] * (last - 3) + [True], "decided of the step before the last"
    assert "eval/heldout/pass@1" in rows[-1] and rows[-1]["stop/plateau"] == 1.0
    assert all("stop/plateau" not in row for row in rows[:-1])
    found = world.checkpoints.latest()
    assert found is not None and found[1].version == last and not found[1].ledger["in_flight"]
    assert said == [
        f"stage rl: training ends with step {last}: the mean of reward/mean over the last 1 metrics is not 0.1 above "
        "that of the 1 before (stop.patience=1)"
    ]


@pytest.mark.parametrize("staleness", [0, 1, 3])
def test_the_books_balance_when_training_ends_early(tmp_path: Path, staleness: int) -> None:
    slow = World(tmp_path, flat(make_config(steps=40, staleness=staleness)), delay=lambda name: 30)
    slow.scorer.reward = rising_until(0)
    slow.run()
    ledger = slow.last.ledger
    assert slow.last.version == 3
    assert (ledger.trained, len(ledger.in_flight)) == (9, 0)
    assert ledger.issued == 9 + ledger.dropped.total()
    assert set(ledger.dropped) <= {"stopped"}
    recorded = [end for step in (1, 2, 3) for end in ends(slow.recorder.records[step])]
    assert recorded.count("dropped stopped") == ledger.dropped.total(), "no group ends in silence"


def test_a_metric_of_the_evaluation_may_end_training(tmp_path: Path) -> None:
    world = World(tmp_path, flat(make_config(steps=40), metric="eval/heldout/pass@1"))
    world.score = lambda version: min(version, 6) / 10
    world.run()
    assert world.last.version == 9, "versions 6 and 8 were the first two without a gain"
    assert [row["step"] for row in world.log if "eval/heldout/pass@1" in row] == [0, 2, 4, 6, 8, 9]


def test_an_evaluation_without_the_metric_that_ends_training_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, flat(make_config(), metric="eval/heldout/cons@4"))
    with pytest.raises(UserError, match=r"stop.metric=eval/heldout/cons@4: .* needs one of eval/heldout/pass@1\."):
        world.run()
    assert not world.learner.trained


def test_a_resumed_run_ends_at_the_same_step(tmp_path: Path) -> None:
    config = flat(make_config(steps=40, checkpoint_every=1), window=2)
    config.checkpoint.asynchronous = False
    whole = World(tmp_path / "whole", config)
    whole.scorer.reward = rising_until(2)
    whole.run()
    last = whole.last.version
    for crash_at in range(2, last):
        first = World(tmp_path / str(crash_at), config)
        first.scorer.reward = rising_until(2)
        first.learner.crash_at = crash_at
        with pytest.raises(RuntimeError, match="planted"):
            first.run()
        found = first.checkpoints.latest()
        assert found is not None and found[1].version == crash_at
        second = World(tmp_path / str(crash_at), config)
        second.scorer.reward, second.prompts = rising_until(2), FakePrompts(found[1].position)
        second.run(state=found[1], history=[row for row in first.log if row["step"] <= crash_at])
        assert second.last.version == second.last.last == last
        assert second.learner.trained == whole.learner.trained[crash_at:]


@pytest.mark.faults
def test_a_run_that_died_after_its_early_end_trains_no_further(tmp_path: Path) -> None:
    config = flat(make_config(steps=40, checkpoint_every=1))
    first = World(tmp_path, config)
    first.scorer.reward = rising_until(0)
    first.run()
    found = first.checkpoints.latest()
    assert found is not None
    second = World(tmp_path, config)
    second.run(state=found[1], history=first.log)
    assert second.last.last == second.last.version == 3
    assert not second.learner.trained


def test_records_are_logged_in_order_with_their_evaluations(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(staleness=1, steps=4))
    world.run()
    assert [row["step"] for row in world.log] == [0, 1, 2, 3, 4]
    assert [row["step"] for row in world.log if "eval/heldout/pass@1" in row] == [0, 2, 4]
    evaluated = [event for event in world.events if event.startswith("evaluate")]
    assert evaluated == [f"evaluate v{v}, live v{v}" for v in (0, 2, 4)], "each under the version it is logged for"


@pytest.mark.faults
@pytest.mark.parametrize("step", [0, 2, 4])
def test_engines_lost_during_an_evaluation_are_restored_to_its_version(tmp_path: Path, step: int) -> None:
    world = World(tmp_path, make_config(staleness=1, steps=4))
    world.lose_in_evaluation = step
    world.run()
    assert [row["step"] for row in world.log if "eval/heldout/pass@1" in row] == [0, 2, 4]
    assert world.events.count(f"publish v{step}") == 2


def test_a_slow_evaluation_ends_before_the_weights_that_it_is_of(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(staleness=1, steps=4))
    slow_down(world)
    world.run()
    assert [row["step"] for row in world.log] == [0, 1, 2, 3, 4]
    assert world.last.ledger.trained == 12


def slow_down(world: World) -> None:
    """Have evaluations take their time."""
    evaluate = world.evaluate

    async def slow(step: int) -> EvalResult:
        await asyncio.sleep(0.05)
        return await evaluate(step)

    world.evaluate = slow  # type: ignore[method-assign]


def apart(tmp_path: Path, *, during: int, steps: int = 8) -> World:
    """Engines of its own evaluate; ``during``: steps that are trained meanwhile."""
    config = make_config(steps=steps)
    config.eval.num_actors = 1
    world = World(tmp_path, config)
    world.evaluation_steps = during
    return world


def test_a_step_whose_fresh_tokens_differ_has_its_publish_probed(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=4))
    world.learner.metrics = {2: {"mismatch/fresh_kl": 0.5}}
    world.run()
    assert world.weights.probed == [3]


def evaluated_versions(world: World) -> list[float]:
    return [row["policy_version"] for row in world.log if "eval/heldout/pass@1" in row]


def test_engines_of_its_own_evaluate_while_training_goes_on(tmp_path: Path) -> None:
    world = apart(tmp_path, during=3)
    world.run()
    assert evaluated_versions(world)[0] == 0 and evaluated_versions(world)[-1] == 8
    first = next(i for i, row in enumerate(world.log) if "eval/heldout/pass@1" in row)
    assert world.log[first - 1]["step"] > 0, "steps were made before the metrics of version 0 were there"
    assert [row["step"] for row in world.log if "reward/mean" in row] == list(range(1, 9))


def test_engines_of_its_own_get_only_the_versions_that_they_evaluate(tmp_path: Path) -> None:
    world = apart(tmp_path, during=3)
    world.run()
    assert world.weights.to_eval_engines == evaluated_versions(world)
    assert len(world.weights.to_eval_engines) < 5, "a version that was due while they were busy is left out"


def test_quick_engines_of_its_own_evaluate_every_version_that_is_due(tmp_path: Path) -> None:
    world = apart(tmp_path, during=0)
    world.run()
    assert evaluated_versions(world) == [0, 2, 4, 6, 8]


def test_the_last_version_is_evaluated_however_busy_the_engines_are(tmp_path: Path) -> None:
    world = apart(tmp_path, during=2, steps=2)
    world.run()
    assert evaluated_versions(world) == [0, 2]


@pytest.mark.faults
def test_an_evaluation_engine_that_is_lost_gives_up_its_version_and_not_the_run(tmp_path: Path) -> None:
    world = apart(tmp_path, during=0)
    world.lose_in_evaluation = 2
    world.run()
    assert evaluated_versions(world) == [0, 4, 6, 8]
    assert [row["policy_version"] for row in world.log if row.get("eval/abandoned")] == [2]


def test_what_a_step_waits_for_the_evaluation_of_the_version_before_is_a_metric(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=4))
    slow_down(world)
    world.run()
    waits = {row["step"]: row["time/eval_wait_s"] for row in world.log if "time/eval_wait_s" in row}
    assert [step for step, seconds in waits.items() if seconds > 0.03] == [3], "version 2 is evaluated during step 3"


@pytest.mark.faults
def test_a_resumed_run_issues_what_was_in_flight_and_trains_nothing_twice(tmp_path: Path) -> None:
    config = make_config(staleness=1, steps=6, checkpoint_every=2)
    config.checkpoint.asynchronous = False  # else the crash may come before the last checkpoint is whole
    whole = World(tmp_path / "whole", config)
    whole.run()

    first = World(tmp_path, config)

    first.learner.crash_at = 5
    with pytest.raises(RuntimeError, match="planted"):
        first.run()
    saved = first.checkpoints.latest()
    assert saved is not None
    state = saved[1]
    assert state.version == 4 and state.ledger["in_flight"], "groups were under way when the run died"

    second = World(tmp_path, config)
    second.prompts = FakePrompts(state.position)
    second.run(state=state)
    trained = list(itertools.chain(*first.learner.trained[:4], *second.learner.trained))
    assert sorted(trained) == sorted(itertools.chain(*whole.learner.trained))
    assert second.last.ledger.trained == 18 and not second.last.ledger.in_flight


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.loop.upkeep.saving.POLL_S", 0.0)
    world = World(tmp_path, make_config(steps=6, checkpoint_every=2))
    newest: dict[int, int | None] = {}
    learn, write = world.learner.train, world.learner.written

    async def written() -> bool:
        saved = 2 * world.events.count("save")
        return (saved == 6 or len(world.learner.trained) > saved) and await write()

    async def train(shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False) -> StepStats:
        found = world.checkpoints.latest()
        newest[shards[0].learner_version] = found[1].version if found else None
        return await learn(shards, groups, has_more=has_more)

    world.learner.train, world.learner.written = train, written  # type: ignore[method-assign]
    world.run()
    assert world.events.count("save") == 3
    assert newest[2] is None, "the third step began before the first checkpoint was whole"
    assert newest[4] == 2, "the second one waited for the first"
    found = world.checkpoints.latest()
    assert found is not None and found[1].version == 6, "the end waits for the last one"


def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_leaves_the_one_before(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=8, checkpoint_every=2))
    write = world.learner.written

    async def written() -> bool:
        if world.events.count("save") == 2:
            raise OSError("No space left on device")
        return await write()

    world.learner.written = written  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space left"):
        world.run()
    found = world.checkpoints.latest()
    assert found is not None and found[1].version == 2


def test_without_asynchronous_a_checkpoint_is_whole_before_the_next_step(tmp_path: Path) -> None:
    config = make_config(steps=4, checkpoint_every=1)
    config.checkpoint.asynchronous = False
    world = World(tmp_path, config)
    world.learner.slow_writes = 10**9
    world.run()
    found = world.checkpoints.latest()
    assert found is not None and found[1].version == 4


def test_the_checkpoint_with_the_best_metric_is_kept(tmp_path: Path) -> None:
    config = make_config(steps=8, checkpoint_every=1)
    config.checkpoint.best = "pass@1"
    world = World(tmp_path, config)
    world.checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1, best="pass@1")
    world.score = {0: 0.9, 2: 0.3, 4: 0.8, 6: 0.5, 8: 0.1}.__getitem__
    world.run()
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["4", "8", "best.json"], "version 0 has no checkpoint, odd ones no metric"
    assert json.loads((tmp_path / "checkpoints" / "best.json").read_text())["value"] == 0.8


def test_a_best_that_no_evaluation_has_is_refused_before_the_first_step(tmp_path: Path) -> None:
    config = make_config(checkpoint_every=2)
    config.checkpoint.best = "pass@2"
    world = World(tmp_path, config)
    with pytest.raises(UserError, match=r"checkpoint.best=pass@2: .* needs one of pass@1\."):
        world.run()
    assert not world.learner.trained


def test_versions_that_are_due_are_exported_before_their_checkpoint_and_none_twice(tmp_path: Path) -> None:
    """The last one is left to the end of the run."""
    config = make_config(steps=6, checkpoint_every=4)
    config.checkpoint.export_every = 2
    config.checkpoint.asynchronous = False
    world = World(tmp_path, config)
    world.learner.crash_at = 5

    async def export(version: int) -> None:
        assert world.last.version == version == world.engine.version
        world.events.append(f"export v{version}")

    with pytest.raises(RuntimeError, match="planted"):
        world.run(export=export)
    made = [event for event in world.events if event.startswith(("export", "save"))]
    assert made == ["export v2", "export v4", "save"]
    saved = world.checkpoints.latest()
    assert saved is not None
    again = world
    world = World(tmp_path, config)
    world.prompts = FakePrompts(saved[1].position)
    world.run(state=saved[1], export=export)
    assert [event for event in world.events if event.startswith(("export", "save"))] == ["save"]
    assert again.last.version == 5


def test_groups_whose_loss_is_not_finite_are_written_aside_and_named(tmp_path: Path) -> None:
    world = World(tmp_path, make_config())
    world.learner.crash_at, world.learner.crash = 2, NonFiniteLoss(("0/7", "1/0"))
    with pytest.raises(R1RayError, match=r"step 3 is not finite for groups 0/7, 1/0, which are in not_finite_step=3"):
        world.run()
    assert [(record.group_id, record.status) for record in world.recorder.aside] == [
        ("0/7", "not_finite"),
        ("1/0", "not_finite"),
    ]
    assert 3 not in world.recorder.records, "the step did not happen"


@pytest.mark.faults
def test_a_wait_that_does_not_end_names_both_sides_and_the_key(tmp_path: Path) -> None:
    config = make_config(steps=1)
    config.deadlines = DeadlineConfig(learn_s=0.05)
    world = World(tmp_path, config)
    world.learner.turns = 10**9
    with pytest.raises(LearnerLost, match=r"the controller waited 0.05 s for the learner group.*deadlines.learn_s"):
        world.run()


@settings(max_examples=40, deadline=None)
@given(
    staleness=st.integers(0, 3),
    steps=st.integers(1, 5),
    prompts=st.integers(1, 4),
    delays=st.lists(st.integers(0, 40), min_size=1, max_size=12),
)
def test_the_staleness_bound_and_the_books_hold_for_any_timing(
    tmp_path_factory: pytest.TempPathFactory, staleness: int, steps: int, prompts: int, delays: list[int]
) -> None:
    def delay(group_id: str) -> int:
        epoch, index = map(int, group_id.split("/"))
        return delays[(epoch * FakePrompts.PER_EPOCH + index) % len(delays)]

    world = World(
        tmp_path_factory.mktemp("w"), make_config(staleness=staleness, steps=steps, prompts=prompts), delay=delay
    )
    world.run()
    assert max(world.learner.staleness) <= staleness
    assert world.last.ledger.trained == steps * prompts
    assert world.last.ledger.issued == steps * prompts


def test_a_prompt_that_does_not_fit_is_dropped_with_its_reason(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1))
    world.engine.too_long = {"0/1"}
    world.run()
    assert world.last.ledger.dropped == {"prompt_too_long": 1}
    assert world.events.count("publish v0") == 1, "the engine is none the worse for it"


def test_a_run_in_which_every_group_is_dropped_stops_and_says_why(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1))
    world.scorer.reward = lambda c: Unscorable("broken")
    with pytest.raises(R1RayError, match=r"65 groups in a row were dropped, the last one because of unscorable"):
        world.run()


def test_engines_are_restored_after_a_group_was_given_up(tmp_path: Path) -> None:
    world = World(tmp_path, make_config(steps=1, prompts=1))
    world.engine.fail_next = 6
    world.run()
    assert world.events.count("publish v0") >= 2


@pytest.mark.parametrize("streams", [False, True])
def test_the_parts_of_a_step_add_up_to_it(tmp_path: Path, streams: bool) -> None:
    config = make_config(steps=4)
    config.algo = replace(config.algo, minibatches_per_step=3, stream_minibatches=streams)
    world = World(tmp_path, config)
    world.run()
    own = {"busy_rollout", "idle_rollout", "paused_rollout", "eval", "publish", "generate", "reward"}  # of others
    for row in (row for row in world.log if "time/step_s" in row):
        times = {name[5:-2]: seconds for name, seconds in row.items() if name.startswith("time/")}
        parts = {name for name in times if name not in own | {"step"}} | {"publish"}
        assert {"idle_learner", "eval_wait", "learn", "publish", "other"} <= parts
        assert ("save" in parts) == (row["step"] > 1), "the step after waits for it"
        assert sum(times[name] for name in parts) == pytest.approx(times["step"], rel=1e-6, abs=1e-6)


def test_evaluation_s_share_of_the_engines_is_a_metric(tmp_path: Path) -> None:
    """The evaluation of version 2 has the engine to itself, while the third step's generation waits for nothing."""
    world = World(tmp_path, make_config(steps=4))
    evaluate = world.evaluate

    async def measured(step: int) -> EvalResult:
        with world.engine.clock.running(is_eval=True):
            await asyncio.sleep(0.05)
            return await evaluate(step)

    world.evaluate = measured  # type: ignore[method-assign]
    world.run()
    shares = {row["step"]: row["time/eval_s"] for row in world.log if "time/eval_s" in row}
    assert [step for step, seconds in shares.items() if seconds > 0.03] == [3]
    assert shares[3] <= next(row["engine/engine/busy_s"] for row in world.log if row["step"] == 3) + 1e-6
