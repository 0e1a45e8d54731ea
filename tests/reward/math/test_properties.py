"""What holds for every reference of the labelled set, whatever is answered."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.errors import UnscorableError
from r1ray.reward.math.exact import decide
from r1ray.reward.math.process import KillableProcess
from r1ray.reward.math.reference_answer import reference_problem
from r1ray.reward.math.verifier import MathVerifier
from r1ray.types import Score
from tests.reward.math.labelled import REFERENCES


def of_cases() -> list[str]:
    """References of the acceptance cases, where their folder is named."""
    folder = os.environ.get("R1RAY_CASES")
    files = sorted(Path(folder).glob("math_*.jsonl")) if folder else []
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row["gold"] if "gold" in row else row["check"]["answer"] for row in rows]


EVERY = sorted({*REFERENCES, *of_cases()})
PIECES = [
    "25", "%", r"\%", "?", "(", ")", "[", "{", "}", r"\$", r"\frac", r"\text{cm}", "x", "=", "+", "-", "^", "_",
    r"\cup", r"\in", r"\mathbb{Z}", r"\pmod", " ", ",", "k", r"\pi", r"\infty", "正", "不", r"\unknown", "&",
    "\\\\", "|", "<", "!",
]  # fmt: skip
RESPONSES = st.one_of(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.text(max_size=20))


@settings(max_examples=150)
@given(st.sampled_from(EVERY), RESPONSES, st.sampled_from(["equal", "different", "bad_reference"]))
def test_whether_a_reference_is_scorable_depends_on_the_reference_alone(
    verifier: MathVerifier, reference: str, answer: str, opinion: str
) -> None:
    """Whatever is answered, and whatever math-verify thinks of the two."""
    unknown: OrderedDict[tuple[str, str], Score] = OrderedDict()
    with patch.object(verifier, "_cache", unknown), patch.object(KillableProcess, "ask", lambda *_: opinion):
        try:
            verifier.score_sync(reference, rf"\boxed{{{answer}}}")
        except UnscorableError:
            assert reference_problem(reference) is not None
        else:
            assert reference_problem(reference) is None


@pytest.mark.parametrize("part", range(4))
def test_the_reference_s_own_text_is_paid(verifier: MathVerifier, part: int) -> None:
    usable = [reference for reference in EVERY[part::4] if reference_problem(reference) is None]
    scores = [(reference, verifier.score_sync(reference, rf"\boxed{{{reference}}}").value) for reference in usable]
    assert [reference for reference, value in scores if value != 1.0] == []


def test_no_reference_pays_a_number_that_it_is_not() -> None:
    assert [reference for reference in EVERY if "7919" not in reference and decide(reference, "7919") is True] == []


@pytest.mark.long
def test_math_verify_pays_it_neither(verifier: MathVerifier) -> None:
    usable = [one for one in EVERY if "7919" not in one and reference_problem(one) is None]
    assert [one for one in usable if verifier.score_sync(one, r"\boxed{7919}").value] == []
