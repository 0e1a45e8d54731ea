"""Prompts rendered in this process and in others: the same rows are refused."""

from __future__ import annotations

import os

import pytest

from r1ray.data import rendering
from r1ray.data.rendering import Render, refusals
from r1ray.data.template import Question
from r1ray.errors import UserError


def no_sevens() -> Render:
    """Make what refuses some questions."""

    def render(question: Question) -> str:
        if "7" in question:
            raise UserError(f"{question} is refused")
        return str(question)

    return render


def own_process() -> Render:
    """Make what refuses every question, with the number of the process."""

    def render(question: Question) -> str:
        raise UserError(str(os.getpid()))

    return render


def batches(count: int, *, size: int) -> list[list[str]]:
    return [[str(number) for number in range(start, start + size)] for start in range(0, count, size)]


@pytest.mark.parametrize("alone_s", [0.0, 1000.0])
def test_the_same_rows_are_refused_wherever_they_are_rendered(monkeypatch: pytest.MonkeyPatch, alone_s: float) -> None:
    monkeypatch.setattr(rendering, "ALONE_S", alone_s)
    monkeypatch.setattr(rendering, "MAX_PROCESSES", 2)
    given = batches(60, size=5)
    found = list(refusals(given, no_sevens, question=str))
    assert [batch for batch, _ in found] == given
    reasons = {item: reason for batch, reasons in found for item, reason in zip(batch, reasons, strict=True)}
    assert {item for item, reason in reasons.items() if reason} == {item for item in reasons if "7" in item}
    assert reasons["27"] == "27 is refused"


def test_later_rows_are_rendered_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "ALONE_S", 0.0)
    found = list(refusals(batches(12, size=4), own_process, question=str))
    pids = [reason for _, reasons in found for reason in reasons]
    assert set(pids[:4]) == {str(os.getpid())}
    assert str(os.getpid()) not in pids[4:]
