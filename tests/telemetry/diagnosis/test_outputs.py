from __future__ import annotations

from tests.telemetry.diagnosis.planted_runs import PLANTED
from tests.telemetry.diagnosis.recorded import found, planted


def test_a_third_that_is_cut_is_not_too_much() -> None:
    assert found(planted({"completion/truncated_rate": 0.32})) == {}


def test_a_policy_that_learns_the_form_is_not_warned_of() -> None:
    rows = planted(PLANTED["unread_answers"] | {"scoring/no_answer": lambda step: max(0.55, 0.9 - 0.04 * step)})
    assert found(rows) == {}


def test_responses_without_an_answer_because_they_are_cut_are_said_to_be_cut() -> None:
    rows = planted({**PLANTED["unread_answers"], "completion/truncated_rate": 0.75})
    assert list(found(rows)) == ["truncated"]


def test_what_is_removed_without_being_long_is_not_warned_of() -> None:
    assert found(planted({"removed/late_rate": 0.1, "removed/late_length_mean": 5.0})) == {}
    assert found(planted({"removed/stopped_rate": 0.5, "removed/stopped_length_mean": 70.0})) == {}
    assert found(planted({"removed/late_rate": 0.01, "removed/late_length_mean": 70.0})) == {}


def test_the_key_to_turn_is_that_of_the_reason() -> None:
    for reason, key in (("stale", "algo.max_staleness"), ("late", "deadlines.generate_s")):
        finding = found(planted(PLANTED[f"long_removed:{reason}"]))["long_removed"]
        assert finding.keys[0] == key and f"({reason})" in finding.sentence
    finding = found(planted(PLANTED["long_removed:truncated"]))["long_removed"]
    assert "algo.max_completion_tokens (now 80)" in finding.advice
