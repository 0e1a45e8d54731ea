from __future__ import annotations

import asyncio

import pytest

from r1ray.errors import InfrastructureError
from r1ray.evaluate import evaluate
from r1ray.types import EvalResult, Sampling, Scored, ScoringFailed
from tests.fakes import Events, FakeEngine, FakeScorer, make_prompt


def measure(scorer: FakeScorer, *, samples: int = 4, fail: int = 0) -> EvalResult:
    engine = FakeEngine(Events())
    engine.fail_next = fail
    prompts = [make_prompt("a"), make_prompt("b")]
    return asyncio.run(
        evaluate(engine, scorer, prompts, benchmark="sums", samples=samples, sampling=Sampling(0.6, 0.95, 8), seed=1)
    )


def test_pass_at_1_is_a_mean_and_cons_is_one_vote_a_question() -> None:
    figures = measure(FakeScorer()).metrics
    assert figures["pass@1"] == 0.5
    assert figures["cons@4"] == 0.0, "two answers have two votes each; the one given first is wrong"
    assert figures["length_mean"] == 3.0
    assert figures["accuracy"] == 0.5


def test_a_lost_engine_does_not_end_an_evaluation() -> None:
    assert measure(FakeScorer(), fail=1).metrics["pass@1"] == 0.5


def test_a_sample_that_cannot_be_scored_is_never_a_wrong_answer() -> None:
    scorer = FakeScorer(lambda c: ScoringFailed("late") if c.index else Scored(1.0, {"accuracy": 1.0}))
    with pytest.raises(InfrastructureError, match="could not be scored: late"):
        measure(scorer)
