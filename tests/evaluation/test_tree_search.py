"""A toy whose right answer is known: a hidden string of digits, one digit a segment.

The policy draws digits blindly. A token is a digit or the blank line between two of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.evaluation.tree_search import (
    Aggregate,
    Candidate,
    Piece,
    SearchResult,
    Value,
    aggregate_rewards,
    best_of_n,
    sample_answers,
    split_steps,
    tree_search,
)

PROMPT = "Guess: "
BREAK = "\n\n"


@dataclass
class Guesser:
    """Digits below ``base`` until there are ``length`` of them."""

    length: int
    base: int
    calls: list[tuple[int, int]] = field(default_factory=list)
    """(samples, max_tokens) of each call."""
    tokens: int = 0

    async def __call__(
        self, prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int
    ) -> Sequence[Piece]:
        self.calls.append((num_samples, max_tokens))
        drawn = [self._one(prefix, max_tokens, whole, np.random.default_rng(seed + i)) for i in range(num_samples)]
        self.tokens += sum(segment.num_tokens for segment in drawn)
        return drawn

    def _one(self, prefix: str, max_tokens: int, whole: bool, rng: np.random.Generator) -> Piece:
        answer, added = prefix.removeprefix(PROMPT), ""
        for count in range(1, max_tokens + 1):
            token = BREAK if (answer + added)[-1:].isdigit() else str(rng.integers(self.base))
            added += token
            if len(digits(answer + added)) == self.length:
                return Piece(added, count, True)
            if token == BREAK and not whole:
                return Piece(added, count, False)
        return Piece(added, max_tokens, False)


def digits(answer: str) -> str:
    return answer.replace(BREAK, "")


def num_right(answer: str, secret: str) -> int:
    """Leading digits that are right; 0 where one is wrong."""
    return len(digits(answer)) if secret.startswith(digits(answer)) else 0


def knows(secret: str) -> Value:
    async def value(prompt: str, answer: str) -> float:
        assert prompt == PROMPT
        return num_right(answer, secret) / len(secret)

    return value


async def knows_nothing(prompt: str, answer: str) -> float:
    return 0.5


def secret_of(seed: int, *, length: int, base: int) -> str:
    return "".join(map(str, np.random.default_rng(1000 + seed).integers(base, size=length)))


def search(value: Value, *, seed: int, budget: int, num_children: int = 16, base: int = 4) -> SearchResult:
    return asyncio.run(
        tree_search(
            Guesser(length=6, base=base),
            value,
            PROMPT,
            num_children=num_children,
            segment_tokens=2,
            max_answer_tokens=50,
            budget=budget,
            seed=seed,
        )
    )


def sample(*, seed: int, budget: int, max_answers: int = 10_000, length: int = 6, base: int = 4) -> SearchResult:
    return asyncio.run(
        sample_answers(
            Guesser(length=length, base=base),
            PROMPT,
            max_answers=max_answers,
            max_answer_tokens=50,
            budget=budget,
            seed=seed,
        )
    )


def has_found(result: SearchResult, secret: str) -> bool:
    return result.best is not None and digits(result.best.text) == secret


# -- tree search against sampling


def test_a_good_value_model_finds_what_sampling_at_the_same_budget_does_not() -> None:
    """One answer in 4,096 is right; 400 tokens are 36 samples, but enough for 12 expansions."""
    secrets = [secret_of(seed, length=6, base=4) for seed in range(30)]
    searched = sum(has_found(search(knows(s), seed=100 * i, budget=400), s) for i, s in enumerate(secrets))
    sampled = [{digits(c.text) for c in sample(seed=100 * i, budget=400).candidates} for i in range(30)]
    assert searched >= 24
    assert sum(s in answers for s, answers in zip(secrets, sampled, strict=True)) <= 2


def test_a_value_model_that_knows_nothing_finds_no_more_than_sampling() -> None:
    secrets = [secret_of(seed, length=6, base=4) for seed in range(30)]
    assert sum(has_found(search(knows_nothing, seed=100 * i, budget=400), s) for i, s in enumerate(secrets)) <= 2


def test_a_limit_on_extension_can_trap_the_search() -> None:
    """The paper's first difficulty: what was not among the sampled children is never reached."""
    secrets = [secret_of(seed, length=6, base=4) for seed in range(30)]
    trapped = [search(knows(s), seed=100 * i, budget=4000, num_children=2) for i, s in enumerate(secrets)]
    assert sum(has_found(r, s) for r, s in zip(trapped, secrets, strict=True)) <= 10


def test_a_misleading_value_model_leads_the_search_astray() -> None:
    secret = secret_of(0, length=6, base=4)

    async def value(prompt: str, answer: str) -> float:
        return 1 - num_right(answer, secret) / len(secret)

    assert not has_found(search(value, seed=0, budget=400), secret)


def test_equal_segments_are_one_child_with_their_share_as_prior() -> None:
    """16 samples of two digits, and a budget for one expansion."""
    shown: list[str] = []

    async def value(prompt: str, answer: str) -> float:
        shown.append(answer)
        return 0.5

    search(value, seed=0, budget=16 * 2, base=2)
    assert sorted(map(digits, shown)) == ["0", "1"]


def test_a_tree_that_is_used_up_ends_the_search() -> None:
    """One digit only: a single path of six segments, whatever the budget."""
    result = search(knows_nothing, seed=0, budget=10_000, base=1)
    assert [digits(candidate.text) for candidate in result.candidates] == ["000000"]
    assert result.generated_tokens == 16 * (5 * 2 + 1)
    assert result.read_tokens == 2 + 4 + 6 + 8 + 10 + 11


def test_a_budget_too_small_for_an_answer_gives_an_unfinished_one() -> None:
    result = search(knows("000000"), seed=0, budget=3)
    assert result.best is not None and not result.best.is_finished
    assert result.generated_tokens == 3


# -- best of n


def answer_with(secret: str, *, seed: int, aggregate: Aggregate = "min", is_inverted: bool = False) -> SearchResult:
    async def rewards(prompt: str, steps: Sequence[str]) -> Sequence[float]:
        return [float((step == digit) != is_inverted) for step, digit in zip(steps, secret, strict=False)]

    return asyncio.run(
        best_of_n(
            Guesser(length=3, base=2),
            rewards,
            PROMPT,
            max_answers=16,
            max_answer_tokens=50,
            budget=80,
            seed=seed,
            aggregate=aggregate,
        )
    )


def test_a_good_reward_model_picks_the_right_one_of_the_same_samples() -> None:
    """One answer in 8 is right: 16 samples have one with chance 0.88, the first is right with 0.125."""
    secrets = [secret_of(seed, length=3, base=2) for seed in range(40)]
    picked = [answer_with(s, seed=100 * i) for i, s in enumerate(secrets)]
    plain = [sample(seed=100 * i, budget=80, max_answers=16, length=3, base=2) for i in range(40)]
    assert [[c.text for c in r.candidates] for r in picked] == [[c.text for c in r.candidates] for r in plain]
    is_there = [any(digits(c.text) == s for c in r.candidates) for s, r in zip(secrets, plain, strict=True)]
    assert [has_found(r, s) for s, r in zip(secrets, picked, strict=True)] == is_there
    assert sum(is_there) >= 30 and sum(has_found(r, s) for s, r in zip(secrets, plain, strict=True)) <= 12


def test_a_bad_reward_model_is_worse_than_sampling() -> None:
    secrets = [secret_of(seed, length=3, base=2) for seed in range(40)]
    inverted = [answer_with(s, seed=100 * i, is_inverted=True) for i, s in enumerate(secrets)]
    assert not any(has_found(r, s) for s, r in zip(secrets, inverted, strict=True))


def test_the_last_step_alone_can_be_right_by_chance() -> None:
    found = [has_found(answer_with("101", seed=s, aggregate="last"), "101") for s in range(0, 4000, 100)]
    assert sum(found) <= 20


def test_rewards_are_aggregated_by_name() -> None:
    rewards = [0.5, 0.4, 0.9]
    assert aggregate_rewards(rewards, how="min") == 0.4
    assert aggregate_rewards(rewards, how="prod") == pytest.approx(0.18)
    assert aggregate_rewards(rewards, how="last") == 0.9
    with pytest.raises(ValueError, match="no reward"):
        aggregate_rewards([], how="min")


def test_finished_answers_come_before_better_cut_ones() -> None:
    async def generate(prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int) -> list[Piece]:
        return [Piece("cut", 1, False), Piece("done", 1, True), Piece("", 1, True)][:num_samples]

    async def rewards(prompt: str, steps: Sequence[str]) -> Sequence[float]:
        return [0.9 if step == "cut" else 0.1 for step in steps]

    result = asyncio.run(best_of_n(generate, rewards, "", max_answers=3, max_answer_tokens=1, budget=3, seed=0))
    assert result.best == Candidate("done", 1, True, 0.1)
    assert result.candidates[2].score == 0.0, "an empty answer has no steps"


def test_steps_are_paragraphs_and_code_is_one() -> None:
    assert split_steps("\n\nOne\nline.\n  \n\nTwo.\n") == ["One\nline.", "Two."]
    assert split_steps("Run\n```python\na = 1\n\nb = 2\n```\n\nDone") == ["Run\n```python\na = 1\n\nb = 2\n```", "Done"]
    assert split_steps(" \n\n ") == []


@given(st.text(alphabet="ab`\n ", max_size=40))
def test_no_line_is_lost_between_steps(text: str) -> None:
    kept = [line for step in split_steps(text) for line in step.split("\n") if line.strip()]
    assert kept == [line for line in text.split("\n") if line.strip()]


# -- budgets


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 15))
def test_sampling_spends_its_budget_to_the_token(budget: int, max_answers: int, max_answer_tokens: int) -> None:
    guesser = Guesser(length=4, base=3)
    result = asyncio.run(
        sample_answers(
            guesser,
            PROMPT,
            max_answers=max_answers,
            max_answer_tokens=max_answer_tokens,
            budget=budget,
            seed=0,
        )
    )
    assert result.generated_tokens == guesser.tokens == sum(c.num_tokens for c in result.candidates) <= budget
    assert result.generated_tokens == budget or len(result.candidates) == max_answers
    assert all(count == 1 or count * limit <= budget for count, limit in guesser.calls)


@given(st.integers(1, 300), st.integers(1, 8), st.integers(1, 5), st.integers(1, 15))
def test_tree_search_spends_its_budget_to_the_token(
    budget: int, num_children: int, segment_tokens: int, max_answer_tokens: int
) -> None:
    guesser = Guesser(length=4, base=3)
    result = asyncio.run(
        tree_search(
            guesser,
            knows_nothing,
            PROMPT,
            num_children=num_children,
            segment_tokens=segment_tokens,
            max_answer_tokens=max_answer_tokens,
            budget=budget,
            seed=0,
        )
    )
    assert result.generated_tokens == guesser.tokens <= budget
    assert all(candidate.num_tokens <= max_answer_tokens for candidate in result.candidates)
    is_used_up = all(c.is_finished or c.num_tokens == max_answer_tokens for c in result.candidates)
    assert result.generated_tokens == budget or is_used_up


def test_a_generator_that_overruns_is_caught() -> None:
    async def generate(prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int) -> list[Piece]:
        return [Piece("long", max_tokens + 1, True)] * num_samples

    with pytest.raises(ValueError, match=r"asked for 2 samples of 1 to 5 tokens and gave \[6, 6\]"):
        asyncio.run(sample_answers(generate, "", max_answers=2, max_answer_tokens=5, budget=10, seed=0))


def test_models_that_give_no_number_are_caught() -> None:
    async def value(prompt: str, answer: str) -> float:
        return float("nan")

    with pytest.raises(ValueError, match="gave nan"):
        search(value, seed=0, budget=100)

    async def rewards(prompt: str, steps: Sequence[str]) -> Sequence[float]:
        return [1.0]

    with pytest.raises(ValueError, match="1 rewards for 3 steps"):
        asyncio.run(best_of_n(Guesser(3, 2), rewards, PROMPT, max_answers=1, max_answer_tokens=9, budget=9, seed=0))


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 token"):
        sample(seed=0, budget=0)


# -- determinism


def test_the_seed_decides_everything() -> None:
    secret = secret_of(0, length=6, base=4)
    assert search(knows(secret), seed=3, budget=300) == search(knows(secret), seed=3, budget=300)
    assert search(knows(secret), seed=3, budget=300) != search(knows(secret), seed=4, budget=300)
    assert sample(seed=3, budget=300) == sample(seed=3, budget=300)


def test_no_two_samples_share_a_seed() -> None:
    seeds: list[int] = []

    async def generate(prefix: str, *, num_samples: int, max_tokens: int, whole: bool, seed: int) -> list[Piece]:
        seeds.extend(range(seed, seed + num_samples))
        return [Piece(f"{seed + i};", 1, False) for i in range(num_samples)]

    asyncio.run(
        tree_search(
            generate,
            knows_nothing,
            "",
            num_children=3,
            segment_tokens=1,
            max_answer_tokens=9,
            budget=31,
            seed=7,
        )
    )
    assert seeds == list(range(7, 38))
