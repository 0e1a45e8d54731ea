"""Places where the learner computes, as the fixture ``place``: the CPU and, if this machine has one, a CUDA device.

The tests here need pytest, PyTorch and transformers only; tests/gpu/test_requirements.py runs them without the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch

from r1ray.learner import attention


@dataclass(frozen=True)
class Place:
    """A device, and the type of the numbers there."""

    device: torch.device
    dtype: torch.dtype

    @property
    def error(self) -> float:
        """Relative error that rounding makes, several times over: found on CPUs, 0.005 and 1e-6."""
        return 0.02 if self.dtype == torch.bfloat16 else 1e-4


def _lacking() -> str:
    """Return what a CUDA device here is short of; empty: nothing."""
    if not torch.cuda.is_available():
        return f"needs a CUDA device, found {torch.cuda.device_count()}"
    found = torch.cuda.get_device_capability()
    return "" if found >= (8, 0) else f"flash attention in bfloat16 needs compute capability 8.0, found {found}"


ON_CUDA = (pytest.mark.gpu, pytest.mark.skipif(bool(_lacking()), reason=_lacking() or "-"))
PLACES = (
    pytest.param(("cpu", torch.float32), id="cpu-float32"),
    pytest.param(("cpu", torch.bfloat16), id="cpu-bfloat16"),
    pytest.param(("cpu-flash", torch.float32), id="cpu-flash"),
    pytest.param(("cuda", torch.float32), id="cuda-float32", marks=ON_CUDA),
    pytest.param(("cuda-flash", torch.bfloat16), id="cuda-bfloat16", marks=ON_CUDA),
)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Return one place after the other. On CUDA, bfloat16 has to go to PyTorch's flash attention. ``cpu-flash`` goes
    the same way, to :func:`varlen_attn` below."""
    name, dtype = request.param
    if name == "cpu-flash":
        monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", varlen_attn)
        monkeypatch.setattr(
            attention,
            "_by_groups",
            lambda *states, rows: attention._flash(
                *states, scaling=rows.keywords["scaling"], window=rows.keywords["window"]
            ),
        )
    if name == "cuda-flash":
        monkeypatch.delattr(attention, "_by_groups")
    return Place(torch.device(name.removesuffix("-flash")), dtype)


def varlen_attn(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_q: torch.Tensor,
    cu_seq_k: torch.Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = (-1, -1),
    enable_gqa: bool = False,
) -> torch.Tensor:
    """PyTorch's function of this name by its documentation, for CPUs: query [N, heads, d], key and value [M, heads, d]
    with as many or fewer heads; a query sees ``window_size`` keys before and after its own, -1: all."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert (max_q, max_k) == (int(cu_seq_q.diff().max()), int(cu_seq_k.diff().max()))
    assert enable_gqa or query.shape[1] == key.shape[1]
    left, right = (len(key) if size == -1 else size for size in window_size)
    outs = []
    for (start, end), (low, high) in zip(pairwise(cu_seq_q.tolist()), pairwise(cu_seq_k.tolist()), strict=True):
        rows: list[Any] = [query[start:end].transpose(0, 1)]  # [heads, T, d]
        rows += [
            state[low:high].transpose(0, 1).repeat_interleave(query.shape[1] // key.shape[1], dim=0)
            for state in (key, value)
        ]
        query_T = torch.arange(high - low - (end - start), high - low)  # the last query is beside the last key
        ahead_TS = torch.arange(high - low) - query_T.unsqueeze(1)
        scores = rows[0] @ rows[1].transpose(1, 2) * (query.shape[2] ** -0.5 if scale is None else scale)
        scores = scores.masked_fill((ahead_TS < -left) | (ahead_TS > right), -torch.inf)
        outs.append((torch.softmax(scores, dim=-1) @ rows[2]).transpose(0, 1))
    return torch.cat(outs)


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Return |found - expected| / |expected|, of the Euclidean norms."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm())
