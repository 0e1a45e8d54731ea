"""Learners that are measured, apart from what measures them: to collect the test imports no learner."""

from __future__ import annotations

from typing import Any

ROWS, LENGTH = 8, 64
VARIANTS: dict[str, dict[str, Any]] = {
    "stage 1": {"zero_stage": 1, "dtype": "bfloat16"},
    "stage 3": {"zero_stage": 3, "dtype": "bfloat16", "gradient_checkpointing": True},
}
