"""Tiny models of many families, and the table of how the learner computes them.

python -m tests.learner.families --write        measures all of them, and writes the table of r1ray/learner/README.md
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from r1ray.learner.policy import PolicyModel, check_policy

README = Path("r1ray/learner/README.md")
BEGIN, END = "<!-- made: families -->\n", "<!-- end -->\n"
COLUMNS = ("family", "rows", "logits")
VOCABULARY = 64
COMMON = {"vocab_size": VOCABULARY, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES = {
    **{"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "initializer_range": 0.2},
}
OLD = {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 128, "initializer_range": 0.2}
PLAIN = {name: value for name, value in SIZES.items() if name not in ("num_key_value_heads", "head_dim")}
HALF = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 4}
LINEAR = {
    **{"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8},
    "layer_types": ["linear_attention", "full_attention"],
}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
LATENT = {
    **{"q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8},
    **{"num_key_value_heads": 4, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1},
}
STATE = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8}
FAMILIES: dict[str, dict[str, Any]] = {
    "afmoe": SIZES | HALF | EXPERTS | {"num_experts": 4, "num_dense_layers": 1},
    "apertus": SIZES,
    "bamba": SIZES | STATE | {"attn_layer_indices": [1]},
    "bloom": {"hidden_size": 32, "n_head": 4, "n_layer": 2, "initializer_range": 0.2},
    "cohere": SIZES,
    "cohere2": SIZES | HALF,
    "deepseek_v3": SIZES | LATENT | EXPERTS,
    "diffllama": SIZES,
    "doge": SIZES,
    "ernie4_5": SIZES,
    "exaone4": SIZES | HALF,
    "falcon": PLAIN | {"hidden_dropout": 0.1},
    "falcon_h1": SIZES | STATE | {"mamba_d_ssm": 64},
    "gemma": SIZES,
    "gemma2": SIZES | HALF | {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    "gemma3_text": SIZES | HALF,
    "glm4": SIZES,
    "gpt2": OLD,
    "gpt_bigcode": OLD,
    "gpt_neo": {
        **{"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]]},
        **{"window_size": 4, "max_position_embeddings": 128, "initializer_range": 0.2},
    },
    "gpt_neox": PLAIN,
    "gpt_oss": SIZES | HALF | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gptj": OLD | {"rotary_dim": 4},
    "granite": SIZES | {"logits_scaling": 4.0, "residual_multiplier": 0.5},
    "granitemoehybrid": SIZES | STATE | {"num_local_experts": 4, "layer_types": ["mamba", "attention"]},
    "jamba": SIZES | {"num_experts": 2, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "lfm2": SIZES | {"layer_types": ["conv", "full_attention"]},
    "llama": SIZES,
    "llama4_text": SIZES
    | {"intermediate_size_mlp": 48, "num_local_experts": 4, "attention_chunk_size": 4, "num_experts_per_tok": 1}
    | {"layer_types": ["chunked_attention", "full_attention"]},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, "initializer_range": 0.2},
    "mamba2": {
        **{"hidden_size": 32, "num_hidden_layers": 2, "num_heads": 4, "head_dim": 16, "state_size": 8, "n_groups": 1},
        **{"chunk_size": 8, "initializer_range": 0.2},
    },
    "ministral3": SIZES,
    "mistral": SIZES | {"sliding_window": 4},
    "mixtral": SIZES | {"num_local_experts": 4},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 128, "initializer_range": 0.2},
    "nemotron": SIZES,
    "olmo2": SIZES,
    "olmo3": SIZES | HALF,
    "opt": {
        **{"hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "init_std": 0.2},
        **{"word_embed_proj_dim": 32, "max_position_embeddings": 128, "dropout": 0.1, "layerdrop": 0.5},
    },
    "phi": SIZES | {"resid_pdrop": 0.1},
    "phi3": SIZES | {"sliding_window": 4},
    "qwen2": SIZES,
    "qwen3": SIZES,
    "qwen3_5_text": SIZES | LINEAR,
    "qwen3_moe": SIZES | EXPERTS | {"num_experts": 4},
    "qwen3_next": SIZES | LINEAR | EXPERTS | {"num_experts": 4, "shared_expert_intermediate_size": 16},
    "recurrent_gemma": SIZES | {"block_types": ["recurrent", "attention"], "attention_window_size": 4},
    "seed_oss": SIZES | {"residual_dropout": 0.1},
    "smollm3": SIZES | {"no_rope_layers": [1, 0]},
    "stablelm": SIZES,
    "starcoder2": SIZES | {"residual_dropout": 0.1},
    "xglm": {"d_model": 32, "ffn_dim": 48, "num_layers": 2, "attention_heads": 4, "max_position_embeddings": 128},
}
"""Settings of a tiny model of each family, with what makes it unlike Llama switched on."""


def make(family: str) -> Any:
    """Make an untrained model, whose biases and norms are not what they begin with."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **(COMMON | FAMILIES[family]))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def row_of(family: str, policy: PolicyModel) -> tuple[str, str, str]:
    """Return the family's row of the table. The policy computes by that path from then on."""
    path = check_policy(policy, name=family, device=torch.device("cpu"))
    return family, path, "of its own" if policy.has_own_logits else "plain"


def table() -> str:
    """Measure all families."""
    rows = [row_of(family, PolicyModel(make(family))) for family in sorted(FAMILIES)]
    lines = [COLUMNS, ("---",) * len(COLUMNS), *((f"`{family}`", *rest) for family, *rest in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def written_table() -> str:
    """Return the table as the README has it."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    made = table()
    if parser.parse_args().write:
        README.write_text(README.read_text().replace(BEGIN + written_table() + END, BEGIN + made + END))
    else:
        print(made, end="")
