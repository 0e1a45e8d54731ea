"""Rows that their environment judges: a question and the columns that the environment reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import MalformedRow
from r1ray.data.layouts.layout import ENVIRONMENT, Layout
from r1ray.data.layouts.questions import asked

QUESTIONS = ("prompt", "question", "problem", "query", "messages")


def _no_reference(row: Mapping[str, Any]) -> Check:
    raise MalformedRow("it has no environment, and no reference that a response could be compared with")


WORLDS = Layout(
    name="an environment's",
    columns=("|".join(QUESTIONS),),
    question=asked(*QUESTIONS),
    check=_no_reference,
    means="what its environment says",
    domains=("domain", ENVIRONMENT),
    has_references=False,
)
"""The layout of files that match no other layout and whose rows have an environment."""
