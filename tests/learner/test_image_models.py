"""Of models that read images the language model is trained, published and exported under the names of the files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from r1ray.config import LoraConfig
from r1ray.errors import UserError
from r1ray.learner.deepspeed_engine import ParameterStream
from r1ray.learner.image_models import keep_other_parts, other_parts
from r1ray.learner.packed import pack_sequences
from r1ray.learner.policy import PolicyModel, check_policy
from r1ray.runtime.model_class import auto_class
from tests.learner.image_models import IMAGES, make
from tests.learner.test_families import ROWS, STARTS, alone, gradient

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", ["gemma3", pytest.param("llama4", marks=pytest.mark.long)])
def test_the_gradient_is_that_of_each_row_alone(family: str) -> None:
    check_gradient(family)


@pytest.mark.long
@pytest.mark.parametrize("family", ["mistral3", "qwen3_5"])
def test_the_gradient_of_others_is_that_of_each_row_alone(family: str) -> None:
    check_gradient(family)


def check_gradient(family: str) -> None:
    model = make(family)
    expected = gradient(model, alone(model))
    keep_other_parts(model, LoraConfig(), named="model=mine")
    policy = PolicyModel(model)
    check_policy(policy, name="mine", device=CPU)
    rows = [(torch.tensor(row), torch.arange(len(row)) >= start) for row, start in zip(ROWS, STARTS, strict=True)]
    found = gradient(model, policy(pack_sequences(rows, device=CPU))[0])
    assert (found - expected).norm() <= 1e-5 * expected.norm()


def test_what_reads_images_is_neither_trained_nor_published() -> None:
    model = make("gemma3")
    keep_other_parts(model, LoraConfig(), named="model=mine")
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    published = [meta.name for meta in ParameterStream(model).metadata()]  # by the names of files
    assert len(published) == len(trained) + 1, "the head is that of the embedding"
    assert all(name.startswith("language_model.") for name in published)
    assert len(trained) == sum(name.startswith("model.language_model.") for name, _ in model.named_parameters())


def test_adapters_of_them_are_refused() -> None:
    with pytest.raises(UserError, match=r"model=mine: it reads images, and learner\.lora\.rank=4"):
        keep_other_parts(make("gemma3"), LoraConfig(rank=4), named="model=mine")


@pytest.mark.parametrize("family", sorted(IMAGES))
def test_the_files_are_loaded_whole(family: str, tmp_path: Path) -> None:
    model = make(family)
    model.save_pretrained(tmp_path)
    loaded, found = auto_class(tmp_path).from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is type(model) and not found["missing_keys"] and not found["unexpected_keys"]
    assert other_parts(loaded) == other_parts(model) != frozenset()


def test_a_language_model_has_no_other_parts(llama_folder: Path) -> None:
    assert not other_parts(auto_class(llama_folder).from_pretrained(llama_folder))
