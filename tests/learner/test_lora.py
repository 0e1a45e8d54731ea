"""Where adapters may be."""

from __future__ import annotations

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, LlamaConfig, Qwen3MoeConfig

from r1ray.config import LoraConfig
from r1ray.errors import UserError
from r1ray.learner.lora import ADAPTER, add_adapters, is_adapter


def mixture_of_experts() -> object:
    config = Qwen3MoeConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        moe_intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        num_experts=4,
        num_experts_per_tok=2,
    )
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_adapters_of_experts_are_refused_with_what_can_be_adapted() -> None:
    with pytest.raises(UserError, match=r"experts would adapt several weights at once .* needs names of linear layers"):
        add_adapters(mixture_of_experts(), LoraConfig(rank=2))


def test_the_attention_of_a_mixture_of_experts_can_be_adapted() -> None:
    model = mixture_of_experts()
    add_adapters(model, LoraConfig(rank=2, targets=["q_proj", "v_proj"]))
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]  # type: ignore[attr-defined]
    assert len(trained) == 4 and all(is_adapter(name) and ADAPTER in name for name in trained)


def test_the_head_of_a_reward_model_is_trained_whole() -> None:
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=1
    )
    model = AutoModelForSequenceClassification.from_config(config)
    add_adapters(model, LoraConfig(rank=2))
    assert [name for name, _ in model.named_parameters() if "score" in name] == ["score.weight"]
