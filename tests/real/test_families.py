"""Models of several families: trained, published, probed and exported. (Qwen2 and Llama are in the other files.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real.running import SMALL, balanced, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,  # the smallest that vLLM's CPU attention has
    "max_position_embeddings": 512,
}
FAMILIES = {
    "qwen3": {},
    "mistral": {"sliding_window": None},
    "phi3": {"pad_token_id": 0},
    "glm4": {},
}
"""Families, and the settings that their configurations need beside the sizes."""


@pytest.fixture
def model(request: pytest.FixtureRequest, qwen_folder: Path, tmp_path: Path) -> Path:
    """An untrained one of that family, with the quickstart's tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.eos_token_id}
    sizes = SIZES | ends | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    torch.manual_seed(0)
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(request.param, **(sizes | FAMILIES[request.param])))
    folder = tmp_path / request.param
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("model", FAMILIES, indirect=True)
def test_a_family_is_trained_and_its_engine_stays_with_the_learner(
    model: Path, tmp_path: Path, running_total: Path
) -> None:
    files = own(model, running_total / "train.parquet", running_total / "heldout.parquet", tmp_path / "runs")
    r1ray(
        *("run", *files, *SMALL, "name=run", "steps=2", "eval.every=0"),
        *("data.template=none", "data.max_prompt_tokens=16", "algo.reference_refresh_updates=0"),
        cwd=tmp_path,
    )
    rows = [row for row in metrics(tmp_path / "runs" / "run") if "reward/mean" in row]
    assert [row["step"] for row in rows] == [1, 2] and balanced(rows)
    assert all(row["grad_norm"] > 0 for row in rows)
    assert all(row["publish/probe_max_logprob_diff"] < 1e-3 for row in rows)
    assert all(row["mismatch/max_logprob_diff"] < 1e-3 for row in rows)

    from transformers import AutoModelForCausalLM

    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "runs" / "run" / "hf" / "2")
    assert exported.config.model_type == model.name
