"""Attention over a tree in parts that are merged by their log-sum-exp: the cheapest way on CPUs.

    each node over itself, causally      +  everything below a node over that node  -->  sum_i o_i exp(l_i - l)
    (nodes of similar length as rows)       (one range of queries, no mask)              l = log sum_i exp(l_i)

Log-sum-exp needs no gradient of its own: given the merged output and the merged log-sum-exp instead of its own, the
backward pass of each part returns its share of dq, dk and dv, and the shares add up.
"""

from __future__ import annotations

from typing import Any

import torch

from r1ray.learner.layout import Layout

FORWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
BACKWARD = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default
"""Operations that ``scaled_dot_product_attention`` calls on CPUs. Only they return and take log-sum-exp. Key and value
may have fewer heads."""
DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def can_merge(query: torch.Tensor, value: torch.Tensor) -> bool:
    """Return whether attention can be computed in merged parts."""
    return query.device.type == "cpu" and query.dtype in DTYPES and query.shape[-1] == value.shape[-1]


def merged_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, *, scaling: float | None
) -> torch.Tensor:
    """Return [1, N, heads, d] of the nodes of a tree, from query [1, N, heads, d] and key and value of as many or fewer
    heads. Each token sees those before it on its path."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    out: torch.Tensor = _Merged.apply(query[0], key[0], value[0], layout, scale)
    return out.unsqueeze(0)


class _Merged(torch.autograd.Function):
    """Query [N, heads, d], key and value [N, kv heads, d] to [N, heads, d]."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scale: float
    ) -> torch.Tensor:
        exact = torch.promote_types(query.dtype, torch.float32)
        out = torch.empty(query.shape, dtype=exact)
        lse = torch.empty(query.shape[:2], dtype=exact)  # [N, heads]
        for group in layout.groups:
            place_BT, real_BT = group.place_BT, group.real_BT
            part, part_lse = FORWARD(*(_rows(each, place_BT) for each in (query, key, value)), 0.0, True, scale=scale)
            places = place_BT[real_BT]
            out[places] = part.transpose(1, 2)[real_BT].to(exact)
            lse[places] = part_lse.transpose(1, 2)[real_BT]
        for node in layout.inner:
            own, below = slice(node.start, node.end), slice(node.end, node.last)
            part, part_lse = FORWARD(
                _range(query, below), _range(key, own), _range(value, own), 0.0, False, scale=scale
            )
            _merge(out[below], lse[below], part[0].transpose(0, 1), part_lse[0].T)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.layout, ctx.scale = layout, scale
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        layout, scale = ctx.layout, ctx.scale
        gradient = gradients[0].contiguous()
        found = [torch.empty(each.shape, dtype=lse.dtype) for each in (query, key, value)]
        for group in layout.groups:
            place_BT, real_BT = group.place_BT, group.real_BT
            # Padding repeats a token of its row and gets no gradient: no real query sees it as a key.
            dout = _rows(gradient, place_BT).masked_fill(~real_BT[:, None, :, None], 0)
            states = [_rows(each, place_BT) for each in (query, key, value, out)]
            own_lse = lse[place_BT].transpose(1, 2)
            parts = BACKWARD(dout, *states, own_lse, 0.0, True, scale=scale)
            real = place_BT[real_BT]
            for total, part in zip(found, parts, strict=True):
                total[real] = part.transpose(1, 2)[real_BT].to(total.dtype)
        for node in layout.inner:
            own, below = slice(node.start, node.end), slice(node.end, node.last)
            states = [_range(query, below), _range(key, own), _range(value, own), _range(out, below)]
            parts = BACKWARD(_range(gradient, below), *states, lse[below].T[None], 0.0, False, scale=scale)
            for total, part, places in zip(found, parts, (below, own, own), strict=True):
                total[places] += part[0].transpose(0, 1)
        return (*(total.to(query.dtype) for total in found), None, None)


def _rows(state: torch.Tensor, place_BT: torch.Tensor) -> torch.Tensor:
    """Return [B, heads, T, d] of [N, heads, d]."""
    return state[place_BT].transpose(1, 2)


def _range(state: torch.Tensor, places: slice) -> torch.Tensor:
    """Return [1, heads, T, d] of [N, heads, d], without a copy."""
    return state[places].transpose(0, 1).unsqueeze(0)


def _merge(out: torch.Tensor, lse: torch.Tensor, part: torch.Tensor, part_lse: torch.Tensor) -> None:
    """Merge a part into the result so far, in place: [T, heads, d] and [T, heads]."""
    merged = torch.logaddexp(lse, part_lse)
    out.mul_(torch.exp(lse - merged).unsqueeze(-1)).add_(part * torch.exp(part_lse - merged).unsqueeze(-1))
    lse.copy_(merged)
