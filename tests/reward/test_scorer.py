from __future__ import annotations

import asyncio
import dataclasses
import pickle
import threading
import time
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from r1ray.checks import CodeTests, FormatOnly, StdioCase
from r1ray.config import RewardConfig, RewardPart, SandboxConfig
from r1ray.errors import DeadlineExceeded, PartStuck, UserError
from r1ray.reward.preference import Row
from r1ray.reward.scorer import RULES, RewardScorer, check_parts, resolve_parts
from r1ray.reward.shaping import cosine_length
from r1ray.turns import InEnvironment
from r1ray.types import (
    Outcome,
    Prompt,
    Response,
    Score,
    Scored,
    ScoredTrajectory,
    ScoringFailed,
    Trajectory,
    Unscorable,
)
from tests.fakes import make_prompt, make_trajectory

GOOD = Response("<think>2+2</think><answer>4</answer>", finished=True)


def judge(parts: dict[str, Any], prompt: Prompt, response: Response, **config: Any) -> Outcome:
    scorer = RewardScorer(RewardConfig(parts=parts, **config), SandboxConfig())
    try:
        return asyncio.run(scorer.outcome(prompt, response))[0]
    finally:
        scorer.close()


PAPER = {"accuracy": RewardPart(), "format": RewardPart()}


def test_the_total_is_the_weighted_sum_and_every_part_is_kept() -> None:
    parts = {"accuracy": RewardPart(2.0), "format": RewardPart(0.5)}
    outcome = judge(parts, make_prompt(), GOOD)
    assert outcome == Scored(2.5, {"accuracy": 1.0, "format": 1.0}, label="correct")


def test_a_part_of_weight_zero_is_only_logged() -> None:
    parts = {"accuracy": RewardPart(1.0), "format": RewardPart(0.0)}
    outcome = judge(parts, make_prompt("p", "5"), GOOD)
    assert outcome == Scored(0.0, {"accuracy": 0.0, "format": 1.0}, label="wrong")


def crash(prompt: Prompt, response: Response) -> float:
    raise RecursionError("the model's text did this")


def only_logged(prompt: Prompt, response: Response) -> None:
    return None


MINE = "tests.reward.test_scorer:crash"


@pytest.mark.parametrize("on_error", ["auto", "zero", "stop"])
def test_a_part_that_fails_on_a_text_is_zero_and_says_how(on_error: str) -> None:
    outcome = judge({"accuracy": RewardPart(), "mine": RewardPart(1.0, MINE, on_error=on_error)}, make_prompt(), GOOD)
    assert isinstance(outcome, Scored)
    assert (outcome.total, outcome.parts) == (1.0, {"accuracy": 1.0, "mine": 0.0})
    (failure,) = outcome.failures
    assert (failure.part, failure.on_error, failure.response) == ("mine", on_error, GOOD.text)
    assert "RecursionError: the model's text did this" in failure.traceback


def test_a_part_that_fails_can_have_its_trajectory_left_out_with_all_its_failures() -> None:
    parts = {
        "mine": RewardPart(1.0, MINE, on_error="mask"),
        "other": RewardPart(1.0, "tests.reward.test_scorer:only_logged"),
    }
    outcome = judge(parts, make_prompt(), GOOD)
    assert isinstance(outcome, ScoringFailed)
    assert [failure.part for failure in outcome.failures] == ["mine", "other"]
    assert outcome.reason.startswith("reward part mine: RecursionError: the model's text did this (test_scorer.py:")


def test_a_rule_that_ships_never_ends_a_run_because_of_what_a_model_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES, "format", crash)
    outcome = judge({"format": RewardPart()}, make_prompt(), GOOD)
    assert isinstance(outcome, Scored)
    assert [(failure.part, failure.on_error) for failure in outcome.failures] == [("format", "zero")]


def test_a_reward_about_length_says_that_a_bare_text_has_none() -> None:
    outcome = judge({"accuracy": RewardPart(), "cosine_length": RewardPart()}, make_prompt(), GOOD)
    assert isinstance(outcome, Scored)
    assert [str(failure) for failure in outcome.failures] == [
        "reward part cosine_length: the number of tokens, or their limit, is not known here"
    ]


def unreachable(prompt: Prompt, response: Response) -> float:
    raise ConnectionError("the judge does not answer")


def too_late(prompt: Prompt, response: Response) -> float:
    raise DeadlineExceeded("an engine of the function's own")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unreachable", "ConnectionError: the judge does not answer"),
        ("too_late", "DeadlineExceeded: an engine of the function's own"),
    ],
)
def test_an_error_of_a_service_is_never_a_zero(name: str, reason: str) -> None:
    parts = {"accuracy": RewardPart(), "mine": RewardPart(1.0, f"tests.reward.test_scorer:{name}")}
    outcome = judge(parts, make_prompt(), GOOD)
    assert outcome == ScoringFailed(f"reward part mine: {reason}")


def test_a_prompt_without_a_reference_is_unscorable_not_zero() -> None:
    outcome = judge(PAPER, make_prompt(answer=" "), GOOD)
    assert isinstance(outcome, Unscorable)


def test_a_scored_trajectory_tells_the_controller_what_it_needs() -> None:
    trajectory = make_trajectory(index=3, num_tokens=5, version=7, text=GOOD.text)
    scorer = RewardScorer(RewardConfig(parts=PAPER), SandboxConfig())
    scored = asyncio.run(scorer.score(make_prompt(), trajectory))
    scorer.close()
    assert (scored.index, scored.num_policy_tokens, scored.num_prompt_tokens) == (3, 5, 2)
    assert (scored.oldest_version, scored.extracted, scored.status) == (7, "4", "finished")


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"beauty": RewardPart()}, "reward.parts.beauty: no such reward; needs one of accuracy, code_format"),
        ({"x": RewardPart(1.0, "nowhere:f")}, "reward.parts.x.function=nowhere:f: needs package.module:function"),
        ({"x": RewardPart(1.0, "math:pi")}, "pi is not a function"),
        ({"x": RewardPart(1.0, "math")}, "reward.parts.x.function=math"),
    ],
)
def test_a_part_that_does_not_exist_is_refused_at_the_start(part: dict[str, RewardPart], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RewardScorer(RewardConfig(parts=part), SandboxConfig())


async def slow(prompt: Prompt, response: Response) -> Score:
    await asyncio.sleep(0.3)
    return Score(0.25, "slow", detail="took its time")


def blocking(prompt: Prompt, response: Response) -> float:
    time.sleep(0.3)
    return 0.5


NUM_WAITING = 20


def scored_together(scorer: RewardScorer, prompt: Prompt, trajectories: Sequence[Trajectory]) -> list[ScoredTrajectory]:
    async def score_all() -> list[ScoredTrajectory]:
        return await asyncio.gather(*(scorer.score(prompt, each) for each in trajectories))

    return asyncio.run(score_all())


class Waiting:
    """Rewards that each wait for all others: they return where they wait side by side, and fail by the
    timeout where one of them begins after another one's end."""

    def __init__(self) -> None:
        self._tasks, self._threads = asyncio.Barrier(NUM_WAITING), threading.Barrier(NUM_WAITING)

    async def of_tasks(self, prompt: Prompt, response: Response) -> float:
        async with asyncio.timeout(60):
            await self._tasks.wait()
        return 0.25

    def of_threads(self, prompt: Prompt, response: Response) -> float:
        self._threads.wait(60)
        return 0.25


def scaled(prompt: Prompt, response: Response, *, by: float) -> float:
    return by


@pytest.mark.parametrize("name", ["of_tasks", "of_threads"])
def test_slow_rewards_wait_side_by_side(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr("tests.reward.test_scorer.waiting", getattr(Waiting(), name), raising=False)
    scorer = RewardScorer(
        RewardConfig(parts={"mine": RewardPart(1.0, "tests.reward.test_scorer:waiting")}), SandboxConfig()
    )
    trajectories = scored_together(
        scorer, make_prompt(), [make_trajectory(index=index, text=GOOD.text) for index in range(NUM_WAITING)]
    )
    assert [each.outcome.total for each in trajectories if isinstance(each.outcome, Scored)] == [0.25] * NUM_WAITING
    scorer.close()


def test_a_scored_trajectory_says_how_long_it_took() -> None:
    scorer = RewardScorer(
        RewardConfig(parts={"mine": RewardPart(1.0, "tests.reward.test_scorer:slow")}), SandboxConfig()
    )
    scored = asyncio.run(scorer.score(make_prompt(), make_trajectory(text=GOOD.text)))
    assert scored.seconds >= 0.3
    scorer.close()


async def endless(prompt: Prompt, response: Response) -> float:
    await asyncio.sleep(3600)
    return 1.0


def test_a_service_that_does_not_answer_in_time_is_an_infrastructure_error() -> None:
    parts = {"mine": RewardPart(1.0, "tests.reward.test_scorer:endless", deadline_s=0.1)}
    outcome = judge(parts, make_prompt(), GOOD)
    assert isinstance(outcome, ScoringFailed)
    assert "reward.parts.mine.deadline_s" in outcome.reason


def test_a_thread_that_does_not_answer_in_time_ends_its_actor() -> None:
    parts = {"mine": RewardPart(1.0, "tests.reward.test_scorer:blocking", deadline_s=0.05)}
    with pytest.raises(PartStuck, match=r"reward.parts.mine.deadline_s") as found:
        judge(parts, make_prompt(), GOOD)
    again = pickle.loads(pickle.dumps(found.value))
    assert (again.part, str(again)) == ("mine", str(found.value)), "it crosses processes"


def test_options_are_handed_to_the_function_and_checked_before() -> None:
    part = RewardPart(2.0, "tests.reward.test_scorer:scaled", {"by": 3.0})
    assert judge({"x": part}, make_prompt(), GOOD) == Scored(6.0, {"x": 3.0})
    with pytest.raises(UserError, match=r"reward.parts.x.options=\{'to': 3\}"):
        judge({"x": RewardPart(1.0, "tests.reward.test_scorer:scaled", {"to": 3})}, make_prompt(), GOOD)


def test_a_gate_that_is_not_passed_makes_the_total_zero_and_keeps_the_parts() -> None:
    untagged = Response(r"\boxed{4}", finished=True)
    outcome = judge(PAPER, make_prompt(), untagged, combine="gated", gate="format")
    assert isinstance(outcome, Scored)
    assert (outcome.total, outcome.parts) == (0.0, {"accuracy": 1.0, "format": 0.0})


def test_a_part_for_other_checks_is_left_out() -> None:
    parts = {"accuracy": RewardPart(), "code_format": RewardPart(checks=["code"])}
    outcome = judge(parts, make_prompt(), GOOD)
    assert isinstance(outcome, Scored)
    assert outcome.parts == {"accuracy": 1.0}


def test_the_kind_of_result_is_told_apart() -> None:
    kinds = []
    for text in (r"\boxed{4}", r"\boxed{5}", "four?"):
        outcome = judge({"accuracy": RewardPart()}, make_prompt(), Response(text, finished=True))
        assert isinstance(outcome, Scored)
        kinds.append(outcome.label)
    assert kinds == ["correct", "wrong", "no_answer"]


@pytest.mark.needs("isolation")
def test_a_program_is_graded_in_the_sandbox_and_once_for_all_that_wrote_it() -> None:
    scorer = RewardScorer(RewardConfig(parts={"accuracy": RewardPart()}), SandboxConfig(), frozenset({"python"}))
    check = CodeTests(language="python", cases=(StdioCase("1 2", "3"),))
    prompt = dataclasses.replace(make_prompt(), check=check)
    right, wrong = "```python\nprint(sum(map(int, input().split())))\n```", "```python\nprint(4)\n```"
    trajectories = scored_together(
        scorer, prompt, [make_trajectory(index=i, text=wrong if i == 0 else right) for i in range(30)]
    )
    totals = [each.outcome.total for each in trajectories if isinstance(each.outcome, Scored)]
    assert totals == [0.0, *[1.0] * 29]
    scorer.close()


def test_a_missing_toolchain_stops_at_the_start_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.sandbox.languages.PATH", "/nonexistent")
    with pytest.raises(UserError, match=r"g\+\+ is not installed: needs the Debian package g\+\+"):
        RewardScorer(RewardConfig(parts=PAPER), SandboxConfig(), frozenset({"cpp"}))


def test_an_installed_package_offers_a_reward_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("kind", "tests.reward.test_scorer:slow", "r1ray.rewards")
    monkeypatch.setattr("r1ray.reward.scorer.entry_points", lambda group: [point] if group == point.group else [])
    outcome = judge({"kind": RewardPart(2.0)}, make_prompt(), GOOD)
    assert outcome == Scored(0.5, {"kind": 0.25}, label="slow", detail="took its time")


class FakeModel:
    """A preference model that likes long responses."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[list[Row]] = []
        self.error = error

    async def score(self, rows: Sequence[Row]) -> list[float]:
        self.calls.append(list(rows))
        if self.error is not None:
            raise self.error
        return [-float(len(response)) for _, response in rows]


PREFERENCES = RewardConfig(
    parts={"accuracy": {}, "helpful": {"weight": 0.5, "domains": ["general"]}, "harmless": {"domains": ["general"]}},
    models={"helpful": {"model": "h", "sees": "summary"}, "harmless": {"model": "s", "sees": "response"}},
)
GENERAL = Prompt(id="g", text="Hello?", check=FormatOnly(), domain="general", language="en")


def test_a_part_with_a_model_of_its_name_is_the_models_score() -> None:
    helpful, harmless = FakeModel(), FakeModel()
    scorer = RewardScorer(PREFERENCES, SandboxConfig(), models={"helpful": helpful, "harmless": harmless})
    outcome, _ = asyncio.run(scorer.outcome(GENERAL, GOOD))
    scorer.close()
    whole = float(len(GOOD.text))
    assert outcome == Scored(-0.5 - whole, {"helpful": -1.0, "harmless": -whole})
    assert helpful.calls == [[("Hello?", "4")]], "helpfulness is judged on the summary alone"
    assert harmless.calls == [[("Hello?", GOOD.text)]], "harmlessness on the whole response"


def test_prompts_of_other_domains_have_no_preference_reward() -> None:
    helpful, harmless = FakeModel(), FakeModel()
    scorer = RewardScorer(PREFERENCES, SandboxConfig(), models={"helpful": helpful, "harmless": harmless})
    outcome, _ = asyncio.run(scorer.outcome(make_prompt(), GOOD))
    scorer.close()
    assert outcome == Scored(1.0, {"accuracy": 1.0}, label="correct")
    assert helpful.calls == harmless.calls == []


def test_trajectories_that_come_together_are_scored_together() -> None:
    helpful, harmless = FakeModel(), FakeModel()
    scorer = RewardScorer(PREFERENCES, SandboxConfig(), models={"helpful": helpful, "harmless": harmless})
    trajectories = [make_trajectory(index=i % 4, text="x" * (i % 4)) for i in range(20)]
    scored = scored_together(scorer, GENERAL, trajectories)
    scorer.close()
    helped = [each.outcome.parts["helpful"] for each in scored if isinstance(each.outcome, Scored)]
    assert helped == [0, -1, -2, -3] * 5
    assert [len(call) for call in (*helpful.calls, *harmless.calls)] == [20, 20]


def test_a_preference_model_that_fails_is_never_a_zero() -> None:
    models = {"helpful": FakeModel(RuntimeError("out of memory")), "harmless": FakeModel()}
    scorer = RewardScorer(PREFERENCES, SandboxConfig(), models=models)
    outcome, _ = asyncio.run(scorer.outcome(GENERAL, GOOD))
    scorer.close()
    assert outcome == ScoringFailed("reward.models.helpful: out of memory")


@pytest.mark.parametrize(
    ("parts", "models", "message"),
    [
        ({"mine": {}}, {"mine": {"model": None}}, "reward.models.mine.model is not set: needs the folder"),
        ({"accuracy": {}}, {"accuracy": {"model": "m"}}, "accuracy is a rule of r1ray's; give the model another name"),
        ({"accuracy": {}}, {"mine": {"model": "m"}}, "reward.models.mine: no part has its name; needs reward.parts.mi"),
        ({"mine": {"function": "m:f"}}, {"mine": {"model": "m"}}, "needs no function and no options"),
        ({"mine": {}}, {"mine": {"model": "m"}}, "reward.models.mine, which only r1ray run serves"),
        ({"mine": {}}, {}, "no such reward; .* or reward.models.mine.model=PATH"),
    ],
)
def test_a_model_and_its_part_belong_together(parts: dict[str, Any], models: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        RewardScorer(RewardConfig(parts=parts, models=models), SandboxConfig())


def test_prompts_that_nothing_rewards_are_refused() -> None:
    parts = resolve_parts(PREFERENCES)
    check_parts(parts, [("math", "math"), ("general", "format")], key="data.train")
    with pytest.raises(UserError, match=r"data.train: its prompts of domain poems with check format have no part"):
        check_parts(parts, [("general", "format"), ("poems", "format")], key="data.train")
    with pytest.raises(UserError, match=r"reward.parts.helpful.domains=\[general\]: no prompt .*; there are math\."):
        check_parts(parts, [("math", "math")], key="data.train")
    check_parts(parts, [("math", "math")], key="data.eval", are_all_used=False)


# ---------------------------------------------------------------------- environments

WORLD = InEnvironment(
    name="maze",
    rewards={"exit": 1.0},
    turn_rewards=({"step": -0.25}, {"step": -0.25, "key": 3.0}),
    turn_tokens=(3, 3),
    label="out",
    detail="in two turns",
)


def in_world(text: str, world: InEnvironment = WORLD, status: Any = "finished") -> Trajectory:
    """Two turns, of which the last says ``text``."""
    first, last = (make_trajectory(num_tokens=3 + turn, text=said).segments[0] for turn, said in enumerate(("x", text)))
    return dataclasses.replace(make_trajectory(), segments=(first, last), world=world, status=status)


def judge_in_world(parts: dict[str, Any], trajectory: Trajectory, prompt: Prompt | None = None) -> Scored:
    scorer = RewardScorer(RewardConfig(parts=parts), SandboxConfig(), max_tokens=8)
    try:
        outcome = asyncio.run(scorer.score(prompt or make_prompt(), trajectory)).outcome
    finally:
        scorer.close()
    assert isinstance(outcome, Scored)
    return outcome


OF_WORLD = RewardPart(2.0, from_environment=True)


def test_parts_of_an_environment_stand_beside_the_usual_ones() -> None:
    outcome = judge_in_world(PAPER | {"exit": OF_WORLD, "step": OF_WORLD}, in_world(GOOD.text))
    assert outcome.parts == {"accuracy": 1.0, "format": 1.0, "exit": 1.0, "step": -0.5, "key": 3.0}
    assert outcome.total == 1.0 + 1.0 + 2.0 * (1.0 - 0.5), "what is no part is only logged"
    assert outcome.label == "correct"


def test_the_last_turn_is_judged_and_its_length() -> None:
    outcome = judge_in_world(PAPER | {"cosine_length": RewardPart(), "exit": OF_WORLD}, in_world("no answer"))
    assert outcome.parts["accuracy"] == outcome.parts["format"] == 0.0
    right = judge_in_world({"accuracy": RewardPart(), "cosine_length": RewardPart()}, in_world(GOOD.text))
    assert right.parts["cosine_length"] == cosine_length(True, 4, 8), "its 4 tokens, not all 7"


def test_a_part_that_no_world_gave_does_not_apply() -> None:
    parts = {"exit": OF_WORLD, "treasure": OF_WORLD}
    assert judge_in_world(parts, in_world("x")).parts == {"exit": 1.0, "step": -0.5, "key": 3.0}
    outcome = judge(parts, make_prompt(), GOOD)
    assert isinstance(outcome, Scored) and (outcome.total, outcome.parts) == (0.0, {})


def test_a_label_of_a_world_counts_where_no_part_gives_one() -> None:
    outcome = judge_in_world({"exit": OF_WORLD}, in_world("x"))
    assert (outcome.label, outcome.detail) == ("out", "in two turns")


def test_a_part_of_an_environment_may_be_of_some_domains_alone() -> None:
    elsewhere = RewardPart(from_environment=True, domains=["poems"])
    outcome = judge_in_world({"step": OF_WORLD, "exit": elsewhere}, in_world("x"))
    assert outcome.parts == {"step": -0.5, "key": 3.0} and outcome.total == -1.0


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"accuracy": {"from_environment": True}}, "reward.parts.accuracy.from_environment=true: accuracy is a rule"),
        (
            {"a": {"from_environment": True, "function": MINE}},
            "reward.parts.a.from_environment=true: environ",
        ),
        ({"exti": {}}, "reward.parts.exti.from_environment=true"),
    ],
)
def test_a_part_of_an_environment_is_computed_by_nothing_else(part: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        resolve_parts(RewardConfig(parts=part))
