"""Attention over a tree is that of each sequence alone, in float64 to 1e-12, forward and backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.learner import attention
from r1ray.learner.attention import packed_attention
from r1ray.learner.layout import Layout
from r1ray.learner.packed import pack_tree
from r1ray.learner.tree import Ids, plan_tree
from tests.learner.trees import CPU, FORKED, TREES, rows_of

HEADS, SIZE = 4, 8
States = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def module(kv_heads: int) -> torch.nn.Module:
    made = torch.nn.Module()
    made.num_key_value_groups, made.is_causal = HEADS // kv_heads, True  # type: ignore[assignment]
    return made


def written_out(states: States, places: list[Ids], options: dict[str, Any]) -> list[torch.Tensor]:
    """Return [T, heads, d] of each sequence, from all scores of its own tokens."""
    outs = []
    for place in places:
        query, key, value = (state[0][:, torch.from_numpy(place)] for state in states)
        key, value = (state.repeat_interleave(HEADS // state.shape[0], dim=0) for state in (key, value))
        behind_TT = torch.arange(len(place)).unsqueeze(1) - torch.arange(len(place))
        is_seen = (behind_TT >= 0) & (behind_TT < (options.get("sliding_window") or len(place)))
        scores = query @ key.transpose(1, 2) * (options.get("scaling") or SIZE**-0.5)
        if cap := options.get("softcap"):
            scores = cap * torch.tanh(scores / cap)
        scores = scores.masked_fill(~is_seen, -torch.inf)
        if (sinks := options.get("s_aux")) is not None:
            scores = torch.cat([scores, sinks.view(-1, 1, 1).expand(-1, len(place), 1)], dim=-1)
        weights = torch.softmax(scores, dim=-1)[..., : len(place)]
        outs.append((weights @ value).transpose(0, 1))
    return outs


def compare(sequences: list[list[int]], *, kv_heads: int, shares_all: bool = True, **options: Any) -> float:
    """Return the largest difference of output, dq, dk and dv from the written-out softmax of each sequence alone."""
    packed = pack_tree(rows_of(sequences), device=CPU, shares_all=shares_all)
    places = list(plan_tree([np.array(each) for each in sequences], shares_all=shares_all).places)
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, heads, packed.num_tokens, SIZE) for heads in (HEADS, kv_heads, kv_heads)]
    states = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for shape in shapes]
    out, _ = packed_attention(module(kv_heads), *states, None, layout=packed.layout, **options)
    found = [out[0][torch.from_numpy(place)] for place in places]
    expected = written_out((states[0], states[1], states[2]), places, options)
    weights = [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in expected]
    gradients = [
        torch.autograd.grad(sum((o * w).sum() for o, w in zip(outs, weights, strict=True)), states)  # type: ignore[arg-type]
        for outs in (found, expected)
    ]
    pairs = [*zip(found, expected, strict=True), *zip(*gradients, strict=True)]
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize("kv_heads", [4, 2, 1])
def test_merged_parts_are_the_attention_of_each_sequence(name: str, kv_heads: int) -> None:
    assert compare(TREES[name], kv_heads=kv_heads) < 1e-12
    assert compare(TREES[name], kv_heads=kv_heads, scaling=0.5) < 1e-12


@pytest.mark.parametrize("name", TREES)
@pytest.mark.parametrize(
    "options",
    [{}, {"sliding_window": 1}, {"sliding_window": 3}, {"sliding_window": 5, "scaling": 0.5}, {"sliding_window": 99}],
    ids=str,
)
def test_gathered_keys_are_the_attention_of_each_sequence(
    name: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "can_merge", lambda *_: False)
    assert compare(TREES[name], kv_heads=2, **options) < 1e-12


@pytest.mark.parametrize("window", [None, 3])
def test_caps_and_sinks_are_kept_to_float32_in_which_scores_are_written_out(window: int | None) -> None:
    sinks = torch.linspace(-1, 1, HEADS, dtype=torch.float64)
    for options in ({"softcap": 1.5}, {"s_aux": sinks}):
        assert compare(FORKED, kv_heads=2, sliding_window=window, **options) < 1e-6


def test_a_window_that_no_path_fills_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Callable[..., torch.Tensor]:
        raise AssertionError("keys were gathered")

    monkeypatch.setattr(attention, "_by_groups", refuse)
    assert compare(FORKED, kv_heads=2, sliding_window=max(map(len, FORKED))) < 1e-12


def test_prompts_that_are_left_out_show_in_the_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layout, "inner", ())
    assert compare(FORKED, kv_heads=2) > 1e-2
