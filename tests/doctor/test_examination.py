"""What is looked at, without a cluster: none answers at the address."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray import main as cli
from r1ray.commands.compose import compose
from r1ray.doctor.examination import Planned, prepared, training_plans
from r1ray.planning.plan import plan_run
from r1ray.recipes import configs_by_name, stages_of
from r1ray.stages.base import Context, run_stages
from r1ray.stages.prepare import Prepare

NOWHERE = "cluster.address=127.0.0.1:1"


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("ray.init", refuse)


def doctor(capsys: pytest.CaptureFixture[str], *overrides: str) -> tuple[int, list[dict[str, Any]]]:
    code = cli.main(["doctor", "--json", *overrides, NOWHERE])
    return code, json.loads(capsys.readouterr().out)


def test_a_cluster_that_is_not_there_is_red_and_model_and_data_are_looked_at_all_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    files = [f"model={qwen_folder}", f"data.train={running_total / 'train.parquet'}", f"data.eval={tmp_path}/no.jsonl"]
    code, found = doctor(
        capsys, *files, "data.template=none", "algo.max_completion_tokens=64", "data.max_prompt_tokens=16"
    )
    assert code == 1
    said = {(row["check"], row["status"]) for row in found}
    assert {("model", "green"), ("rows", "green"), ("answer", "green"), ("rows", "red"), ("cluster", "red")} <= said
    assert next(row for row in found if row["check"] == "cluster")["found"].startswith("cluster.address=127.0.0.1:1: ")


def test_what_stages_of_a_graph_bring_is_looked_at_and_what_they_make_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    dialogues = tmp_path / "dialogues.jsonl"
    dialogues.write_text('{"prompt": "1+1", "response": "2"}\n')
    _, found = doctor(
        capsys,
        *("recipe=distill", f"model={qwen_folder}", f"data.eval={running_total / 'heldout.parquet'}"),
        *(f"supervised.train={dialogues}", "data.template=none"),
    )
    rows = [row["found"].partition(":")[0] for row in found if row["check"] == "rows"]
    assert len(rows) == len(set(rows)) >= 2
    assert all(text.startswith("stage ") for text in rows)


def test_a_mistake_in_the_configuration_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "algo.grop_size=4"]) == 2
    assert "the nearest is algo.group_size" in capsys.readouterr().err


def test_what_a_maker_makes_is_not_there_before_the_run(tmp_path: Path) -> None:
    assert prepared(compose(["experiment=quickstart", f"output_dir={tmp_path}"])) is None
    assert prepared(compose(["model=m", "data.train=t"])) is None


def make(folder: Path, *, seed: int, log: object) -> None:
    """A maker that writes nothing."""


def test_what_an_earlier_run_has_made_is_found(tmp_path: Path) -> None:
    config = compose([f"prepare.maker={__name__}:make", "experiment=quickstart", f"output_dir={tmp_path}"])
    config.prepare.options.clear()
    stage = Prepare(config.prepare, seed=config.seed)
    made = run_stages([stage], Context(tmp_path / "run", tmp_path / "artifacts"))
    assert prepared(config) == Path(made["base"].path)


def test_disk_is_estimated_as_by_plan(qwen_folder: Path) -> None:
    config = compose([f"model={qwen_folder}", "data.train=t", "checkpoint.keep=2"])
    (plan,) = training_plans(config, [Planned("", config)])
    assert plan == plan_run(config)
    assert plan.disk is not None
    assert plan.disk.whole > plan.disk.kept > 0


def test_every_stage_of_a_graph_that_trains_has_the_shape_of_the_model_that_it_starts_from(tmp_path: Path) -> None:
    config = compose(["experiment=r1_quickstart", f"output_dir={tmp_path}"])
    stages = [Planned(name, each) for name, each in configs_by_name(config, stages_of(config)).items()]
    plans = {plan.name: plan for plan in training_plans(config, stages)}
    training = {stage.name for stage in stages if stage.config.recipe not in ("collect", "evaluate", "extend")}
    assert plans.keys() == training
    assert all(plan.disk is not None and plan.disk.whole > 0 for plan in plans.values())


def test_a_model_whose_shape_is_not_known_has_no_estimate() -> None:
    config = compose(["model=nobody/nothing", "data.train=t"])
    assert training_plans(config, [Planned("", config)]) == []
