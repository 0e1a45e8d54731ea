"""Attention over packed sequences, as transformers' models call it (``attn_implementation="r1ray"``), and over rows.

The tokens of many sequences lie end to end in one row, so that no other layer computes padding; here each token attends
to those before it in its own sequence or, in a tree, on its path. GPUs use variable-length flash attention. Elsewhere
SDPA runs on groups of sequences of similar length, each padded to the longest of its group; a tree is computed in parts
that are merged. The keys of a path are gathered, unless the parts are merged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from r1ray.learner.layout import Layout, plan_layout
from r1ray.learner.merged_attention import can_merge, merged_attention

PACKED, ROWS = "r1ray", "r1ray_rows"
"""Names of the attention functions in transformers."""
TOKENS, HEADS = 1, 2
"""Axes of [1, N, heads, d]."""
UNKNOWN = ("position_bias", "indices", "block_indices")
"""Arguments with which layers change the tokens attended to, and which packed attention does not support."""


def packed_mask(*, local_size: int | None = None, use_vmap: bool = False, **_: Any) -> torch.Tensor | None:
    """Return the mask that transformers' models make for :func:`packed_attention`. It is None if each token attends to
    all before it. Otherwise it is one number: the size of the window, to be compared with the layer's own
    ``sliding_window``, or -1 for any other mask."""
    if use_vmap:
        local_size = -1
    return None if local_size is None else torch.full((1, 1, 1, 1), local_size)


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
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return [1, N, heads, d] from query [1, heads, N, d] and key and value of as many or fewer heads.

    If a layer asks for anything else (a mask of its own, position biases, chosen keys) the result is NaN, which the
    comparison at the start detects; an exception would leave the parameters of ZeRO 3 gathered.

    Args:
        softcap: scores s become softcap * tanh(s / softcap).
        s_aux: [heads], a score without a value for each head (a sink).
        layout: layout of the sequences in the row; None: there is one.
        sequence_group: ranks among which the tokens of the row are split (Ulysses); inside attention, each has all
            tokens of some heads instead.
    """
    if len(query) != 1 or _asks_for_more(attention_mask, sliding_window, others):
        return torch.full_like(query[..., : value.shape[-1]], torch.nan).transpose(1, 2), None
    if layout is None:
        layout = plan_layout([query.shape[2]], device=query.device)
    query, key, value = (state.transpose(1, 2) for state in (query, key, value))  # [1, N, heads, d]
    if sequence_group is not None:
        query, key, value = (_exchange(state, sequence_group, give=HEADS, take=TOKENS) for state in (query, key, value))
        if s_aux is not None:
            s_aux = s_aux.chunk(dist.get_world_size(sequence_group))[dist.get_rank(sequence_group)]
    window = sliding_window if sliding_window and sliding_window < layout.seen.longest else None
    is_plain = softcap is None and s_aux is None
    if is_plain and query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        out = _flash(query, key, value, layout, scaling=scaling, window=window)
    elif layout.nodes and is_plain and window is None and can_merge(query, value):
        out = merged_attention(query, key, value, layout, scaling=scaling)
    else:
        rows = partial(_rows, module, scaling=scaling, window=window, softcap=softcap, sinks_H=s_aux)
        out = _by_groups(query, key, value, layout, rows=rows)
    if sequence_group is not None:
        out = _exchange(out, sequence_group, give=TOKENS, take=HEADS)
    return out, None


def rows_attention(
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
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return [B, T, heads, d] of sequences that are rows, [B, heads, T, d], with any mask that the model makes.

    Args:
        sliding_window, softcap, s_aux: as in :func:`packed_attention`, which also tells when the result is NaN.
    """
    if _asks_for_more(None, None, others):
        return torch.full_like(query[..., : value.shape[-1]], torch.nan).transpose(1, 2), None
    window = sliding_window if attention_mask is None else None
    rows = partial(_rows, module, query, key, value, mask=attention_mask)
    return rows(scaling=scaling, window=window, softcap=softcap, sinks_H=s_aux), None


def _asks_for_more(attention_mask: torch.Tensor | None, sliding_window: int | None, others: Mapping[str, Any]) -> bool:
    """Return whether a layer asks for something that packed attention does not support."""
    if attention_mask is not None:
        is_window = attention_mask.numel() == 1 and attention_mask.is_cpu
        if not is_window or int(attention_mask) != sliding_window:
            return True
    return any(others.get(name) is not None for name in UNKNOWN) or others.get("is_causal") is False


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

    if layout.nodes:
        # Flash attention aligns unequal lengths at the end: the last query of a node with its last key.
        key, value = key[:, layout.paths.seen_M], value[:, layout.paths.seen_M]
    out = varlen_attn(
        query[0],
        key[0],
        value[0],
        layout.starts,
        layout.seen.starts,
        layout.longest,
        layout.seen.longest,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[2] != key.shape[2],
    )
    assert isinstance(out, torch.Tensor)
    return out.unsqueeze(0)


def _by_groups(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    *,
    rows: Callable[..., torch.Tensor],
) -> torch.Tensor:
    outs = []
    for group in layout.seen.groups:
        seen_BS = group.place_BT
        if group.before_BA is not None:
            seen_BS = torch.cat([group.before_BA, seen_BS], dim=1)
        places = (group.place_BT, seen_BS, seen_BS)
        states = (state[0][place].transpose(1, 2) for state, place in zip((query, key, value), places, strict=True))
        outs.append(rows(*states)[group.real_BT])  # padding comes last, so no real token attends to it
    return torch.cat(outs)[layout.seen.inverse_N].unsqueeze(0)


def _rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scaling: float | None,
    window: int | None,
    softcap: float | None,
    sinks_H: torch.Tensor | None,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return [B, T, heads, d] of sequences that are rows, [B, heads, T, d]. If there are more keys than queries, the
    queries are those of the last tokens.

    Args:
        mask: [B or 1, heads or 1, T, T] bool (True for visible keys), or values to add to the scores; None: the keys
            before a token are visible, within the window.
    """
    is_written_out = softcap is not None or sinks_H is not None
    num_queries, num_keys = query.shape[2], key.shape[2]
    is_narrow = num_queries < num_keys or (window is not None and window < num_keys)
    if mask is None and (is_written_out or is_narrow):
        column = torch.arange(num_keys, device=query.device)
        behind_TS = column[num_keys - num_queries :].unsqueeze(1) - column
        mask = ((behind_TS >= 0) & (behind_TS < (window or num_keys)))[None, None]
    if is_written_out:
        return _by_scores(query, key, value, mask, scaling=scaling, softcap=softcap, sinks_H=sinks_H)
    out: torch.Tensor
    out, _ = sdpa_attention_forward(module, query, key, value, mask, scaling=scaling, is_causal=True)
    return out


def _by_scores(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    scaling: float | None,
    softcap: float | None,
    sinks_H: torch.Tensor | None,
) -> torch.Tensor:
    """Return [B, T, heads, d], with every score materialized: no kernel of PyTorch caps scores or has sinks."""
    copies = query.shape[1] // key.shape[1]
    key, value = (state.repeat_interleave(copies, dim=1) for state in (key, value))
    scores = (query @ key.transpose(2, 3)).float() * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    assert mask is not None
    scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
    if sinks_H is not None:
        sinks = sinks_H.float().view(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sinks], dim=-1)
    weights = torch.softmax(scores, dim=-1)[..., : key.shape[2]].to(value.dtype)
    return (weights @ value).transpose(1, 2)


def _exchange(state: torch.Tensor, group: Any, *, give: int, take: int) -> torch.Tensor:
    """Exchange shares in a group: each rank gives up a share of axis ``give`` for the others' shares of axis
    ``take``."""
    from deepspeed.sequence.layer import _SeqAllToAll

    out: torch.Tensor = _SeqAllToAll.apply(group, state.contiguous(), give, take, 0)
    return out


class GatherTokens(torch.autograd.Function):
    """Gather of [n] on each rank of a group to [N] on all of them. Every rank computes the same loss of all N, so its
    backward pass returns only the gradient of its own n."""

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


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, packed_mask)
AttentionInterface.register(ROWS, rows_attention)
AttentionMaskInterface.register(ROWS, sdpa_mask)
