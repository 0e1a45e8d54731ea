from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from r1ray.config import SearchConfig
from r1ray.errors import InfrastructureError
from r1ray.evaluation.search_run import BEST_OF_N, MAJORITY, SAMPLING, TREE_SEARCH, Found, Searcher, table_of
from r1ray.types import GroupRequest, Outcome, Prompt, Scored, ScoredTrajectory, ScoringFailed, Trajectory
from tests.fakes import FakeScorer, make_prompt, make_trajectory


class Steps:
    """A :class:`~r1ray.evaluation.policy.Sampler` whose answers are two steps: a good or a bad one, then the end. Every
    third seed begins well."""

    def __init__(self, scorer: FakeScorer) -> None:
        self.scorer = scorer
        self.requests: list[GroupRequest] = []

    def is_recovering(self) -> bool:
        return False

    async def sample(self, request: GroupRequest) -> tuple[Trajectory, ...]:
        self.requests.append(request)
        await asyncio.sleep(0)
        return tuple(self._one(request, index) for index in range(request.group_size))

    def _one(self, request: GroupRequest, index: int) -> Trajectory:
        first = "good\n\n" if (request.seed + index) % 3 == 0 else "bad\n\n"
        begun = request.prompt.text.endswith("\n\n")
        whole = not request.sampling.stop
        text = "end" if begun else first + "end" if whole else first
        tokens = min(len(text.split()), request.sampling.max_tokens)
        is_cut = tokens < len(text.split())
        trajectory = make_trajectory(index=index, num_tokens=tokens, text=text.split()[0] if is_cut else text)
        if is_cut:
            return replace(trajectory, status="truncated")
        if begun or whole:
            return trajectory
        (segment,) = trajectory.segments
        return replace(trajectory, segments=(replace(segment, stop="\n\n"),))

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        return await self.scorer.score(prompt, trajectory)

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        return await self.scorer.classes(prompt, answers)


class Likes:
    """A reward model that sees good steps."""

    async def step_scores(self, prompt: str, steps: Sequence[str]) -> list[float]:
        return [0.1 if step == "bad" else 0.9 for step in steps]

    async def value(self, prompt: str, text: str) -> float:
        return 0.1 if "bad" in text else 0.9


def reward(trajectory: Trajectory) -> Outcome:
    return Scored(float("good" in trajectory.text), {"accuracy": float("good" in trajectory.text)})


def search(
    *, budget: int = 12, methods: Sequence[str] = (BEST_OF_N, TREE_SEARCH), scorer: FakeScorer | None = None
) -> tuple[dict[int, Found], Steps]:
    policy = Steps(scorer or FakeScorer(reward))
    searcher = Searcher(
        sampler=policy,
        reward=Likes(),
        config=SearchConfig(methods=list(methods), budget=budget, num_children=3, segment_tokens=2),
        temperature=0.6,
        top_p=0.95,
        max_answer_tokens=4,
        seed=1,
        deadline_s=60,
    )
    prompts = {0: make_prompt("a"), 1: make_prompt("b")}
    return asyncio.run(searcher.questions(prompts, at_a_time=2, keep=lambda number, found: None)), policy


def test_a_model_that_sees_good_steps_finds_the_right_answer() -> None:
    found, _ = search()
    for of_question in found.values():
        assert of_question[BEST_OF_N].right == 1.0
        assert of_question[TREE_SEARCH].right == 1.0
        assert 0 < of_question[SAMPLING].right < 1


def test_no_method_generates_more_than_the_budget() -> None:
    found, _ = search(budget=9)
    assert all(result.generated_tokens <= 9 for each in found.values() for result in each.values())


def test_the_vote_and_the_ranking_are_of_the_same_samples() -> None:
    found, policy = search(methods=[BEST_OF_N])
    whole = [request for request in policy.requests if not request.sampling.stop]
    assert sum(request.group_size for request in whole) == sum(each[SAMPLING].num_answers for each in found.values())
    assert all(each[BEST_OF_N].generated_tokens == each[MAJORITY].generated_tokens for each in found.values())
    assert TREE_SEARCH not in found[0]


def test_plain_sampling_reads_nothing_with_the_reward_model() -> None:
    found, _ = search()
    assert found[0][SAMPLING].read_tokens == found[0][MAJORITY].read_tokens == 0
    assert found[0][BEST_OF_N].read_tokens > 0


def test_an_answer_that_cannot_be_scored_ends_the_search_and_is_never_wrong() -> None:
    with pytest.raises(InfrastructureError, match="could not be scored: late"):
        search(scorer=FakeScorer(lambda trajectory: ScoringFailed("late")))


def test_right_is_what_accuracy_says_whatever_else_is_rewarded() -> None:
    scorer = FakeScorer(lambda c: Scored(1.0, {"format": 1.0, "accuracy": float("good" in c.text)}))
    found, _ = search(scorer=scorer)
    assert 0 < found[0][SAMPLING].right < 1


def test_the_table_compares_every_method_with_the_majority_vote() -> None:
    found, _ = search()
    rows = {row.method: row for row in table_of(list(found.values()), seed=0)}
    assert set(rows) == {SAMPLING, MAJORITY, BEST_OF_N, TREE_SEARCH}
    assert rows[MAJORITY].against_majority is None
    against = rows[TREE_SEARCH].against_majority
    assert (
        against is not None and against.difference.value == rows[TREE_SEARCH].right.value - rows[MAJORITY].right.value
    )
