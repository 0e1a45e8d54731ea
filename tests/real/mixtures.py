"""Mixtures of experts in the sizes that vLLM's engines on CPUs have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.learner.mixtures import make_mixture

SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,  # the smallest that vLLM's CPU attention has
    "max_position_embeddings": 512,
    "moe_intermediate_size": 32,
}
OF_FAMILIES: dict[str, dict[str, Any]] = {
    "qwen3_moe": {"num_experts": 8},
    "mixtral": {"num_local_experts": 8},
    "glm4_moe": {"n_routed_experts": 8, "use_qk_norm": True},
    "deepseek_v3": {
        "n_routed_experts": 8,
        "num_key_value_heads": 2,
        "q_lora_rank": 32,
        "kv_lora_rank": 512,  # with 64 rotary dimensions the one size of latent attention that vLLM has on CPUs
        "qk_rope_head_dim": 64,
        "qk_nope_head_dim": 32,
        "v_head_dim": 32,
        "head_dim": 64,
    },
}
BIASED = ("deepseek_v3", "glm4_moe")
"""Families whose routers have a selection bias."""


def mixture_folder(kind: str, qwen_folder: Path, folder: Path) -> Path:
    """Make an untrained model of that family, with the quickstart's tokenizer."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.eos_token_id}
    sizes = SIZES | ends | {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    make_mixture(kind, **(sizes | OF_FAMILIES[kind])).save_pretrained(folder / kind)
    tokenizer.save_pretrained(folder / kind)
    return folder / kind
