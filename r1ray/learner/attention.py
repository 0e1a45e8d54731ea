"""Attention over packed sequences, as transformers' models call it (``attn_implementation="r1ray"``).

The tokens of many sequences lie end to end in one row, so that every other layer computes no padding; here each
token attends to those before it in its own sequence. On GPUs by variable-length flash attention; elsewhere by
SDPA on groups of sequences of like length, each padded to the longest of its group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from r1ray.errors import UserError

NAME = "r1ray"
TOKENS, HEADS = 1, 2
"""Axes of [1, N, heads, d]."""
LIKE = 0.75
"""Sequences of a group are at least so long as this share of its longest; the padding costs only attention."""


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences of like length as rows."""

    place_BT: torch.Tensor  # [B, T] int64: where each token lies in the packed row; padding repeats a token
    real_BT: torch.Tensor  # [B, T] bool: False on padding


@dataclass(frozen=True, slots=True)
class Layout:
    """Where sequences begin and end in a packed row."""

    groups: tuple[Group, ...]
    inverse_N: torch.Tensor  # [N] int64: from the tokens of all groups, end to end, back to the packed row
    starts: torch.Tensor  # [B + 1] int32
    longest: int


def plan_layout(lengths: Sequence[int], *, device: torch.device) -> Layout:
    """The layout of sequences of ``lengths`` tokens, end to end."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    groups: list[Group] = []
    members: list[int] = []
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    for position, index in enumerate(order):
        members.append(index)
        is_last = position + 1 == len(order)
        if is_last or lengths[order[position + 1]] < LIKE * lengths[members[0]]:
            column = torch.arange(lengths[members[0]])
            length_B1 = torch.tensor([lengths[i] for i in members]).unsqueeze(1)
            start_B1 = torch.tensor([starts[i] for i in members]).unsqueeze(1)
            groups.append(Group(start_B1 + torch.minimum(column, length_B1 - 1), column < length_B1))
            members = []
    ends = torch.cat([group.place_BT[group.real_BT] for group in groups])
    inverse = torch.empty_like(ends)
    inverse[ends] = torch.arange(len(ends))
    return Layout(
        tuple(Group(group.place_BT.to(device), group.real_BT.to(device)) for group in groups),
        inverse.to(device),
        torch.tensor(starts, dtype=torch.int32, device=device),
        max(lengths),
    )


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    layout: Layout | None = None,
    sequence_group: Any = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """[1, N, heads, d] from query [1, heads, N, d] and key and value of as many or fewer heads.

    Args:
        layout: None for one sequence.
        sequence_group: ranks among which the tokens of the row are split (Ulysses): here each gets all tokens of
            some heads instead.
    """
    if softcap is not None or s_aux is not None:
        raise UserError(
            f"{type(module).__name__}: the learner's attention has neither soft-capping nor sinks; needs another model."
        )
    query, key, value = (state.transpose(1, 2) for state in (query, key, value))  # [1, N, heads, d]
    if sequence_group is not None:
        query, key, value = (_exchange(state, sequence_group, give=HEADS, take=TOKENS) for state in (query, key, value))
    if layout is None:
        layout = plan_layout([query.shape[1]], device=query.device)
    window = sliding_window if sliding_window and sliding_window < layout.longest else None
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        out = _flash(query, key, value, layout, scaling=scaling, window=window)
    else:
        out = _by_groups(module, query, key, value, layout, scaling=scaling, window=window)
    if sequence_group is not None:
        out = _exchange(out, sequence_group, give=TOKENS, take=HEADS)
    return out, None


def _flash(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    out = varlen_attn(
        query[0],
        key[0],
        value[0],
        layout.starts,
        layout.starts,
        layout.longest,
        layout.longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[2] != key.shape[2],
    )
    assert isinstance(out, torch.Tensor)
    return out.unsqueeze(0)


def _by_groups(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    outs = []
    for group in layout.groups:
        rows = [state[0][group.place_BT].transpose(1, 2) for state in (query, key, value)]  # [B, heads, T, d]
        mask = None
        if window is not None:
            column = torch.arange(group.place_BT.shape[1], device=query.device)
            behind = column.unsqueeze(1) - column
            mask = ((behind >= 0) & (behind < window))[None, None]
        out, _ = sdpa_attention_forward(module, *rows, mask, scaling=scaling, is_causal=True)
        outs.append(out[group.real_BT])  # padding comes after all that is real: no real token saw it
    return torch.cat(outs)[layout.inverse_N].unsqueeze(0)


def _exchange(state: torch.Tensor, group: Any, *, give: int, take: int) -> torch.Tensor:
    """Each rank of a group gives up a share of axis ``give`` for the others' shares of axis ``take``."""
    from deepspeed.sequence.layer import _SeqAllToAll

    out: torch.Tensor = _SeqAllToAll.apply(group, state.contiguous(), give, take, 0)
    return out


class GatherTokens(torch.autograd.Function):
    """[n] on each rank of a group -> [N] on all of them. Each computes the same loss of all N, so that the gradient
    of its own n is all that it has to give."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, counts: Sequence[int], group: Any) -> torch.Tensor:
        rank = dist.get_rank(group)
        ctx.start, ctx.length = sum(counts[:rank]), counts[rank]
        padded = own.new_zeros(max(counts))
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded, group=group)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradients[0][ctx.start : ctx.start + ctx.length], None, None


AttentionInterface.register(NAME, packed_attention)
