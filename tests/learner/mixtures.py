"""Tiny mixtures of experts, without files."""

from __future__ import annotations

from typing import Any

import torch

SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "num_experts_per_tok": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 1,
    "tie_word_embeddings": False,
}
SHARED = {"n_routed_experts": 6, "n_shared_experts": 1, "moe_intermediate_size": 24, "first_k_dense_replace": 1}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_group": 2,
    "topk_group": 1,
}
MIXTURES: dict[str, dict[str, Any]] = {
    "qwen3_moe": {"num_experts": 6, "moe_intermediate_size": 24, "norm_topk_prob": True, "head_dim": 8},
    "mixtral": {"num_local_experts": 6, "sliding_window": None},
    "deepseek_v3": SHARED | LATENT,
    "glm4_moe": SHARED,
}


def make_mixture(kind: str, **settings: Any) -> Any:
    """Return an untrained model of that family in float32, with random biases where its routers have them."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **(SIZES | MIXTURES.get(kind, {}) | settings))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if name.endswith(("gate.weight", "e_score_correction_bias")):
            torch.nn.init.normal_(tensor, std=0.3)
    return model
