"""Layouts of frameworks and collections whose rows are of many kinds: verl, tulu, SYNTHETIC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check, MathAnswer
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.layouts.ground_truths import check_of
from r1ray.data.layouts.layout import Layout
from r1ray.data.layouts.questions import asked
from r1ray.data.layouts.references import reference
from r1ray.data.layouts.rules import are_rules, rules_check
from r1ray.data.layouts.tests_of_programs import program_check
from r1ray.data.layouts.values import kind_of, label_of, literal, unpacked, value_of

GROUND_TRUTH = (
    "by its ground truth: an equal answer, a program that passes its tests, one of the answers of `{target}`, an "
    "expression of `{numbers, target}`, or instructions that are followed"
)


def _verl(row: Mapping[str, Any]) -> Check:
    found = unpacked(value_of(row, "reward_model", "reward_spec"), column="reward_model")
    if not isinstance(found, Mapping) or "ground_truth" not in found:
        raise MalformedRow(f"reward_model needs an object with ground_truth, found {kind_of(found)}")
    if (style := label_of(found, "style", "method")) == "model":
        raise UnusableRow(f"reward_model.style is {style}: a model judges it, and its ground_truth is no reference")
    return check_of(found["ground_truth"], column="reward_model.ground_truth")


def _tulu(row: Mapping[str, Any]) -> Check:
    found = row.get("ground_truth")
    if label_of(row, "dataset").lower().startswith("if"):
        found = literal(found, column="ground_truth")
        if not are_rules(found):
            raise MalformedRow(f"ground_truth needs instructions, found {kind_of(found)}")
        return rules_check(found, column="ground_truth")
    return check_of(found, column="ground_truth")


def _synthetic(row: Mapping[str, Any]) -> Check:
    """Return the check of a SYNTHETIC row. ``verification_info`` is JSON, or, in SYNTHETIC-1, the text of a Python
    object; ``task_type`` says what it contains. Only tasks with a check of r1ray's are read: others have judges and
    graders of their own."""
    found = literal(row.get("verification_info"), column="verification_info")
    if not isinstance(found, Mapping):
        raise MalformedRow(f"verification_info needs an object, found {kind_of(found)}")
    task = label_of(row, "task_type").lower()
    if value_of(found, "test_cases") is not None:
        return program_check(found, column="verification_info", language=found.get("language"))
    if are_rules(found):
        return rules_check(found, column="verification_info")
    if "ground_truth" in found and (not task or "math" in task):
        return MathAnswer(reference(found["ground_truth"], column="verification_info.ground_truth"))
    raise UnusableRow(f"r1ray has no check for the task type {task or kind_of(found)}")


FRAMEWORKS = (
    Layout(
        name="verl, SkyRL",
        columns=("prompt", "reward_model|reward_spec"),
        question=asked("prompt"),
        check=_verl,
        means=GROUND_TRUTH,
        ids=("extra_info.index",),
        domains=("ability", "data_source"),
    ),
    Layout(
        name="SYNTHETIC-1, SYNTHETIC-2, INTELLECT-2",
        columns=("prompt", "verification_info"),
        question=asked("prompt"),
        check=_synthetic,
        means="an equal answer, a program that passes its tests, or instructions that are followed; other task types "
        "are left out",
    ),
    Layout(
        name="tulu RLVR",
        columns=("messages", "ground_truth"),
        question=asked("messages"),
        check=_tulu,
        means=GROUND_TRUTH,
        ids=("id", "key"),
        domains=("dataset",),
    ),
)
