"""Labelled pairs of a reference and a response, by category."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from r1ray.reward.math.verifier import MathVerifier

PAIRS = [json.loads(line) for line in (Path(__file__).parent / "data" / "pairs.jsonl").read_text().splitlines()]
CATEGORIES = sorted({pair["cat"] for pair in PAIRS})
SLOWEST_S = 2.5


def judged(verifier: MathVerifier, pair: dict[str, Any]) -> tuple[bool, float, str]:
    started = time.monotonic()
    mark = verifier.mark_sync(pair["gold"], pair["pred"])
    return mark.value == 1.0, time.monotonic() - started, mark.detail


def wrongly_judged(verifier: MathVerifier, pairs: list[dict[str, Any]]) -> list[str]:
    verifier.mark_sync("x>y", r"\boxed{x<y}")  # the process has started: what follows is the check alone
    wrong = []
    for pair in pairs:
        verdict, seconds, detail = judged(verifier, pair)
        if verdict is not pair["equal"] or seconds > SLOWEST_S or detail.startswith("unreadable"):
            wrong.append(
                f"{pair['id']}: {pair['gold'][:60]} | {pair['pred'][-60:]}: {verdict}, {seconds:.2f} s, {detail}"
            )
    return wrong


def test_the_table_is_large() -> None:
    assert len(PAIRS) >= 250 and {"zh", "unit", "percent", "interval", "matrix", "inject", "dos"} <= set(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_pairs_are_judged_as_labelled(verifier: MathVerifier, category: str) -> None:
    assert wrongly_judged(verifier, [pair for pair in PAIRS if pair["cat"] == category]) == []


@pytest.mark.parametrize("category", ["decimal", "expr", "unit", "choice", "text", "tuple", "matrix", "ratio", "zh"])
def test_equality_goes_both_ways(verifier: MathVerifier, category: str) -> None:
    """A right answer taken as the reference makes the reference right, too (conventions of choices aside)."""
    for pair in PAIRS:
        if pair["cat"] != category or not pair["equal"] or category == "choice":
            continue
        answer = pair["pred"].removeprefix(r"So the answer is $\boxed{").removesuffix("}$.")
        assert verifier.mark_sync(answer, rf"\boxed{{{pair['gold']}}}").value == 1.0, pair


LONG = {
    "nines": r"\boxed{" + "9" * 5000 + "}",
    "nested roots": r"\boxed{" + r"\sqrt{" * 900 + "5" + "}" * 901,
    "a long sum": r"\boxed{1" + "+1" * 3000 + "}",
    "letters": r"\boxed{" + "x" * 3000 + "}",
    "a long list": r"\boxed{" + ",".join(map(str, range(4000))) + "}",
    "boxes that never close": r"\boxed{" * 100_000,
    "reasoning that never ends": "<think>" * 50_000 + r"\boxed{5}",
    "sections that never close": "<answer>" * 50_000 + r"\boxed{6}",
    "spaces": r"\boxed{" + " " * 19_000 + "6}",
    "commas": r"\boxed{" + "," * 19_000 + "6}",
    "text in text": r"\boxed{" + r"\text{" * 1500 + "5" + "}" * 1501,
    "carets": r"\boxed{" + "^" * 1900 + "}",
    "bars": r"\boxed{" + "|" * 1900 + "}",
    "minus signs": r"\boxed{" + "-" * 1900 + "6}",
    "plus-minus signs": r"\boxed{" + r"\pm" * 600 + "6}",
    "equal signs": r"\boxed{" + "x=" * 900 + "6}",
    "unions": r"\boxed{" + r"(0,1)\cup" * 190 + "(0,1)}",
    "factorials": r"\boxed{" + "1400!+" * 150 + "1}",
    "units": r"\boxed{5" + " cm" * 600 + "}",
}


@pytest.mark.parametrize("name", LONG)
def test_long_answers_are_wrong_at_once(verifier: MathVerifier, name: str) -> None:
    started = time.monotonic()
    assert verifier.mark_sync("5", LONG[name]).value == 0.0
    assert time.monotonic() - started < 1.0


def test_three_thousand_brackets_around_the_answer_are_read(verifier: MathVerifier) -> None:
    assert verifier.mark_sync("5", r"\boxed{" + "(" * 3000 + "5" + ")" * 3000 + "}").value == 1.0


def test_the_acceptance_cases(verifier: MathVerifier) -> None:
    folder = os.environ.get("R1RAY_CASES")
    if not folder:
        pytest.skip("R1RAY_CASES names no folder with math_pairs.jsonl")
    pairs = [json.loads(line) for line in (Path(folder) / "math_pairs.jsonl").read_text().splitlines()]
    clear = [pair for pair in pairs if "arguable" not in pair.get("note", "")]
    assert len(wrongly_judged(verifier, clear)) <= len(clear) // 100
