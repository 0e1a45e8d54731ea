"""Asking a judge until it answers by the schema."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from r1ray.data.replies import RETRY_TEMPERATURE, Said, ask_until_valid, object_of
from r1ray.errors import InfrastructureError
from r1ray.reward.judged import grade_schema

SCHEMA = grade_schema(("yes", "no"))
VALID = '{"reason": "so", "grade": "yes"}'


class Scripted:
    """Says the texts of a list, one after the other, and keeps how it was asked."""

    def __init__(self, *said: Said) -> None:
        self.said, self.tries = list(said), list[tuple[float, int]]()

    async def __call__(self, temperature: float, number: int) -> Said:
        self.tries.append((temperature, number))
        return self.said.pop(0)


def ask(scripted: Scripted) -> Mapping[str, object]:
    return asyncio.run(ask_until_valid(scripted, SCHEMA, judge="the judge"))


def test_a_valid_reply_is_asked_for_once_and_greedily() -> None:
    scripted = Scripted(Said(VALID, True))
    assert ask(scripted) == {"reason": "so", "grade": "yes"}
    assert scripted.tries == [(0.0, 0)]


def test_after_a_bad_reply_the_next_tries_are_sampled() -> None:
    scripted = Scripted(Said(VALID[:9], False), Said("Sure!", True), Said(VALID, True))
    assert ask(scripted)["grade"] == "yes"
    assert scripted.tries == [(0.0, 0), (RETRY_TEMPERATURE, 1), (RETRY_TEMPERATURE, 2)]


def test_three_bad_replies_are_a_failure_of_the_system_that_quotes_the_last() -> None:
    scripted = Scripted(*[Said(f"I say {number}" + "!" * 1000, True) for number in range(4)])
    with pytest.raises(
        InfrastructureError, match=r"the judge gave no answer .* in 3 tries.* no JSON.*'I say 2!"
    ) as error:
        ask(scripted)
    assert len(scripted.tries) == 3 and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (Said(VALID, False), "cut by the length limit"),
        (Said("", True), "no JSON"),
        (Said(VALID + "}", True), "no JSON"),
        (Said("[" * 100_000, True), "nested too deeply"),
        (Said('"yes"', True), "not of the schema: 'yes' is not of type 'object'"),
        (Said('{"grade": "yes"}', True), "not of the schema: 'reason' is a required property"),
        (Said('{"reason": "", "grade": "maybe"}', True), "not of the schema: 'maybe' is not one of"),
        (Said('{"reason": "", "grade": "no", "x": 1}', True), "not of the schema: Additional properties"),
    ],
)
def test_what_is_not_of_the_schema_is_refused(said: Said, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        object_of(said, SCHEMA)


def test_raw_control_characters_inside_strings_are_read() -> None:
    assert object_of(Said('{"reason":"a\tb","grade":"no"}', True), SCHEMA)["reason"] == "a\tb"
