from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from r1ray.errors import GroupLost, InfrastructureError, OwnFunctionFailed, PartFailure
from r1ray.evaluation.records import Answered, from_json, to_json
from r1ray.evaluation.sampling import answer_questions, evaluate
from r1ray.evaluation.summary import metrics_of
from r1ray.reward.failure_book import FailureBook
from r1ray.telemetry.eval_result import EvalResult
from r1ray.turns import InEnvironment
from r1ray.types import (
    GroupRecord,
    GroupRequest,
    Outcome,
    Prompt,
    Removed,
    Sampling,
    Scored,
    ScoredGroup,
    ScoredTrajectory,
    ScoringFailed,
    Trajectory,
    Unscorable,
)
from tests.fakes import Events, FakeEngine, FakeGroups, FakeScorer, make_prompt, make_trajectory

SAMPLING = Sampling(0.6, 0.95, 8)


def groups(scorer: FakeScorer | None = None, *, fail: int = 0) -> FakeGroups:
    """Groups on an engine that loses as many trajectories first."""
    engine = FakeEngine(Events())
    engine.fail_next = fail
    return FakeGroups(engine, scorer or FakeScorer())


def measure(scorer: FakeScorer, *, samples: int = 4, fail: int = 0) -> EvalResult:
    prompts = [make_prompt("a"), make_prompt("b")]
    return asyncio.run(
        evaluate(
            groups(scorer, fail=fail),
            prompts,
            benchmark="sums",
            samples=samples,
            sampling=SAMPLING,
            seed=1,
            slots=64,
            deadline_s=60,
        )
    )


def answers(
    runner: FakeGroups,
    prompts: dict[int, Prompt],
    *,
    samples: int,
    slots: int = 64,
    **more: Any,
) -> dict[int, Answered]:
    return asyncio.run(
        answer_questions(
            runner,
            prompts,
            name="sums",
            samples=samples,
            sampling=SAMPLING,
            seed=7,
            slots=slots,
            deadline_s=60,
            **more,
        )
    )


def test_pass_at_1_is_a_mean_and_cons_is_one_vote_a_question() -> None:
    metrics = measure(FakeScorer()).metrics
    assert metrics["pass@1"] == 0.5
    assert metrics["cons@4"] == 0.0, "two answers have two votes each; the one given first is wrong"
    assert metrics["cons@4/tie_rate"] == 1.0
    assert metrics["length_mean"] == 3.0
    assert metrics["accuracy"] == 0.5


def test_groups_have_the_same_metrics_below_their_names() -> None:
    alone = measure(FakeScorer()).metrics
    result = asyncio.run(
        evaluate(
            groups(),
            [make_prompt("a"), make_prompt("b")],
            benchmark="",
            samples=4,
            sampling=SAMPLING,
            seed=1,
            slots=64,
            deadline_s=60,
            groups=[("aime", "domain/math"), ("other", "domain/math")],
        )
    )
    names = set(alone)
    assert set(result.metrics) == names | {
        f"{group}/{name}" for group in ("aime", "other", "domain/math") for name in names
    }
    means = [result.metrics[f"{group}/length_mean"] for group in ("aime", "other")]
    assert sum(means) / 2 == result.metrics["length_mean"] == result.metrics["domain/math/length_mean"]
    assert result.named()["eval/aime/pass@1"] == result.metrics["aime/pass@1"]
    assert EvalResult("sums", {"pass@1": 0.5}).named() == {"eval/sums/pass@1": 0.5}


def test_pass_at_1_comes_with_its_interval() -> None:
    metrics = measure(FakeScorer()).metrics
    assert metrics["pass@1_low"] <= metrics["pass@1"] <= metrics["pass@1_high"]


@pytest.mark.faults
def test_a_lost_engine_does_not_end_an_evaluation() -> None:
    assert measure(FakeScorer(), fail=1).metrics["pass@1"] == 0.5


@pytest.mark.faults
@pytest.mark.parametrize("is_lost", ["while it runs", "before its texts are read"])
def test_a_question_whose_group_worker_is_lost_is_asked_again(is_lost: str) -> None:
    runner = groups(FakeScorer())
    run, read, lost = runner.run, runner.read, list[str]()

    async def run_at_last(request: GroupRequest) -> ScoredGroup:
        if is_lost == "while it runs" and not lost:
            lost.append(request.group_id)
            raise GroupLost((request.group_id,))
        return await run(request)

    async def read_at_last(asked: Sequence[ScoredGroup]) -> dict[str, Trajectory]:
        if is_lost != "while it runs" and not lost:
            lost.append(asked[0].group_id)
            return {}
        return await read(asked)

    runner.run, runner.read = run_at_last, read_at_last  # type: ignore[method-assign]
    answered = answers(runner, {0: make_prompt()}, samples=3, with_texts=True)
    assert lost == ["eval/sums/0"] and [bool(sample.text) for sample in answered[0].samples] == [True] * 3


@pytest.mark.parametrize("fault", [ScoringFailed("late"), Unscorable("no reference")])
def test_a_sample_that_cannot_be_scored_is_never_a_wrong_answer(fault: Outcome) -> None:
    metrics = measure(FakeScorer(lambda c: fault if c.index else Scored(1.0, {"accuracy": 1.0}))).metrics
    assert metrics["pass@1"] == 1.0
    assert metrics["unscored"] == 6


def test_an_evaluation_without_any_scored_sample_is_an_error_of_the_system() -> None:
    with pytest.raises(InfrastructureError, match="no sample of the evaluation could be scored: late"):
        measure(FakeScorer(lambda c: ScoringFailed("late")))


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [(ScoringFailed("late"), "machine"), (Unscorable("none"), "reference"), (Scored(0.0, {}), None)],
)
def test_a_sample_says_whose_fault_it_is_that_it_has_no_value(outcome: Outcome, fault: str | None) -> None:
    answered = answers(groups(FakeScorer(lambda c: outcome)), {0: make_prompt()}, samples=2)
    assert {sample.fault for sample in answered[0].samples} == {fault}


def test_a_question_has_the_same_seeds_whatever_else_is_asked() -> None:
    def seeds(numbers: list[int]) -> dict[str, int]:
        oracle = Oracle({})
        answers(oracle, {number: make_prompt(str(number)) for number in numbers}, samples=3)
        return oracle.seeds

    assert seeds([0, 1, 2, 5])["5"] == seeds([5])["5"]


def test_no_more_completions_are_under_way_than_there_are_slots() -> None:
    oracle = Oracle({})
    answers(oracle, {i: make_prompt(str(i)) for i in range(20)}, samples=4, slots=12)
    assert oracle.most_at_a_time == 3, "three questions of four samples"


def test_a_question_is_handed_over_as_soon_as_it_is_answered() -> None:
    kept: list[int] = []
    oracle = Oracle({})
    answers(
        oracle,
        {i: make_prompt(str(i)) for i in range(5)},
        samples=2,
        slots=2,
        keep=lambda i, q: kept.append(i),
    )
    assert kept == [0, 1, 2, 3, 4]


def test_a_reward_model_scores_the_texts_of_each_question() -> None:
    async def rank(prompt: str, texts: list[str]) -> list[float]:
        return [float(len(text)) for text in texts]

    answered = answers(groups(), {0: make_prompt()}, samples=2, with_texts=True, rank=rank)
    assert [(sample.text, sample.score) for sample in answered[0].samples] == [("x", 1.0), ("x", 1.0)]


def test_a_failure_is_raised_as_what_it_is() -> None:
    with pytest.raises(InfrastructureError, match="sample 0 of eval/sums/0 could not be generated: engine_lost"):
        answers(groups(fail=1000), {0: make_prompt("a"), 1: make_prompt("b")}, samples=2)


class Oracle(FakeGroups):
    """A model that answers each question right with a probability of its own."""

    def __init__(self, chances: dict[str, float]) -> None:
        super().__init__(FakeEngine(Events()), FakeScorer())
        self.chances = chances
        self.seeds: dict[str, int] = {}
        self.most_at_a_time = self._at_a_time = 0

    async def run(self, request: GroupRequest) -> ScoredGroup:
        self.seeds[request.prompt.id] = request.seed
        self._at_a_time += 1
        self.most_at_a_time = max(self.most_at_a_time, self._at_a_time)
        await asyncio.sleep(0)
        self._at_a_time -= 1
        trajectories = [make_trajectory(group_id=request.group_id, index=i) for i in range(request.group_size)]
        return ScoredGroup(
            group_id=request.group_id,
            trajectories=tuple(self._answered(request, trajectory) for trajectory in trajectories),
            removed=(),
            worker=0,
            incarnation="",
            generate_s=0.0,
            reward_s=0.0,
        )

    def _answered(self, request: GroupRequest, trajectory: Trajectory) -> ScoredTrajectory:
        draw = np.random.default_rng(request.seed + trajectory.index).random()
        right = float(draw < self.chances.get(request.prompt.id, 0.5))
        return ScoredTrajectory.of(trajectory, Scored(right, {"accuracy": right}), extracted=str(right))


@pytest.mark.parametrize("spread", [lambda rng: 0.3, lambda rng: rng.beta(0.5, 0.5)], ids=["alike", "easy and hard"])
def test_the_interval_of_pass_at_1_covers_the_truth_in_95_of_100_evaluations(
    spread: Callable[[np.random.Generator], float],
) -> None:
    """Questions are drawn from a population with a known mean, and answered by a model with known chances."""
    rng = np.random.default_rng(3)
    truth = 0.3 if spread(rng) == 0.3 else 0.5
    covered, repetitions = 0, 200
    for repetition in range(repetitions):
        chances = {str(i): float(spread(rng)) for i in range(60)}
        prompts = {repetition * 1000 + i: make_prompt(str(i)) for i in range(60)}
        questions = list(answers(Oracle(chances), prompts, samples=4).values())
        interval = metrics_of(questions, ["pass@1"], seed=repetition)["pass@1"].over_questions
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    # 200 trials of a nominal 0.95: fewer than 181 covered have a probability of 0.3 %.
    assert covered >= 181


def test_a_failure_that_the_book_refuses_ends_the_evaluation() -> None:
    def refuse(failure: PartFailure, prompt_id: str) -> None:
        raise OwnFunctionFailed(f"{failure} on {prompt_id}")

    failure = PartFailure(part="mine", kind="ValueError", message="planted", response="x")
    scorer = FakeScorer(lambda each: Scored(0.0, {"mine": 0.0}, (failure,)))
    with pytest.raises(OwnFunctionFailed, match="planted on a"):
        answers(groups(scorer), {0: make_prompt("a")}, samples=2, book=FailureBook(refuse))


def recorded(runner: FakeGroups, record: Any) -> EvalResult:
    return asyncio.run(
        evaluate(
            runner,
            [make_prompt("a"), make_prompt("b")],
            benchmark="sums",
            samples=2,
            sampling=SAMPLING,
            seed=1,
            slots=64,
            deadline_s=60,
            record=record,
        )
    )


def test_an_evaluation_hands_its_groups_to_the_log_while_their_texts_are_held() -> None:
    runner, found = groups(), list[Any]()

    async def record(records: Sequence[GroupRecord]) -> None:
        found.extend(records)
        assert all(runner.worker.held(name) for each in records if each.group for name in each.group.ids)

    assert recorded(runner, record).metrics["pass@1"] == 0.5
    assert [(each.group_id, each.prompt.id, each.status, each.advantages) for each in found] == [
        ("eval/sums/0", "a", "evaluated", (None, None)),
        ("eval/sums/1", "b", "evaluated", (None, None)),
    ]


def test_an_evaluation_that_fails_has_its_groups_dropped() -> None:
    class Broken(FakeScorer):
        async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
            if prompt.id == "b":
                await asyncio.sleep(0.01)
                raise InfrastructureError("planted")
            return await super().score(prompt, trajectory)

    async def never(records: Sequence[GroupRecord]) -> None:
        raise AssertionError

    runner = groups(Broken())
    with pytest.raises(InfrastructureError, match="planted"):
        recorded(runner, never)
    assert asyncio.run(runner.worker.status()).held == 0


class GroupsInMaze(FakeGroups):
    """Trajectories that were in an environment, which lost some of them."""

    def __init__(self, *, lost: Sequence[int] = ()) -> None:
        super().__init__(FakeEngine(Events()), FakeScorer())
        self._lost = lost

    async def run(self, request: GroupRequest) -> ScoredGroup:
        group = await super().run(replace(request, prompt=replace(request.prompt, environment="")))
        if not request.prompt.environment:
            return group
        world = InEnvironment(name="maze", num_calls=2, num_errors=1, seconds=3.0)
        kept = [replace(each, world=world, num_turns=3) for each in group.trajectories if each.index not in self._lost]
        lost = [Removed(index=index, reason="environment_lost", num_policy_tokens=5) for index in self._lost]
        return replace(group, trajectories=tuple(kept), removed=tuple(lost))


def in_maze(*, lost: Sequence[int] = ()) -> dict[str, float]:
    asked = evaluate(
        GroupsInMaze(lost=lost),
        [make_prompt("a"), replace(make_prompt("b"), environment="maze")],
        benchmark="sums",
        samples=4,
        sampling=SAMPLING,
        seed=1,
        slots=64,
        deadline_s=60,
        groups=[(), ("environment/maze",)],
    )
    return asyncio.run(asked).metrics


def test_an_evaluation_has_rewards_lengths_waits_and_pass_at_k_by_environment() -> None:
    metrics = in_maze()
    found = {name: metrics[f"environment/maze/{name}"] for name in ("pass@1", "pass@4", "reward_mean", "wait_s")}
    assert found == {"pass@1": 0.5, "pass@4": 1.0, "reward_mean": 0.5, "wait_s": 3.0}
    assert metrics["environment/maze/turns_mean"] == 3.0 and metrics["environment/maze/length_mean"] == 3.0
    assert metrics["environment/maze/tool_calls_mean"] == 2.0 and metrics["environment/maze/tool_errors_rate"] == 0.5
    assert metrics["wait_s"] == 3.0, "the question without an environment waits for none"
    assert metrics["pass@4"] == 1.0


def test_a_trajectory_whose_environment_was_lost_is_left_out_and_counted() -> None:
    metrics = in_maze(lost=[0, 2])
    assert metrics["environment/maze/unscored"] == 2.0
    assert metrics["environment/maze/pass@1"] == 1.0, "wrong ones were lost"


def test_what_was_in_an_environment_is_the_same_when_it_is_read_again() -> None:
    prompts = {0: replace(make_prompt("b"), environment="maze")}
    (question,) = answers(GroupsInMaze(lost=[1]), prompts, samples=2).values()
    assert question.samples[0].world is not None and question.samples[0].world.num_calls == 2
    assert question.samples[1].fault == "machine" and question.samples[1].detail == "environment_lost"
    assert from_json(json.loads(json.dumps(to_json(question)))) == question
