"""Parameters are counted as transformers builds the models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.errors import UserError
from r1ray.planning.shapes import MADE, SHIPPED, load_shape, shape_of

DENSE = {
    "Qwen--Qwen2.5-7B",
    "Qwen--Qwen2.5-1.5B",
    "Qwen--Qwen2.5-72B",
    "Qwen--Qwen3-8B-Base",
    "meta-llama--Llama-3.3-70B-Instruct",
}
HYBRID = {f"Qwen--Qwen3.5-{size}" for size in ("0.8B", "4B", "9B", "27B", "35B-A3B", "397B-A17B")}
SPARSE = {"Qwen--Qwen3-30B-A3B-Base", "deepseek-ai--DeepSeek-V2-Lite", "deepseek-ai--DeepSeek-V3-Base"}


def on_meta(name: str) -> Any:
    """The model of a shipped shape, without its memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    values = json.loads((SHIPPED / f"{name}.json").read_text())
    values.pop("quantization_config", None)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(values.pop("model_type"), **values))


@pytest.mark.parametrize("name", sorted(DENSE | SPARSE | HYBRID))
def test_parameters_are_counted_exactly(name: str) -> None:
    model, shape = on_meta(name), load_shape(name.replace("--", "/"))
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert shape.largest_parameter == max(p.numel() for p in model.parameters())
    assert shape.layer_parameters == max(sum(p.numel() for p in layer.parameters()) for layer in model.model.layers)


@pytest.mark.parametrize("name", ["Qwen--Qwen2.5-1.5B", "Qwen--Qwen3.5-4B"])
def test_adapters_are_counted_exactly(name: str) -> None:
    from r1ray.config import LoraConfig
    from r1ray.learner.lora import add_adapters, is_adapter

    model = on_meta(name)
    add_adapters(model, LoraConfig(rank=8))
    counted = sum(p.numel() for name, p in model.named_parameters() if is_adapter(name))
    assert load_shape(name.replace("--", "/")).adapter_parameters(8) == counted


def test_the_language_model_of_a_model_that_reads_images_is_counted(tmp_path: Path) -> None:
    text = json.loads((SHIPPED / "Qwen--Qwen3.5-4B.json").read_text())
    tied = text.pop("tie_word_embeddings")
    whole = {"model_type": "qwen3_5", "text_config": text, "vision_config": {}, "tie_word_embeddings": tied}
    assert shape_of(whole, name="Qwen/Qwen3.5-4B") == load_shape("Qwen/Qwen3.5-4B")


def test_linear_attention_has_a_state_and_no_cache() -> None:
    shape = load_shape("Qwen/Qwen3.5-9B")
    assert shape.cache_values == 8 * 2 * 4 * 256  # a quarter of the layers
    state = 128 * 32 * 128 + 3 * (2 * 16 * 128 + 32 * 128)
    assert shape.state_tokens * shape.cache_values == 24 * state
    in_far = shape.forward_flops(1, context=1000) - shape.forward_flops(1, context=0)
    assert in_far == 2 * 1000 * 8 * 16 * 2 * 256
    kinds = ["linear_attention", "full_attention"] * 16
    named = json.loads((SHIPPED / "Qwen--Qwen3.5-9B.json").read_text()) | {"layer_types": kinds}
    assert shape_of(named, name="m").linear_layers == 16


def test_published_sizes() -> None:
    """Of the models' own reports: billions of parameters, all of them and those of one token."""
    assert load_shape("Qwen/Qwen2.5-7B").parameters == pytest.approx(7.61e9, rel=0.01)
    assert load_shape("Qwen/Qwen2.5-72B").parameters == pytest.approx(72.7e9, rel=0.001)
    assert load_shape("Qwen/Qwen3.5-397B-A17B").parameters == pytest.approx(397e9, rel=0.01)
    assert load_shape("Qwen/Qwen3.5-397B-A17B").active_parameters == pytest.approx(17e9, rel=0.05)
    v3 = load_shape("deepseek-ai/DeepSeek-V3-Base")
    assert v3.parameters == pytest.approx(671e9, rel=0.001)
    assert v3.active_parameters == pytest.approx(37e9, rel=0.02)


def test_caches_follow_the_kind_of_attention() -> None:
    grouped = load_shape("Qwen/Qwen2.5-7B")
    assert grouped.cache_values * 2 == 28 * 2 * 4 * 128 * 2 == 57344  # bytes a token
    assert grouped.cache_values_of_rank(4) * 4 == grouped.cache_values
    assert grouped.cache_values_of_rank(8) * 4 == grouped.cache_values  # four heads on eight ranks: each twice
    latent = load_shape("deepseek-ai/DeepSeek-V3-Base")
    assert latent.cache_values == 61 * (512 + 64) == latent.cache_values_of_rank(8)


def test_work_is_two_operations_a_parameter_and_token_and_attention() -> None:
    shape = load_shape("running_total")
    linear = 3 * (4 * 96 * 96 + 3 * 96 * 256) + 288 * 96
    assert shape.forward_flops(10, context=0) == 2 * 10 * linear
    assert shape.forward_flops(1, context=50) - shape.forward_flops(1, context=0) == 2 * 3 * 3 * 64 * 50


def test_shapes_of_made_models_are_those_of_their_makers() -> None:
    from r1ray.examples.bilingual_total.maker import BASE_HEADS
    from r1ray.examples.bilingual_total.tokenizer import SPARE_ROWS
    from r1ray.examples.bilingual_total.tokenizer import make_tokenizer as bilingual
    from r1ray.examples.pretrain import make_model
    from r1ray.examples.running_total.tokenizer import make_tokenizer as running
    from r1ray.examples.tiny_programs.task import make_tokenizer as programs

    models = {
        "running_total": make_model(running(), seed=0),
        "tiny_programs": make_model(programs(), seed=0),
        "bilingual_total": make_model(bilingual(), seed=0, num_heads=BASE_HEADS, spare_rows=SPARE_ROWS),
        "smollm2": on_meta("smollm2"),  # tests/examples/test_smollm2.py compares it with what its maker makes
    }
    assert set(models) == set(MADE.values())
    for name, model in models.items():
        assert load_shape(name).parameters == sum(p.numel() for p in model.parameters()), name


def test_a_folder_and_what_cannot_be_counted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((SHIPPED / "running_total.json").read_text())
    assert load_shape(str(tmp_path)).parameters == 360288
    with pytest.raises(UserError, match=r"plan counts the model types llama, .* and this is gpt2"):
        shape_of({"model_type": "gpt2"}, name="m")
    with pytest.raises(UserError, match=r"model=m: its config.json has no num_attention_heads"):
        shape_of({"model_type": "llama"}, name="m")
    with pytest.raises(UserError, match=r"model=/no/where: no model folder and no local copy; needs .*Qwen/Qwen2.5-7B"):
        load_shape("/no/where")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"the folder has no config.json"):
        load_shape(str(tmp_path / "empty"))
