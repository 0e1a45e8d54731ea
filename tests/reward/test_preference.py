"""What a preference model is shown, and how many rows it is asked for at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

import pytest

from r1ray.errors import DeadlineExceeded, InfrastructureError
from r1ray.reward.preference import WINDOW_S, Batches, Row, seen, summary_of
from r1ray.types import Response
from tests.fakes import make_prompt

TOKEN = "<|reasoning|>"


class FakeModel:
    """Scores a response by its length and remembers the calls."""

    def __init__(self, fail: Callable[[Sequence[Row]], Exception | None] = lambda rows: None) -> None:
        self.calls: list[list[Row]] = []
        self.fail = fail
        self.most = self.under_way = 0

    async def score(self, rows: Sequence[Row]) -> list[float]:
        self.calls.append(list(rows))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        await asyncio.sleep(2 * WINDOW_S)
        self.under_way -= 1
        error = self.fail(rows)
        if error is not None:
            raise error
        return [float(len(response)) for _, response in rows]


def rows(count: int) -> list[Row]:
    return [("q", "x" * length) for length in range(count)]


def ask(batches: Batches, asked: Sequence[Row]) -> list[float | BaseException]:
    async def all_at_once() -> list[float | BaseException]:
        return await asyncio.gather(*map(batches.score, asked), return_exceptions=True)

    return asyncio.run(all_at_once())


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("<think>hm</think> <answer>Paris</answer>", "Paris"),
        ("<think>hm</think> It is Paris. ", "It is Paris."),
        (f"{TOKEN}hm{TOKEN}It is Paris.", "It is Paris."),
        (f"{TOKEN}hm{TOKEN}hm{TOKEN}It is Paris.", "It is Paris."),
        ("It is Paris.", "It is Paris."),
        ("<think>hm", ""),
        (f"{TOKEN}hm", ""),
        ("", ""),
    ],
)
def test_a_summary_is_what_follows_the_reasoning(text: str, summary: str) -> None:
    assert summary_of(make_prompt(), Response(text, finished=True)) == summary


@pytest.mark.parametrize(("opening", "closing"), [("<think>", "</think>"), (TOKEN, TOKEN)])
def test_reasoning_that_the_prompt_has_opened_is_known(opening: str, closing: str) -> None:
    prompt = dataclasses.replace(make_prompt(), text=f"What?\n{opening}\n")
    done, cut = Response(f"hm{closing}Paris", finished=True), Response("hm, Paris", finished=False)
    assert seen(prompt, done, sees="summary") == ("What?\n", "Paris")
    assert seen(prompt, cut, sees="summary") == ("What?\n", ""), "the reasoning never ends"
    assert seen(prompt, done, sees="response") == (prompt.text, done.text)


def test_rows_that_arrive_together_are_one_call() -> None:
    model = FakeModel()
    assert ask(Batches(model, name="m"), rows(20)) == [float(n) for n in range(20)]
    assert [len(call) for call in model.calls] == [20]


def test_a_call_has_no_more_rows_than_it_may() -> None:
    model = FakeModel()
    assert ask(Batches(model, name="m", max_rows=8), rows(20)) == [float(n) for n in range(20)]
    assert [len(call) for call in model.calls] == [8, 8, 4]
    assert model.most == 1


def test_as_many_calls_are_under_way_as_there_are_actors() -> None:
    model = FakeModel()
    ask(Batches(model, name="m", max_rows=4, max_calls=3), rows(40))
    assert (len(model.calls), model.most) == (10, 3)


def test_what_arrives_during_a_call_is_the_next_call() -> None:
    model = FakeModel()

    async def in_turn() -> None:
        batches = Batches(model, name="m")
        first = asyncio.create_task(batches.score(("q", "a")))
        while not model.calls:
            await asyncio.sleep(0)
        assert await asyncio.gather(first, *map(batches.score, rows(5))) == [1.0, 0.0, 1.0, 2.0, 3.0, 4.0]

    asyncio.run(in_turn())
    assert [len(call) for call in model.calls] == [1, 5]


def test_what_arrives_just_as_the_last_call_ends_is_asked_too() -> None:
    model = FakeModel()

    async def one_after_the_other() -> list[float]:
        batches = Batches(model, name="m")
        async with asyncio.timeout(5):
            return [await batches.score(row) for row in rows(4)]

    assert asyncio.run(one_after_the_other()) == [0.0, 1.0, 2.0, 3.0]
    assert [len(call) for call in model.calls] == [1, 1, 1, 1]


def test_a_row_on_which_the_model_fails_takes_no_other_with_it() -> None:
    model = FakeModel(lambda asked: ValueError("no such token") if ("q", "xx") in asked else None)
    scores = ask(Batches(model, name="helpful"), rows(5))
    assert [score for score in scores if isinstance(score, float)] == [0.0, 1.0, 3.0, 4.0]
    assert isinstance(scores[2], InfrastructureError)
    assert str(scores[2]) == "reward.models.helpful: no such token"


def test_a_model_that_is_late_is_not_asked_again_and_again() -> None:
    model = FakeModel(lambda asked: DeadlineExceeded("late"))
    scores = ask(Batches(model, name="m"), rows(5))
    assert {type(score) for score in scores} == {InfrastructureError}, "the actor that asked is not stuck"
    assert len(model.calls) == 1


def test_a_score_that_is_no_number_is_no_score() -> None:
    class Broken(FakeModel):
        async def score(self, rows: Sequence[Row]) -> list[float]:
            return [float("nan") if response == "x" else 1.0 for _, response in rows]

    first, second = ask(Batches(Broken(), name="m"), rows(2))
    assert first == 1.0 and isinstance(second, InfrastructureError)


def test_who_no_longer_waits_is_not_asked_for() -> None:
    model = FakeModel()

    async def given_up() -> None:
        batches = Batches(model, name="m")
        gone = asyncio.create_task(batches.score(("q", "gone")))
        await asyncio.sleep(0)
        gone.cancel()
        assert await batches.score(("q", "ab")) == 2.0

    asyncio.run(given_up())
    assert model.calls == [[("q", "ab")]]
