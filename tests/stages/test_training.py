"""The run folder of a stage that trains: what it goes back to, and what came of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from r1ray.config.router import RouterConfig
from r1ray.data.position import Position
from r1ray.errors import UserError
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from r1ray.stages.training import (
    before_and_after,
    check_router_keys,
    claim_checkpoints,
    export_dir,
    go_back,
    model_path,
    recent_mean,
)
from r1ray.telemetry.metrics import MetricsFile


def trained(run_dir: Path, *, steps: int, saved: tuple[int, ...]) -> tuple[Checkpoints, MetricsFile]:
    """A folder of so many steps, with a model of each and checkpoints of some."""
    checkpoints, metrics = (
        Checkpoints(run_dir / "checkpoints", keep=9),
        MetricsFile(run_dir / "metrics.jsonl", stage="rl"),
    )
    for step in range(steps + 1):
        metrics.append({"step": step, "loss/total": float(step)})
        export_dir(run_dir, step).mkdir(parents=True)
        if step in saved:
            state = LoopState(step, step, step, Position(0, step), Ledger().state())
            checkpoints.commit(checkpoints.begin(step), state)
    (run_dir / "hf" / ".writing-9.1@elsewhere").mkdir()
    return checkpoints, metrics


def test_a_run_goes_back_to_its_last_checkpoint_and_forgets_what_came_after(tmp_path: Path) -> None:
    checkpoints, metrics = trained(tmp_path, steps=5, saved=(2, 3))
    resumed = go_back(tmp_path, checkpoints, metrics)
    assert resumed is not None and resumed[1].version == 3
    assert resumed[0] == tmp_path / "checkpoints" / "3" / "learner"
    assert [row["step"] for row in metrics.read()] == [0, 1, 2, 3]
    assert sorted(os.listdir(tmp_path / "hf")) == ["0", "1", "2", "3"]


def test_a_run_without_a_checkpoint_begins_with_nothing_but_the_first_model(tmp_path: Path) -> None:
    assert go_back(tmp_path, *trained(tmp_path, steps=2, saved=())) is None
    assert MetricsFile(tmp_path / "metrics.jsonl", stage="rl").read() == []
    assert os.listdir(tmp_path / "hf") == ["0"]


def test_checkpoints_of_other_inputs_are_refused(tmp_path: Path) -> None:
    claim_checkpoints(tmp_path, "rl", "one")
    claim_checkpoints(tmp_path, "rl", "two")  # nothing was trained yet
    trained(tmp_path, steps=1, saved=(1,))
    claim_checkpoints(tmp_path, "rl", "two")
    with pytest.raises(UserError, match=f"name={tmp_path.name}: .* has checkpoints of a run with other inputs"):
        claim_checkpoints(tmp_path, "rl", "one")


@pytest.mark.parametrize("text", ["", "[]", "5", '{"lasting": ', "\0"])
def test_a_torn_note_of_what_was_begun_is_named_with_the_way_out(tmp_path: Path, text: str) -> None:
    claim_checkpoints(tmp_path, "rl", "one")
    trained(tmp_path, steps=1, saved=(1,))
    (tmp_path / "stages" / "rl" / "started.json").write_text(text)
    with pytest.raises(UserError, match=r"stages/rl/started.json: .*Remove it, if model and data are still those"):
        claim_checkpoints(tmp_path, "rl", "one")


def test_the_first_and_the_last_evaluation_are_compared() -> None:
    rows = [
        {"step": 0.0, "eval/sums/pass@1": 0.1},
        {"step": 1.0, "loss/total": 2.0},
        {"step": 2.0, "loss/total": 1.0, "eval/sums/pass@1": 0.5, "eval/other/pass@1": 0.9},
        {"step": 3.0, "loss/total": 1.0},
    ]
    assert before_and_after(rows, "sums") == ({"pass@1": 0.1}, {"pass@1": 0.5})
    assert before_and_after(rows[1:2], "sums") is None
    assert recent_mean(rows, "loss/total", count=2) == 1.0 and recent_mean(rows, "loss/total") == pytest.approx(4 / 3)


def test_a_local_model_has_an_absolute_path_and_a_hub_name_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_path(None, "mine") == str(tmp_path / "mine")
    assert model_path(None, "Qwen/Qwen2.5-7B") == "Qwen/Qwen2.5-7B"
    assert model_path(tmp_path / "base", None) == str(tmp_path / "base" / "model")


def test_keys_of_routers_are_refused_where_they_mean_nothing(qwen_folder: Path) -> None:
    check_router_keys(RouterConfig(), model=str(qwen_folder))
    with pytest.raises(
        UserError, match=r"learner.router.bias_speed=0.1: Qwen3ForCausalLM has no known routers; needs a mix"
    ):
        check_router_keys(RouterConfig(bias_speed=0.1), model=str(qwen_folder))
    with pytest.raises(UserError, match=r"learner.router.replay=true: given answers were not generated here"):
        check_router_keys(RouterConfig(replay=True), model=str(qwen_folder), has_engines=False)
