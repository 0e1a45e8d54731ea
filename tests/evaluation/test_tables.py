"""What a recipe's last tables say."""

from __future__ import annotations

from r1ray.evaluation.effects import Effect
from r1ray.evaluation.statistics import Estimate
from r1ray.evaluation.tables import StageRow, effects_table, outcome_of, stages_table

EVALUATED = {"pass@1": 0.72, "pass@1_low": 0.65, "pass@1_high": 0.79, "part/language": 0.5, "generated_tokens": 100.0}


def cells(table: str, first: str) -> list[str]:
    """Of the row that begins with this cell."""
    (row,) = (line for line in table.splitlines() if line.startswith(f"│ {first} "))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_every_stage_has_a_row_and_one_that_was_given_no_time() -> None:
    rows = [
        StageRow(name="trained", recipe="r1_zero", metrics={"steps": 40.0, "reward_mean": 1.5}, seconds=61.4),
        StageRow(name="eval_trained", recipe="evaluate", metrics=EVALUATED, seconds=None),
    ]
    table = stages_table(rows)
    assert cells(table, "trained") == ["trained", "r1_zero", "steps 40, reward_mean 1.500", "61"]
    assert cells(table, "eval_trained")[2:] == ["pass@1 0.720 (0.65 .. 0.79), language 0.500", ""]


def test_rates_of_nothing_and_votes_without_answers_are_left_out() -> None:
    rates = {"pass@1": 0.5, "cons@8": 0.0, "truncated_rate": 0.0, "no_answer_rate": 1.0}
    assert outcome_of("evaluate", rates) == "pass@1 0.500, no_answer_rate 1.000"


def test_effects_are_not_told_twice() -> None:
    metrics = {**EVALUATED, "effect/eval_base/pass@1": 0.1, "before/eval_base/pass@1": 0.62}
    assert outcome_of("evaluate", metrics) == outcome_of("evaluate", EVALUATED)


def test_a_collection_says_what_it_left_out_most_first() -> None:
    counts = {"num_rows": 50.0, "num_samples": 100.0, "num_kept": 40.0, "removed/cut": 20.0, "removed/wrong": 40.0}
    assert outcome_of("collect", counts) == "40 of 100 samples kept, 50 rows; left out: 40 wrong, 20 cut"


def test_an_effect_has_its_metrics_its_interval_and_a_verdict() -> None:
    effect = Effect(metric="format", before=0.2, after=0.9, difference=Estimate(0.7, 0.65, 0.75), expected="up")
    found = cells(effects_table([("eval_sft", "eval_base", effect)]), "sft")
    assert found == ["sft", "base", "format", "0.200", "0.900", "+0.700 (+0.650 .. +0.750)", "as expected"]
