from __future__ import annotations

from typing import Any

from r1ray.telemetry.diagnosis.diagnose import diagnose
from tests.telemetry.diagnosis.recorded import found, planted, recorded
from tests.telemetry.diagnosis.test_diagnose import check_keys

PASS = "eval/heldout/pass@1"


def evaluated(**after: float) -> list[dict[str, Any]]:
    """Return the lines of a healthy run whose last evaluation found something else."""
    _, rows = recorded()
    for row in rows:
        if PASS in row and row["step"]:
            row |= {f"{PASS}{name}": value for name, value in after.items()}
            row[PASS] = after["_low"] / 2 + after["_high"] / 2
    return rows


def test_an_evaluation_that_falls_while_training_gets_better_is_found() -> None:
    (finding,) = found(evaluated(_low=0.02, _high=0.06)).values()
    assert finding.rule == "evaluation_apart" and finding.metric == PASS
    assert "from 0.199 at step 0 to 0.040 while scoring/correct rose from 0.168" in finding.sentence
    check_keys(finding)


def test_an_evaluation_that_fell_from_its_best_is_found() -> None:
    rows = evaluated(_low=0.28, _high=0.32)
    row = next(row for row in rows if row["step"] == 10)
    row |= {PASS: 0.7, f"{PASS}_low": 0.65, f"{PASS}_high": 0.75}
    (finding,) = found(rows).values()
    assert "from 0.700 at step 10 to 0.300 while scoring/correct rose" in finding.sentence


def test_an_evaluation_that_stays_where_it_was_is_found() -> None:
    (finding,) = found(evaluated(_low=0.18, _high=0.24)).values()
    assert finding.rule == "evaluation_apart"


def test_an_evaluation_of_too_few_questions_to_know_is_not() -> None:
    assert found(evaluated(_low=0.0, _high=0.5)) == {}


def test_an_evaluation_that_fell_when_training_did_is_not_apart_from_it() -> None:
    rows = evaluated(_low=0.02, _high=0.06)
    for row in rows:
        row |= {
            name: 0.1 + row["step"] / 1e4
            for name in ("scoring/correct", "reward/accuracy", "reward/mean")
            if name in row
        }
    assert found(rows) == {}


def test_one_that_was_perfect_before_cannot_rise() -> None:
    rows = evaluated(_low=0.97, _high=0.99)
    rows[0] |= {PASS: 0.98, f"{PASS}_low": 0.96, f"{PASS}_high": 0.99}
    assert found(rows) == {}


def test_parts_that_only_are_logged_and_penalties_that_are_not_due_may_be_constant() -> None:
    assert found(planted({"reward/wait": 0.0, "reward/overlong": 0.0})) == {}
    settings, _ = recorded()
    settings["reward"]["parts"]["penalty"] = {"weight": -0.5}
    assert diagnose(planted({"reward/penalty": 0.0}), settings=settings) == []
    (finding,) = diagnose(planted({"reward/penalty": 1.0}), settings=settings)
    assert finding.keys == ("reward.parts.penalty",)


def test_a_part_that_all_earn_is_found_and_one_that_begins_late_is_waited_for() -> None:
    assert "reward/format 1" in found(planted({"reward/format": 1.0}))["constant_part"].sentence
    assert found(planted({"reward/format": lambda step: 1.0 if step > 35 else None})) == {}


def test_prompts_that_nobody_passes_do_not_make_the_part_look_broken() -> None:
    assert list(found(planted({"group/uniform_rate": 1.0, "reward/accuracy": 0.0, "reward/mean": 0.0}))) == [
        "uniform_groups"
    ]


def test_a_part_that_no_environment_gives_is_found() -> None:
    settings, rows = recorded()
    steps = [row | {"reward/right": 0.5} for row in rows if "time/step_s" in row]
    part = {"weight": 1.0, "from_environment": True}

    def named(name: str, count: int) -> list[str]:
        reward = {**settings["reward"], "parts": {**settings["reward"]["parts"], name: part}}
        found = diagnose(steps[:count], settings={**settings, "reward": reward})
        return [finding.sentence for finding in found if finding.rule == "unpaid_part"]

    assert named("right", 20) == named("rigth", 4) == []
    (sentence,) = named("rigth", 5)
    assert "gave rigth in 5 steps" in sentence and "have no weight: right" in sentence
