"""Exports of real learners on one and two ranks: what the run writes, and what is made of its checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GenerationConfig,
)

from tests.learner.export_variants import IDS, ON_ONE_RANK, VARIANTS, model_of
from tests.real.ranks import run_ranks

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
EXPERTS = {
    "moe_intermediate_size": 24,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "n_group": 2,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}
LATENT = {
    "num_key_value_heads": 4,
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {"tie_word_embeddings": True},
    "llama": {"tie_word_embeddings": False, "use_cache": False, "eos_token_id": [1, 2]},
    "deepseek_v3": EXPERTS | LATENT,
    "glm4_moe": EXPERTS,
}
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Path:
    """Tiny models with a chat template, an added token, two ends of sequence, and biases of routers."""
    folder = tmp_path_factory.mktemp("models")
    for name, settings in FAMILIES.items():
        tokenizer = AutoTokenizer.from_pretrained(llama_folder)
        tokenizer.add_tokens(["<added>"])
        tokenizer.chat_template = TEMPLATE
        torch.manual_seed(0)
        config = AutoConfig.for_model(name, **(SIZES | {"vocab_size": len(tokenizer), "pad_token_id": 0} | settings))
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for buffer_name, buffer in model.named_buffers():
            if buffer_name.endswith("e_score_correction_bias"):
                torch.nn.init.normal_(buffer)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        (folder / name / "generation_config.json").write_text(
            json.dumps({"temperature": 0.6, "top_p": 0.9, "eos_token_id": [1, 2], "pad_token_id": 0})
        )
    return folder


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """Checkpoint, export and probe of each variant on two ranks, and in ``one`` of some on one."""
    out = tmp_path_factory.mktemp("exports")
    for folder, world_size, names in ((out, 2, [*VARIANTS]), (out / "one", 1, [*ON_ONE_RANK])):
        folder.mkdir(exist_ok=True)
        run_ranks(
            "tests.learner.export_rank",
            [folder / f"{rank}.log" for rank in range(world_size)],
            lambda rank, port, f=folder, w=world_size, n=names: [
                *(str(rank), str(w), str(port), str(f), str(models)),
                *n,
            ],
            timeout_s=240,
        )
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def make_offline(checkpoint: Path, folder: Path, *, as_adapter: bool) -> Path:
    from r1ray.learner.export import export_saved

    export_saved(checkpoint, folder, as_adapter=as_adapter)
    return folder


def is_adapter(name: str) -> bool:
    return VARIANTS[name]["lora"].export == "adapter" if "lora" in VARIANTS[name] else False


def logprobs(model: Any) -> torch.Tensor:
    ids = torch.tensor([IDS])
    with torch.no_grad():
        found = model(input_ids=ids).logits.float()
    if found.shape[-1] == 1:
        return found[:, 0]
    return torch.log_softmax(found[0, :-1], dim=-1).gather(1, ids[0, 1:, None])[:, 0]


@pytest.mark.parametrize("name", [*VARIANTS, *(f"one/{name}" for name in ON_ONE_RANK)])
def test_a_checkpoint_makes_the_same_files_as_the_run(exports: Path, tmp_path: Path, name: str) -> None:
    made = make_offline(
        exports / name / "checkpoint", tmp_path / "made", as_adapter=is_adapter(name.removeprefix("one/"))
    )
    ours, theirs = contents(made), contents(exports / name / "export")
    assert ours.keys() == theirs.keys()
    assert [path for path in ours if ours[path] != theirs[path]] == []


@pytest.mark.parametrize("name", [name for name in VARIANTS if not is_adapter(name)])
def test_an_export_is_the_learner_s_model(exports: Path, name: str) -> None:
    kind = AutoModelForSequenceClassification if name.startswith("reward") else AutoModelForCausalLM
    model = kind.from_pretrained(exports / name / "export", dtype="auto")
    assert str(model.dtype) == f"torch.{VARIANTS[name].get('dtype', 'float32')}"
    worst = (logprobs(model) - torch.load(exports / name / "probe.pt")).abs().max()
    assert worst < (0.1 if model.dtype is torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("name", [name for name in VARIANTS if is_adapter(name)])
def test_peft_loads_an_adapter_on_the_base_with_the_learner_s_probabilities(
    exports: Path, models: Path, name: str
) -> None:
    import peft

    kind, more = AutoModelForCausalLM, {}
    if name.startswith("reward"):
        kind, more = AutoModelForSequenceClassification, {"num_labels": 1}
    base = kind.from_pretrained(models / model_of(name), dtype=torch.float32, **more)
    before = logprobs(base)
    found = logprobs(peft.PeftModel.from_pretrained(base, str(exports / name / "export")))
    expected = torch.load(exports / name / "probe.pt")
    assert (found - expected).abs().max() < 1e-5 < 1e-2 < (before - expected).abs().max()
    assert not (exports / name / "export" / "config.json").exists()


@pytest.mark.parametrize("name", [name for name in VARIANTS if model_of(name) in ("deepseek_v3", "glm4_moe")])
def test_the_biases_of_routers_are_exported(exports: Path, models: Path, name: str) -> None:
    base = load_file(models / model_of(name) / "model.safetensors")
    ours = load_file(exports / name / "export" / "model.safetensors")
    biases = [key for key in base if key.endswith("e_score_correction_bias")]
    assert biases and base.keys() == ours.keys()
    for key in biases:
        assert torch.allclose(base[key].float(), ours[key].float(), rtol=1e-2) and base[key].abs().max() > 0.1


def test_adapters_are_merged_in_float32(exports: Path, models: Path) -> None:
    """Rounding what an adapter adds before it is added makes another sum."""
    from r1ray.learner.export import merge_adapters
    from r1ray.learner.state import SETTINGS, saved_state

    checkpoint = exports / "merged_bfloat16_zero2" / "checkpoint"
    state = saved_state(checkpoint)
    layer = "model.layers.0.self_attn.q_proj"
    base = state[f"{layer}.base_layer.weight"]
    down, up = (state[f"{layer}.lora_{side}.default.weight"].double() for side in "AB")
    assert base.dtype is torch.bfloat16
    exact = base.double() + 2.0 * up @ down
    adapter = json.loads((checkpoint / SETTINGS / "adapter_config.json").read_text())
    assert (adapter["lora_alpha"], adapter["r"]) == (8.0, 4)
    merged = merge_adapters(state, scale=2.0)[f"{layer}.weight"]
    assert torch.equal(merged, exact.to(torch.bfloat16))
    assert not torch.equal(merged, base)


@pytest.mark.parametrize("name", ["float32_zero0", "llama", "merged_bfloat16_zero2"])
def test_an_export_keeps_what_the_model_s_folder_says(exports: Path, models: Path, name: str) -> None:
    base, ours = models / model_of(name), exports / name / "export"
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (base, ours))
    assert before["use_cache"] is (model_of(name) != "llama")
    same = ("use_cache", "eos_token_id", "pad_token_id", "tie_word_embeddings", "architectures", "vocab_size")
    assert {key: after.get(key) for key in same} == {key: before.get(key) for key in same}
    assert after.keys() == before.keys()
    generation = GenerationConfig.from_pretrained(ours)
    assert (generation.do_sample, generation.temperature, generation.top_p) == (True, 0.6, 0.9)
    assert generation.eos_token_id == [1, 2] and generation.pad_token_id == 0
    theirs, tokenizer = AutoTokenizer.from_pretrained(base), AutoTokenizer.from_pretrained(ours)
    assert tokenizer.get_vocab() == theirs.get_vocab() and "<added>" in tokenizer.get_vocab()
    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer.special_tokens_map == theirs.special_tokens_map
    tensors = load_file(ours / "model.safetensors")
    assert ("lm_head.weight" in tensors) is not before["tie_word_embeddings"]


def test_a_checkpoint_is_exported_without_the_model_that_the_run_began_with(
    exports: Path, models: Path, tmp_path: Path
) -> None:
    gone = shutil.move(models / "llama", tmp_path / "elsewhere")
    try:
        made = make_offline(exports / "llama" / "checkpoint", tmp_path / "made", as_adapter=False)
    finally:
        shutil.move(gone, models / "llama")
    assert contents(made) == contents(exports / "llama" / "export")
