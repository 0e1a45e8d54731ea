"""Mixtures of experts: trained, published, verified and exported with their routers' biases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.real.mixtures import BIASED, OF_FAMILIES, mixture_folder
from tests.real.running import SMALL, balanced, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]


@pytest.fixture
def model(request: pytest.FixtureRequest, qwen_folder: Path, tmp_path: Path) -> Path:
    """See :func:`tests.real.mixtures.mixture_folder`."""
    return mixture_folder(request.param, qwen_folder, tmp_path)


@pytest.mark.parametrize("model", OF_FAMILIES, indirect=True)
def test_a_mixture_is_trained_and_its_engine_stays_with_the_learner(
    model: Path, tmp_path: Path, running_total: Path
) -> None:
    speed = 0.01 if model.name in BIASED else 0.0
    files = own(model, running_total / "train.parquet", running_total / "heldout.parquet", tmp_path / "runs")
    r1ray(
        *("run", *files, *SMALL, "name=run", "steps=2", "eval.every=0"),
        *("data.template=none", "data.max_prompt_tokens=16", "algo.reference_refresh_updates=2"),
        *("learner.router.loss_coefficient=0.01", f"learner.router.bias_speed={speed}"),
        cwd=tmp_path,
        timeout_s=900.0,
    )
    rows = [row for row in metrics(tmp_path / "runs" / "run") if "reward/mean" in row]
    assert [row["step"] for row in rows] == [1, 2] and balanced(rows)
    assert all(row["grad_norm"] > 0 and row["router/loss"] > 0 and row["router/load_max"] >= 1 for row in rows)
    assert all(row["publish/probe_max_logprob_diff"] < 1e-3 for row in rows)
    assert all(row["mismatch/max_logprob_diff"] < 1e-3 for row in rows)

    exported = tmp_path / "runs" / "run" / "hf" / "2"
    before, after = load_file(model / "model.safetensors"), load_file(exported / "model.safetensors")
    assert before.keys() == after.keys()
    biases = [name for name in before if name.endswith("e_score_correction_bias")]
    assert bool(biases) is (model.name in BIASED)
    for name in biases:  # four updates, each a step up or down, or none
        steps = (after[name] - before[name]) / speed
        assert (steps - steps.round()).abs().max() < 1e-3 and 1 <= steps.abs().max().round() <= 4
    settings = json.loads((exported / "config.json").read_text())
    if model.name == "deepseek_v3":
        assert (settings["topk_method"], settings["scoring_func"]) == ("noaux_tc", "sigmoid")
