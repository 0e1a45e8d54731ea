"""Models are loaded as transformers loads them, to the last bit, by one and two ranks under every ZeRO stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.real.ranks import run_ranks

SIZES = {
    "vocab_size": 37,
    "hidden_size": 18,
    "intermediate_size": 23,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 6,
    "pad_token_id": 0,
}
"""Tensors that two ranks cannot halve."""
EXPERTS = {"hidden_size": 16, "num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
"""PyTorch multiplies groups of rows of 16 bytes."""
LATENT = {
    "hidden_size": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 8,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "q_lora_rank": None,
    "kv_lora_rank": 5,
    "qk_nope_head_dim": 6,
    "qk_rope_head_dim": 4,
    "v_head_dim": 6,
    "head_dim": 4,
    "num_key_value_heads": 3,
}
ROPE = {"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
ROPE |= {"original_max_position_embeddings": 64}


def make(kind: str, *, head: str = "CausalLM", dtype: str = "float32", **settings: Any) -> Any:
    """A random model; its buffers are random too, where its files have them."""
    import torch
    import transformers

    torch.manual_seed(1)
    config = transformers.AutoConfig.for_model(kind, **(SIZES | settings))
    model = getattr(transformers, f"AutoModelFor{head}" if head else "AutoModel").from_config(config)
    saved = set(model.state_dict())
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name in saved:
                buffer.normal_()
    return model.to(getattr(torch, dtype))


def as_bin(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def change(folder: Path, action: Callable[[dict[str, Any]], Any]) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    action(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def write(folder: Path) -> None:
    """Models whose loading differs, and files that are not whole."""
    import torch

    whole, faulty = folder / "whole", folder / "faulty"
    make("qwen2", tie_word_embeddings=True).save_pretrained(whole / "tied")
    make("qwen2", tie_word_embeddings=True, head="").save_pretrained(whole / "without prefix")
    make("qwen2", tie_word_embeddings=True).save_pretrained(whole / "tied, and twice in the file")
    change(
        whole / "tied, and twice in the file",
        lambda state: state.update({"lm_head.weight": state["model.embed_tokens.weight"].clone()}),
    )
    llama = make("llama", rope_parameters=ROPE, dtype="bfloat16")
    llama.save_pretrained(whole / "in shards", max_shard_size="3KB")
    assert (whole / "in shards" / "model.safetensors.index.json").exists()
    llama.save_pretrained(whole / "reward of a causal model")
    llama.save_pretrained(whole / "bin")
    as_bin(whole / "bin")
    make("llama", num_labels=1, head="SequenceClassification").save_pretrained(whole / "reward")
    make("qwen3_moe", **EXPERTS).save_pretrained(whole / "experts")
    make("deepseek_v3", **LATENT).save_pretrained(whole / "router bias")

    for name in ("missing", "more", "another shape", "no router bias", "two heads"):
        if name == "no router bias":
            make("deepseek_v3", **LATENT).save_pretrained(faulty / name)
        else:
            make("qwen2", tie_word_embeddings=True).save_pretrained(faulty / name)
    change(faulty / "missing", lambda state: state.pop("model.layers.1.mlp.up_proj.weight"))
    change(faulty / "more", lambda state: state.update({"model.layers.7.stray": torch.ones(3)}))
    change(faulty / "another shape", lambda state: state.update({"model.norm.weight": torch.ones(19)}))
    change(faulty / "no router bias", lambda state: state.pop("model.layers.1.mlp.gate.e_score_correction_bias"))
    change(faulty / "two heads", lambda state: state.update({"lm_head.weight": torch.ones(37, 18)}))


WHOLE = (
    *("tied", "without prefix", "tied, and twice in the file", "in shards", "bin"),
    *("reward of a causal model", "reward", "experts", "router bias"),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each rank of one and of two found."""
    folder = tmp_path_factory.mktemp("models")
    write(folder)
    for size in (1, 2):
        run_ranks(
            "tests.learner.loading_rank",
            [folder / f"{rank}-of-{size}.log" for rank in range(size)],
            lambda rank, port, size=size: [str(rank), str(size), str(port), str(folder)],  # type: ignore[misc]
            timeout_s=180,
        )
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*-of-*.json")}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_loaded_is_what_transformers_loads(found: dict[str, dict[str, Any]], name: str) -> None:
    """Parameters, buffers and logits; divided by ZeRO 3 among ranks that cannot share evenly, too."""
    assert sorted(found) == ["0-of-1", "0-of-2", "1-of-2"]
    for rank, (dtype, stage) in product(found, product(("float32", "bfloat16"), range(4))):
        assert found[rank][f"{name} {dtype} {stage}"] == [], f"rank {rank}, {dtype}, stage {stage}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "its files lack, and Qwen2ForCausalLM has: model.layers.1.mlp.up_proj.weight; needs"),
        ("more", "its files have, and Qwen2ForCausalLM lacks: model.layers.7.stray; needs"),
        ("another shape", "its files have in another shape than Qwen2ForCausalLM: model.norm.weight 19 instead of 18"),
        ("no router bias", "its files lack, and DeepseekV3ForCausalLM has: model.layers.1.mlp.gate.e_score_correct"),
        ("two heads", "its config.json ties the output layer to the embedding, and its files have two that differ"),
    ],
)
def test_files_that_are_not_those_of_the_model_are_refused_by_name(
    found: dict[str, dict[str, Any]], name: str, message: str
) -> None:
    for rank, stage in product(found, (0, 3)):
        assert message in found[rank][f"{name} {stage}"], f"rank {rank}, stage {stage}"
