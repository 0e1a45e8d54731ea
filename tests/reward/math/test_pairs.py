"""Labelled pairs of a reference and a response, by category."""

from __future__ import annotations

import json
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from r1ray.errors import InfrastructureError
from r1ray.reward.extract import final_answer
from r1ray.reward.math.guard import is_safe
from r1ray.reward.math.process import KillableProcess
from r1ray.reward.math.verifier import MathVerifier
from tests.growth import assert_linear
from tests.reward.math.labelled import ALL, FIRST, HELD_OUT, KNOWN
from tests.reward.math.labels import build

CATEGORIES = sorted({pair["cat"] for pair in KNOWN})
MOST_PAID, MOST_REFUSED = 0.005, 0.03
"""Shares of the wrong pairs that may be paid, and of the right ones that may be refused, in the part held out."""
SLOWEST_S = 20.0
"""Processor time of this thread: ten times what math-verify may take in its process."""


def wrongly_judged(verifier: MathVerifier, pairs: list[dict[str, Any]]) -> list[str]:
    wrong = []
    for pair in pairs:
        started = time.thread_time()
        score = verifier.score_sync(pair["gold"], pair["pred"])
        is_late = score.label == "timeout" or time.thread_time() - started > SLOWEST_S
        if (score.value == 1.0) is not pair["equal"] or is_late or score.detail.startswith("unreadable"):
            wrong.append(f"{pair['id']}: {pair['gold'][:60]} | {pair['pred'][-60:]}: {score.label}, {score.detail}")
    return wrong


def test_the_set_is_large_and_says_where_its_labels_come_from() -> None:
    assert len(ALL) >= 1500 and len({pair["id"] for pair in ALL}) == len(ALL)
    assert {"zh", "unit", "percent", "interval", "matrix", "inject", "dos"} <= set(CATEGORIES)
    by_hand = [pair for pair in ALL if pair["by"] == "hand"]
    assert len(by_hand) >= 400 and all(pair["reason"] for pair in by_hand)
    assert all(pair["by"] in ("hand", "construction") for pair in ALL)
    assert min(sum(pair["equal"] is label for pair in HELD_OUT) for label in (True, False)) >= 100


def test_the_pairs_by_construction_are_what_their_script_writes() -> None:
    assert build.BUILT.read_text() == build.text()


def test_the_part_held_out_is_judged_as_well(verifier: MathVerifier) -> None:
    for label, most in ((False, MOST_PAID), (True, MOST_REFUSED)):
        pairs = [pair for pair in HELD_OUT if pair["equal"] is label]
        assert len(wrongly_judged(verifier, pairs)) <= most * len(pairs)


@pytest.mark.long
def test_every_difference_from_math_verify_is_right_by_the_label(verifier: MathVerifier) -> None:
    """Lists every pair that math-verify, given the final answer in one spelling, judges otherwise; what it would
    compute for ever is left out."""
    differences = []
    for pair in ALL:
        answer = final_answer(pair["pred"])
        if answer is None or not (is_safe(pair["gold"]) and is_safe(answer)):
            continue
        try:
            alone = verifier._by_process(pair["gold"], answer).value == 1.0
        except InfrastructureError:
            continue
        verifier._cache.clear()
        ours = verifier.score_sync(pair["gold"], pair["pred"]).value == 1.0
        if ours is not alone:
            differences.append((pair["id"], pair["gold"], answer, ours, pair["equal"]))
    print(*differences, sep="\n")
    assert len(differences) > 100
    assert [one for one in differences if one[3] is not one[4]] == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_pairs_are_judged_as_labelled(verifier: MathVerifier, category: str) -> None:
    assert wrongly_judged(verifier, [pair for pair in KNOWN if pair["cat"] == category]) == []


@pytest.mark.parametrize("category", ["decimal", "expr", "unit", "choice", "text", "tuple", "matrix", "ratio", "zh"])
def test_equality_goes_both_ways(verifier: MathVerifier, category: str) -> None:
    """A right answer taken as the reference makes the reference right, too (conventions of choices aside)."""
    for pair in FIRST:
        if pair["cat"] != category or not pair["equal"] or category == "choice":
            continue
        answer = pair["pred"].removeprefix(r"So the answer is $\boxed{").removesuffix("}$.")
        assert verifier.score_sync(answer, rf"\boxed{{{pair['gold']}}}").value == 1.0, pair


LONG: dict[str, tuple[Callable[[int], str], int]] = {
    "nines": (lambda size: r"\boxed{" + "9" * size + "}", 5000),
    "nested roots": (lambda size: r"\boxed{" + r"\sqrt{" * size + "5" + "}" * (size + 1), 900),
    "a long sum": (lambda size: r"\boxed{1" + "+1" * size + "}", 3000),
    "letters": (lambda size: r"\boxed{" + "x" * size + "}", 3000),
    "a long list": (lambda size: r"\boxed{" + ",".join(map(str, range(size))) + "}", 4000),
    "boxes that never close": (lambda size: r"\boxed{" * size, 100_000),
    "reasoning that never ends": (lambda size: "<think>" * size + r"\boxed{5}", 50_000),
    "sections that never close": (lambda size: "<answer>" * size + r"\boxed{6}", 50_000),
    "spaces": (lambda size: r"\boxed{" + " " * size + "6}", 19_000),
    "commas": (lambda size: r"\boxed{" + "," * size + "6}", 19_000),
    "text in text": (lambda size: r"\boxed{" + r"\text{" * size + "5" + "}" * (size + 1), 1500),
    "carets": (lambda size: r"\boxed{" + "^" * size + "}", 1900),
    "bars": (lambda size: r"\boxed{" + "|" * size + "}", 1900),
    "minus signs": (lambda size: r"\boxed{" + "-" * size + "6}", 1900),
    "plus-minus signs": (lambda size: r"\boxed{" + r"\pm" * size + "6}", 600),
    "equal signs": (lambda size: r"\boxed{" + "x=" * size + "6}", 900),
    "unions": (lambda size: r"\boxed{" + r"(0,1)\cup" * size + "(0,1)}", 190),
    "factorials": (lambda size: r"\boxed{" + "1400!+" * size + "1}", 150),
    "units": (lambda size: r"\boxed{5" + " cm" * size + "}", 600),
}


@pytest.mark.parametrize("name", LONG)
def test_long_answers_are_wrong_at_once(verifier: MathVerifier, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nobody asks math-verify, and what stands before it takes linear time, also for shorter ones."""
    asked: list[str] = []
    monkeypatch.setattr(KillableProcess, "ask", lambda self, reference, answer: asked.append(answer) or "different")

    def work(text: str) -> None:
        monkeypatch.setattr(verifier, "_cache", OrderedDict())
        assert verifier.score_sync("5", text).value == 0.0

    text_of, size = LONG[name]
    work(text_of(size))
    assert asked == []
    assert_linear(work, text_of, size)


def test_three_thousand_brackets_around_the_answer_are_read(verifier: MathVerifier) -> None:
    assert verifier.score_sync("5", r"\boxed{" + "(" * 3000 + "5" + ")" * 3000 + "}").value == 1.0


def test_the_acceptance_cases(verifier: MathVerifier) -> None:
    folder = os.environ.get("R1RAY_CASES")
    if not folder:
        pytest.skip("R1RAY_CASES names no folder with math_pairs.jsonl")
    pairs = [json.loads(line) for line in (Path(folder) / "math_pairs.jsonl").read_text().splitlines()]
    clear = [pair for pair in pairs if "arguable" not in pair.get("note", "")]
    assert len(wrongly_judged(verifier, clear)) <= len(clear) // 100


@pytest.mark.parametrize("name", ["math_wrongly_paid", "math_wrongly_refused", "math_unscorable"])
def test_the_cases_of_the_review(verifier: MathVerifier, name: str) -> None:
    folder = os.environ.get("R1RAY_CASES")
    if not folder:
        pytest.skip(f"R1RAY_CASES names no folder with {name}.jsonl")
    rows = [json.loads(line) for line in (Path(folder) / f"{name}.jsonl").read_text().splitlines()]
    scores = [verifier.score_sync(row["check"]["answer"], row["response"]).value for row in rows]
    assert [row["id"] for row, score in zip(rows, scores, strict=True) if score != row["expect"]] == []
