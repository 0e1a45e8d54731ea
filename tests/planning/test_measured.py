"""What is planned for a learner is what a real one on DeepSpeed weighs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import AlgoConfig, DataConfig, LearnerConfig, RewardConfig, RunConfig
from r1ray.planning.memory import BUCKET, checkpoint_parts, export_bytes, learner_actor
from r1ray.planning.shapes import load_shape
from tests.planning.variants import LENGTH, ROWS, VARIANTS
from tests.real.ranks import run_ranks

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of four million parameters, with activations of the like size."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    folder = tmp_path_factory.mktemp("planned") / "model"
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=32,
    )
    Qwen3ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def measured(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("measured")
    run_ranks(
        "tests.planning.measured",
        [out / "rank.log"],
        lambda rank, port: [str(port), str(model), str(out)],
        timeout_s=180,
    )
    return json.loads((out / "measured.json").read_text())


def planned(variant: str) -> RunConfig:
    learner = LearnerConfig(max_tokens_per_microbatch=ROWS * LENGTH, **VARIANTS[variant])
    algo = AlgoConfig(group_size=ROWS, prompts_per_step=1, minibatches_per_step=1, max_completion_tokens=LENGTH - 1)
    reward, data = RewardConfig(parts={"accuracy": {}}), DataConfig(train="t", max_prompt_tokens=1)
    return RunConfig(model="m", learner=learner, algo=algo, reward=reward, data=data)


def sums(config: RunConfig, model: Path, moment: str, *names: str) -> float:
    """Of the items of a moment, those with one of the names in theirs."""
    actor = learner_actor(config, load_shape(str(model)), gpus=0, capacity=1e12)
    return sum(item.bytes for item in actor.moments[moment] if any(name in item.name for name in names))


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_files_are_as_large_as_planned(measured: Any, model: Path, variant: str) -> None:
    config, shape, found = planned(variant), load_shape(str(model)), measured[variant]["files"]
    parts = checkpoint_parts(config, shape)
    optimizer = sum(size for name, size in found.items() if name.endswith("optim_states.pt"))
    weights = sum(size for name, size in found.items() if name.endswith("model_states.pt"))
    assert optimizer == pytest.approx(parts["optimizer"], rel=0.01)
    assert weights == pytest.approx(parts["model"], rel=0.01, abs=1e5)
    assert found["reference-0-of-1.safetensors"] == pytest.approx(parts["reference"], rel=0.01)
    assert found["model.safetensors"] == pytest.approx(export_bytes(config, shape), rel=0.01)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_tensors_are_as_large_as_planned(measured: Any, model: Path, variant: str) -> None:
    config, found = planned(variant), measured[variant]
    assert found["moments"] == pytest.approx(sums(config, model, "update", "moments"), rel=0.01)
    # Beside the bucket, which is as large for every model: activations, one layer at work, what is gathered.
    bucket = 2 * BUCKET if found["passes"] > 2 * BUCKET else 0.0
    expected = sums(config, model, "forward and backward", "activations", "layer inputs", "at work")
    if variant == "stage 1":  # the only micro-batch: no gradients of others are there yet
        assert found["passes"] - bucket == pytest.approx(expected, rel=0.15)
    else:
        # How much of so small a model is gathered at a time, and how many of its gradients are made float32 to be
        # added up, is between nothing and all of it.
        most = expected + sums(config, model, "forward and backward", "gathered", "gradients")
        assert 0.85 * expected <= found["passes"] - bucket <= 1.15 * most
    # Stage 1, which is run as 2, updates with the gradients that it has accumulated; stage 3 with a copy.
    own = ("gradients",) if variant == "stage 1" else ()
    assert found["update"] == pytest.approx(sums(config, model, "update", "AdamW", *own), rel=0.15)
