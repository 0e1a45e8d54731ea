"""What a reward function returned or raised: a number, or what is told of it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.errors import PartFailure
from r1ray.reward.own_result import MAX_RESPONSE, MAX_TRACEBACK, NotANumber, number_of, part_failure, score_of
from r1ray.types import Prompt, Response, Score
from tests.fakes import make_prompt

RESPONSE = Response("4", finished=True)


@pytest.mark.parametrize(
    "value",
    [
        *(0.5, Fraction(1, 2), Decimal("0.5"), np.float64(0.5), np.float32(0.5), np.float16(0.5), np.array(0.5)),
        *(torch.tensor(0.5), torch.tensor(0.5, dtype=torch.bfloat16), torch.tensor(0.5, requires_grad=True)),
    ],
    ids=repr,
)
def test_numbers_of_every_library_are_numbers(value: object) -> None:
    found = number_of(value)
    assert type(found) is float and found == 0.5


@pytest.mark.parametrize("value", [True, 1, np.bool_(True), np.int64(1), torch.tensor(1), torch.tensor(True)], ids=repr)
def test_truth_and_whole_numbers_are_numbers(value: object) -> None:
    found = number_of(value)
    assert type(found) is float and found == 1.0


class Odd:
    def __float__(self) -> float:
        raise RuntimeError("odd")

    def __repr__(self) -> str:
        raise RuntimeError("odd")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *((None, "None"), ("0.5", "a str"), (b"1", "a bytes"), ("", "a str"), (float("nan"), "nan")),
        *(
            (float("inf"), "inf"),
            (-float("inf"), "-inf"),
            (np.float32("nan"), "nan"),
            (torch.tensor(float("inf")), "inf"),
        ),
        *(([0.5], "a list"), ((0.5, "why"), "a tuple"), ({"score": 0.5}, "a dict"), (np.array([0.5]), "a ndarray")),
        *(
            (torch.tensor([0.5]), "a Tensor"),
            (1j, "a complex"),
            (10**400, "a int"),
            (float, "a type"),
            (Odd(), "a Odd"),
        ),
        (Decimal("NaN"), "nan"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_else_is_none(value: object, kind: str) -> None:
    with pytest.raises(NotANumber) as found:
        score_of(value)
    failure = part_failure("mine", found.value, RESPONSE, function=None, on_error="auto")
    assert (failure.kind, failure.traceback) == (f"returned {kind}", "")
    assert failure.message.startswith("returned ") and failure.message.endswith(
        "needs a finite number, or a Score of one"
    )


def test_a_score_is_looked_at_field_by_field() -> None:
    good = Score(np.float32(0.5), "slow", "4", "took its time", {"f1": torch.tensor(0.25)})  # type: ignore[arg-type,dict-item]
    assert score_of(good) == Score(0.5, "slow", "4", "took its time", {"f1": 0.25})
    bad: list[Any] = [
        *(Score(float("nan")), Score("0.5"), Score(None), Score(0.5, label=None), Score(0.5, detail=7)),  # type: ignore[arg-type]
        Score(0.5, tests=3),  # type: ignore[arg-type]
        *(Score(0.5, extracted=4), Score(0.5, metrics={"f1": float("nan")}), Score(0.5, metrics=[1.0])),  # type: ignore[arg-type]
    ]
    for score in bad:
        with pytest.raises(NotANumber, match="returned a Score"):
            score_of(score)


# ---------------------------------------------------------------------- exceptions


def helped(text: str) -> float:
    return float(json.loads(text)["score"])


def reads(prompt: Prompt, response: Response) -> float:
    try:
        return helped(response.text)
    except ValueError as error:
        raise LookupError("no score") from error


class Reading:
    def __call__(self, prompt: Prompt, response: Response) -> float:
        return helped(response.text)


def failure_of(function: Callable[..., Any], text: str = "{") -> PartFailure:
    response = Response(text, finished=True)
    try:
        function(make_prompt(), response)
    except Exception as error:
        return part_failure("mine", error, response, function=function, on_error="mask")
    raise AssertionError


def line_of(text: str) -> int:
    with open(__file__) as file:
        return next(number for number, line in enumerate(file, 1) if text in line)


@pytest.mark.parametrize("function", [Reading(), functools.partial(Reading())])
def test_an_exception_is_told_by_its_kind_and_the_users_line(function: Callable[..., Any]) -> None:
    failure = failure_of(function)
    assert failure.kind == f"JSONDecodeError at test_own_result.py:{line_of('return float(json.loads')}"
    assert "Expecting property name" in str(failure) and str(failure).endswith(f"{failure.kind.split(' at ')[1]})")
    assert (failure.part, failure.on_error, failure.response) == ("mine", "mask", "{")


def test_the_traceback_has_what_it_came_of() -> None:
    failure = failure_of(reads)
    assert failure.kind == f"LookupError at test_own_result.py:{line_of('raise LookupError')}"
    assert "JSONDecodeError" in failure.traceback and "direct cause" in failure.traceback


def deep(prompt: Prompt, response: Response) -> float:
    return deep(prompt, response)


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("odd")


def unspeakable(prompt: Prompt, response: Response) -> float:
    raise Unspeakable


def loud(prompt: Prompt, response: Response) -> float:
    raise ValueError("x" * 100_000)


@pytest.mark.parametrize("function", [deep, unspeakable, loud])
def test_what_is_told_is_bounded_whatever_was_raised(function: Callable[..., Any]) -> None:
    failure = failure_of(function, "y" * 100_000)
    assert len(failure.traceback) < MAX_TRACEBACK + 100 and len(failure.response) < MAX_RESPONSE + 100
    assert len(str(failure)) < 500
    assert failure.kind.startswith(("RecursionError at ", "Unspeakable at ", "ValueError at "))
