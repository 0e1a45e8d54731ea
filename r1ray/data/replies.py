"""Replies of a judge, parsed to an object of the requested schema. After any other reply the judge is asked again.

attempt(temperature, seed) --Said--> object_of --> the object
         ^--------- at most NUM_TRIES -----------'
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from r1ray.errors import InfrastructureError

NUM_TRIES = 3
RETRY_TEMPERATURE = 0.7
"""Temperature of later tries. The first one is greedy, and its failure would be repeated word for word."""
MAX_QUOTED_CHARS = 300


@dataclass(frozen=True, slots=True)
class Said:
    """One reply of a judge."""

    text: str
    is_whole: bool
    """False if the length limit cut the reply."""


async def ask_until_valid(
    attempt: Callable[[float, int], Awaitable[Said]], schema: Mapping[str, object], *, judge: str
) -> Mapping[str, object]:
    """Return the first reply that is an object of ``schema``.

    Args:
        attempt: asks once, with a temperature and the number of the try, which has to change the seed.
        judge: name of the judge in messages.

    Raises:
        InfrastructureError: there was none. A judge that does not answer says nothing about the answer.
    """
    for number in range(NUM_TRIES):
        said = await attempt(RETRY_TEMPERATURE if number else 0.0, number)
        try:
            return object_of(said, schema)
        except ValueError as error:
            problem = str(error)
    raise InfrastructureError(
        f"{judge} gave no answer of its schema in {NUM_TRIES} tries. The last time {problem[:MAX_QUOTED_CHARS]}; it "
        f"said {said.text[:MAX_QUOTED_CHARS]!r}"
    )


def object_of(said: Said, schema: Mapping[str, object]) -> Mapping[str, object]:
    """Return the object in a reply. Raises ValueError if the reply is cut, not JSON, or not of the schema.

    >>> object_of(Said('{"grade": "yes"}', is_whole=True), {"required": ["grade"]})
    {'grade': 'yes'}
    """
    if not said.is_whole:
        raise ValueError("it was cut by the length limit")
    try:
        # Not strict, because xgrammar allows raw control characters in strings that have a maxLength.
        found = json.loads(said.text, strict=False)
        problem = best_match(Draft202012Validator(schema).iter_errors(found))
    except json.JSONDecodeError as error:
        raise ValueError(f"it was no JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("it was nested too deeply") from error
    if problem is not None:
        raise ValueError(f"it was not of the schema: {problem.message}")
    if not isinstance(found, dict):
        raise ValueError("it was no object")
    return found
