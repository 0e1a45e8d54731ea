"""A model that vLLM does not serve is refused by name, before anything starts."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.rollout.architectures import IMAGES, TEXT, check_served, reads_images, served


def folder_of(path: Path, model_type: str, architecture: str) -> str:
    (path / "config.json").write_text(json.dumps({"model_type": model_type, "architectures": [architecture]}))
    return str(path)


def test_the_registry_is_read() -> None:
    assert {"Qwen2ForCausalLM", "LlamaForCausalLM"} <= served(TEXT)
    assert {"Gemma3ForConditionalGeneration", "Qwen3_5ForConditionalGeneration"} <= served(IMAGES)


def test_models_that_read_images_are_told_apart(tmp_path: Path) -> None:
    assert reads_images(folder_of(tmp_path, "gemma3", "Gemma3ForConditionalGeneration"))
    assert not reads_images(folder_of(tmp_path, "gemma3_text", "Gemma3ForCausalLM"))


def test_a_model_that_reads_images_needs_torchvision(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "gemma3", "Gemma3ForConditionalGeneration")
    if importlib.util.find_spec("torchvision"):
        check_served(folder)
    else:
        with pytest.raises(UserError, match="Gemma3ForConditionalGeneration imports torchvision"):
            check_served(folder)


def test_a_model_that_vllm_serves_is_accepted(tmp_path: Path) -> None:
    check_served(folder_of(tmp_path, "qwen3", "Qwen3ForCausalLM"))


def test_a_model_that_vllm_runs_by_transformers_is_accepted(tmp_path: Path) -> None:
    assert "HeliumForCausalLM" not in served(TEXT), "else this shows nothing"
    check_served(folder_of(tmp_path, "helium", "HeliumForCausalLM"))


def test_a_model_that_vllm_cannot_serve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"judge\.model=.*: vLLM does not serve XLNetLMHeadModel"):
        check_served(folder_of(tmp_path, "xlnet", "XLNetLMHeadModel"), key="judge.model")
