"""``r1ray audit``: what it prints, and its exit code."""

from __future__ import annotations

import json

import pytest

from r1ray.main import main

PUZZLE = ["reward.parts.accuracy.domains=[logic]", "reward.parts.format.domains=[logic]"]
WEAK = "+reward.parts.mine={function: 'tests.reward.audit.planted:format_alone', domains: [logic]}"


def test_a_strict_reward_ends_with_0_and_says_what_form_is_paid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *PUZZLE]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "reward accuracy 1, format 1" and lines[1].endswith("to 1 prompts (built in), audit.seed=0")
    assert lines[-2:] == ["form alone is paid at most 50% of what a right response is paid", "paid for nothing: none"]


def test_a_weak_reward_ends_with_1_and_one_line_for_each_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *PUZZLE, WEAK]) == 1
    out = capsys.readouterr().out
    assert "form alone  " in out and "injected  " in out and "  total  " in out
    assert out.splitlines()[-1].startswith("paid for nothing: ")


@pytest.mark.long
def test_json_has_an_entry_for_each_line_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *PUZZLE, WEAK]) == 1
    out = capsys.readouterr().out
    assert main(["audit", *PUZZLE, WEAK, "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert {each["part"] for each in found["paid"]} == {"total"}
    assert sum("  total  " in line for line in out.splitlines()) == len(found["paid"])


def test_a_mistake_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "audit.num_prompts=0"]) == 2
    assert "audit.num_prompts=0" in capsys.readouterr().err
