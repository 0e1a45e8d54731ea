"""Attention over packed sequences is that of each sequence alone, by SDPA and by flash attention."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch.nn.attention.varlen import varlen_attn

from r1ray.learner import attention
from r1ray.learner.attention import packed_attention
from r1ray.learner.layout import plan_layout
from r1ray.learner.tree import plan_tree
from tests.gpu.learner import conftest
from tests.gpu.learner.conftest import Place, relative_error

LENGTHS = (1, 2, 5, 64, 130, 17)  # around the blocks of flash attention
HEADS, SIZE = 4, 64


def alone(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scaling: float | None,
    window: int | None,
    lengths: Sequence[int] = LENGTHS,
) -> torch.Tensor:
    """Return [1, N, heads, d], each sequence computed by itself from all its scores."""
    outs = []
    for q, k, v in zip(*(state.split(list(lengths), dim=2) for state in (query, key, value)), strict=True):
        many_k, many_v = (state.repeat_interleave(HEADS // state.shape[1], dim=1) for state in (k, v))
        causal = torch.ones(q.shape[2], q.shape[2], dtype=torch.bool).tril()
        seen = causal if window is None else causal & ~causal.tril(-window)
        scores = torch.einsum("bhqd,bhkd->bhqk", q, many_k) * (SIZE**-0.5 if scaling is None else scaling)
        weights = torch.softmax(scores.masked_fill(~seen, -torch.inf), dim=-1)
        outs.append(torch.einsum("bhqk,bhkd->bqhd", weights, many_v))
    return torch.cat(outs, dim=1)


def random_states(place: Place, num_tokens: int, *, kv_heads: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return query, key and value [1, heads, N, d] at the place, and the same in float32 on CPUs."""
    torch.manual_seed(0)
    shapes = [(1, heads, num_tokens, SIZE) for heads in (HEADS, kv_heads, kv_heads)]
    states = [torch.randn(shape).to(place.dtype) for shape in shapes]
    ours = [state.to(place.device, copy=True).requires_grad_() for state in states]
    return ours, [state.to(torch.float32, copy=True).requires_grad_() for state in states]


def module(kv_heads: int) -> torch.nn.Module:
    made = torch.nn.Module()
    made.num_key_value_groups, made.is_causal = HEADS // kv_heads, True  # type: ignore[assignment]
    return made


def backward(found: torch.Tensor, expected: torch.Tensor, place: Place) -> None:
    """Give both the gradient of the same random sum."""
    weights = torch.randn(expected.shape).to(place.dtype)
    (found * weights.to(place.device)).sum().backward()
    (expected * weights).sum().backward()


@pytest.mark.parametrize(
    ("kv_heads", "scaling", "window"),
    [(4, None, None), (2, None, None), (1, 0.5, None), (2, None, 1), (2, None, 7), (4, 0.5, 64), (2, None, 1000)],
)
def test_tokens_attend_within_their_own_sequence(
    place: Place, kv_heads: int, scaling: float | None, window: int | None
) -> None:
    ours, theirs = random_states(place, sum(LENGTHS), kv_heads=kv_heads)
    layout = plan_layout(LENGTHS, device=place.device)
    found, _ = packed_attention(module(kv_heads), *ours, None, scaling=scaling, sliding_window=window, layout=layout)
    expected = alone(*theirs, scaling=scaling, window=window)
    backward(found, expected, place)
    assert relative_error(found, expected) < place.error
    for name, a, b in zip(("query", "key", "value"), ours, theirs, strict=True):
        assert a.grad is not None and b.grad is not None
        if name != "value" and window == 1:
            # One token is seen, with weight 1: the gradient is zero.
            assert a.grad.abs().max() < place.error
        else:
            assert relative_error(a.grad, b.grad) < place.error, name


@pytest.mark.parametrize(("kv_heads", "window"), [(4, None), (2, None), (2, 3), (1, 40)])
def test_tokens_of_a_tree_attend_along_their_paths(
    place: Place, kv_heads: int, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are gathered, in variable-length attention and elsewhere."""
    monkeypatch.setattr(attention, "can_merge", lambda *_: False)
    sequences = [np.concatenate([np.arange(40), [100 + i], np.arange(size)]) for i, size in enumerate((3, 50, 17, 50))]
    sequences.append(np.concatenate([np.arange(40), [101], np.arange(30), [7, 8, 9]]))  # a fork within an output
    tree = plan_tree(sequences)
    layout = plan_layout([node.end - node.start for node in tree.nodes], device=place.device, nodes=tree.nodes)
    assert len(layout.inner) == 2
    ours, theirs = random_states(place, len(tree.ids_N), kv_heads=kv_heads)
    found, _ = packed_attention(module(kv_heads), *ours, None, sliding_window=window, layout=layout)
    places = torch.from_numpy(np.concatenate(tree.places))
    expected = alone(
        *(state[:, :, places] for state in theirs), scaling=None, window=window, lengths=list(map(len, sequences))
    )
    found = found[:, places.to(place.device)]
    backward(found, expected, place)
    assert relative_error(found, expected) < place.error
    for name, a, b in zip(("query", "key", "value"), ours, theirs, strict=True):
        assert a.grad is not None and b.grad is not None
        assert relative_error(a.grad, b.grad) < place.error, name


def test_the_stand_in_is_called_as_flash_attention_is() -> None:
    ours = inspect.signature(conftest.varlen_attn).parameters
    theirs = inspect.signature(varlen_attn).parameters
    assert {name: (p.kind, p.default) for name, p in ours.items()} == {
        name: (theirs[name].kind, theirs[name].default) for name in ours
    }
