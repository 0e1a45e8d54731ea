from __future__ import annotations

from transformers import DeepseekV3Config, Glm4MoeConfig

from r1ray.runtime.router_settings import missing_router_settings


def test_a_deepseek_configuration_of_transformers_lacks_how_its_routers_choose() -> None:
    assert missing_router_settings(DeepseekV3Config()) == {"topk_method": "noaux_tc", "scoring_func": "sigmoid"}


def test_what_a_configuration_says_is_kept() -> None:
    assert missing_router_settings(DeepseekV3Config(topk_method="greedy")) == {"scoring_func": "sigmoid"}
    assert missing_router_settings(Glm4MoeConfig()) == {}
