"""At the start a model that computes a tree otherwise than its sequences is found, by values and by the gradient."""

from __future__ import annotations

import logging

import pytest
import torch

from r1ray.learner import merged_attention, tree_check
from r1ray.learner.decoder import recompute_layers
from r1ray.learner.layout import Layout
from r1ray.learner.policy import PolicyModel, check_policy
from tests.learner.families import make

CPU = torch.device("cpu")
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def packs_trees(model: torch.nn.Module, *, wanted: bool = True) -> bool:
    policy = PolicyModel(model)
    check_policy(policy, name="mine", device=CPU, multiple=4, packs_trees=wanted)
    assert all(parameter.grad is None for parameter in policy.parameters())
    return policy.decoder.packs_trees


@DTYPES
@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt_oss"])
def test_a_model_whose_attention_alone_mixes_tokens_packs_trees(family: str, dtype: torch.dtype) -> None:
    assert packs_trees(make(family).to(dtype))


def test_layers_that_are_computed_again_are_checked_too() -> None:
    model = make("llama")
    recompute_layers(model)
    assert packs_trees(model)


def test_it_is_asked_for() -> None:
    assert not packs_trees(make("llama"), wanted=False)


def test_a_model_whose_rows_are_not_packed_packs_no_trees() -> None:
    assert not packs_trees(make("mamba"))


@DTYPES
def test_keys_that_are_left_out_are_found(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Layout, "inner", ())
    with caplog.at_level(logging.WARNING):
        assert not packs_trees(make("llama").to(dtype))
    assert "model=mine: learner.packing=tree is not used" in caplog.text


@DTYPES
def test_a_gradient_that_is_left_out_is_found(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Log-probabilities are right then."""
    backward = merged_attention.BACKWARD

    def without_keys(*states: torch.Tensor, scale: float) -> tuple[torch.Tensor, ...]:
        query, key, value = backward(*states, scale=scale)
        is_causal = states[-1]
        return (query, key, value) if is_causal else (query, torch.zeros_like(key), value)

    monkeypatch.setattr(merged_attention, "BACKWARD", without_keys)
    assert not packs_trees(make("llama").to(dtype))
    monkeypatch.setattr(tree_check, "GRADIENT", {dtype: 1e9})
    assert packs_trees(make("llama").to(dtype))


def test_an_error_in_the_layers_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("no such kernel")

    monkeypatch.setattr("r1ray.learner.attention.merged_attention", refuse)
    assert not packs_trees(make("llama"))
