"""Settings of routers that engines look for in a configuration, and transformers neither needs nor writes."""

from __future__ import annotations

from typing import Any

NEEDED = {"deepseek_v3": {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}}
"""Settings by the type of the model. Without them vLLM makes routers without a bias, and cannot load one."""


def missing_router_settings(config: Any) -> dict[str, str]:
    """Return the settings that a ``PretrainedConfig`` lacks, with the values that transformers computes with."""
    needed = NEEDED.get(config.model_type, {})
    return {name: value for name, value in needed.items() if getattr(config, name, None) is None}
