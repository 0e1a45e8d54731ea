from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from r1ray.config.run import RunConfig
from r1ray.config.schema import place_of
from r1ray.telemetry.diagnosis.diagnose import RULES, diagnose, diagnose_folder
from r1ray.telemetry.diagnosis.finding import Finding
from r1ray.telemetry.metric_table import metric_of
from tests.telemetry.diagnosis.planted_runs import PLANTED
from tests.telemetry.diagnosis.recorded import NAMES, found, planted, recorded


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_at_any_step_of_a_run_that_learns(name: str) -> None:
    settings, rows = recorded(name)
    assert [diagnose(rows[:end], settings=settings) for end in range(len(rows) + 1)] == [[]] * (len(rows) + 1)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_run_is_found_by_its_rule_alone(name: str) -> None:
    assert list(found(planted(PLANTED[name]))) == [name.partition(":")[0]]


@pytest.mark.parametrize("rule", ["uniform_groups:hard", "entropy_collapse", "truncated"])
def test_what_rewards_do_not_teach_is_no_fault_where_a_teacher_does(rule: str) -> None:
    rows = planted({**PLANTED[rule], "teacher/kl": lambda step: 0.5})
    for beside, is_found in ((False, rule == "truncated"), (True, True)):
        settings = {"algo": {"teacher": {"beside_rewards": beside}}}
        assert bool(diagnose(rows, settings=settings)) == is_found


def test_there_is_a_planted_run_for_each_rule() -> None:
    assert {name.partition(":")[0] for name in PLANTED} | {"evaluation_apart", "unpaid_part"} == {
        rule.__name__ for rule in RULES
    }


@pytest.mark.parametrize("name", PLANTED)
def test_each_key_to_turn_exists_and_is_named(name: str) -> None:
    (finding,) = found(planted(PLANTED[name])).values()
    check_keys(finding)
    assert metric_of(finding.metric) is not None


def check_keys(finding: Finding) -> None:
    assert finding.keys
    assert [key for key in finding.keys if place_of(RunConfig, key) is None] == []
    assert [key for key in finding.keys if key not in finding.advice] == []
    named = re.findall(r"\b(?:algo|data|reward|learner|rollout|deadlines|checkpoint)\.[a-z_.]*[a-z_]", finding.advice)
    assert set(named) <= set(finding.keys)


def test_a_folder_has_its_own_settings_and_metrics(tmp_path: Path) -> None:
    settings, _ = recorded()
    rows = planted(PLANTED["truncated"])
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.yaml").write_text(json.dumps(settings))
    (finding,) = diagnose_folder(tmp_path)
    assert "algo.max_completion_tokens (now 80)" in finding.advice
    (tmp_path / "config.yaml").write_text("{[")
    (finding,) = diagnose_folder(tmp_path)
    assert "(now" not in finding.advice


def test_of_a_stage_the_manifest_has_the_settings(tmp_path: Path) -> None:
    settings, _ = recorded()
    rows = planted(PLANTED["constant_part"])
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert diagnose_folder(tmp_path) == []  # nothing says which parts count
    (tmp_path / "manifest.json").write_text(json.dumps({"settings": settings}))
    assert [finding.rule for finding in diagnose_folder(tmp_path)] == ["constant_part"]


def test_a_folder_without_metrics_or_with_torn_ones_has_no_findings(tmp_path: Path) -> None:
    assert diagnose_folder(tmp_path) == []
    (tmp_path / "metrics.jsonl").write_text('nonsense\n{"step": 1}\n')
    assert diagnose_folder(tmp_path) == []
