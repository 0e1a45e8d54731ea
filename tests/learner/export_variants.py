"""Learners that export, apart from what runs them: to collect the test imports no learner."""

from __future__ import annotations

from typing import Any

from r1ray.config import LoraConfig

MERGED, ALONE = LoraConfig(rank=4, alpha=8.0), LoraConfig(rank=4, alpha=8.0, export="adapter")

VARIANTS: dict[str, dict[str, Any]] = {
    **{f"float32_zero{stage}": {"zero_stage": stage} for stage in (0, 3)},
    **{f"bfloat16_zero{stage}": {"zero_stage": stage, "dtype": "bfloat16"} for stage in range(4)},
    **{f"merged_bfloat16_zero{stage}": {"zero_stage": stage, "dtype": "bfloat16", "lora": MERGED} for stage in (2, 3)},
    "adapter_zero3": {"zero_stage": 3, "lora": ALONE},
    "offloaded": {"zero_stage": 3, "dtype": "bfloat16", "offload_optimizer": True, "offload_parameters": True},
    "llama": {"zero_stage": 2},
    "deepseek_v3": {"zero_stage": 3},
    "glm4_moe": {"zero_stage": 2, "dtype": "bfloat16"},
    "reward_model_merged": {"zero_stage": 3, "lora": MERGED},
    "reward_model_adapter": {"zero_stage": 2, "lora": ALONE},
}
ON_ONE_RANK = ("bfloat16_zero1", "merged_bfloat16_zero3")
IDS = (3, 1, 4, 1, 5, 9, 2, 6)
"""A sequence on which exports are compared with their learners."""


def model_of(name: str) -> str:
    """Return which of the tiny models a variant trains."""
    return next((model for model in ("llama", "deepseek_v3", "glm4_moe") if name.startswith(model)), "qwen2")
