"""Learners whose states are saved, apart from what saves them: to collect the test imports no learner."""

from __future__ import annotations

from typing import Any

from r1ray.config import LoraConfig

VARIANTS: dict[str, dict[str, Any]] = {
    **{f"zero{stage}": {"zero_stage": stage} for stage in range(4)},
    **{f"bfloat16_zero{stage}": {"zero_stage": stage, "dtype": "bfloat16"} for stage in range(4)},
    **{f"adapters_zero{stage}": {"zero_stage": stage, "lora": LoraConfig(rank=2)} for stage in (2, 3)},
    "offloaded_zero2": {"zero_stage": 2, "offload_optimizer": True},
    "offloaded_zero3": {"zero_stage": 3, "offload_optimizer": True, "offload_parameters": True},
}
SAVED_AT, STEPS, ROWS = 3, 6, 4
