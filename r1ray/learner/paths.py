"""Ways to compute many sequences; measurements at the start choose the way for a model.

    packed   one row, the learner's attention: for models whose layers never look beyond a sequence
    padded   a row for each sequence: for linear attention, convolutions, running states, masks by position
    eager    a row for each sequence, the model's own attention: for models with scores of their own

The first way is taken whose results equal the model's own, and in which sequences do not see each other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from r1ray.errors import UserError
from r1ray.learner.decoder import Decoder, Path
from r1ray.learner.packed import TokenRow

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Bound of the mean difference from the model itself, in nats for log-probabilities."""
LEAK = {torch.float32: 1e-5, torch.bfloat16: 0.02}
"""Bound of the mean difference that other sequences in the row make. Rounding explains some difference in a mixture,
whose experts compute the tokens of all sequences together, and none elsewhere."""
UNSUITED = (RuntimeError, TypeError, ValueError, IndexError)
"""Errors of layers that do not support a way: tables with one entry for each position of the context, masks of another
shape."""
WAYS: tuple[Path, ...] = ("packed", "padded", "eager")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """Error of a way to compute sequences."""

    difference: float
    """Difference from the model's own results, for each sequence alone."""
    leak: float
    """Difference between the same sequences beside different others."""

    def is_right(self, dtype: torch.dtype) -> bool:
        """Return whether rounding explains the error; it never explains NaN."""
        return self.difference <= TOLERANCE.get(dtype, 1e-3) and self.leak <= LEAK.get(dtype, 1e-5)


def checked_ids(vocabulary: int, *, avoid: int | None = None) -> list[list[int]]:
    """Return two sequences of token ids from all over a vocabulary, whose first tokens are special and never follow
    others."""
    ids = [token for index in range(1, 16) if (token := 7919 * index % vocabulary) != avoid]
    return [ids[:8], ids[8:13]]


def neighbours(vocabulary: int) -> list[list[int]]:
    """Return two sequences of the same length without common tokens."""
    return [[(7919 * index + step) % vocabulary for index in range(20, 26)] for step in (0, 1)]


def beside(sequences: Sequence[TokenRow], other: Sequence[int]) -> list[TokenRow]:
    """Put another sequence, without chosen tokens, in front of each."""
    ids = torch.tensor(other)
    return [each for sequence in sequences for each in ((ids, torch.zeros(len(ids), dtype=torch.bool)), sequence)]


def likeliest(policy: Any, ids: Sequence[int], *, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the model's own likeliest token after each beginning of a sequence: its log-probability [T] and the token
    [T].

    Args:
        policy: a :class:`r1ray.learner.policy.PolicyModel`, or the engine that trains it.
    """
    with torch.no_grad():
        table = torch.log_softmax(policy(torch.tensor([ids], device=device))[0].float(), dim=-1)
    best = table.max(dim=-1)
    return best.values, best.indices


def settle_path(
    decoder: Decoder,
    compute: Callable[[Sequence[int]], torch.Tensor],
    *,
    others: Sequence[Sequence[int]],
    what: str,
    name: str,
    device: torch.device,
) -> Path:
    """Set the decoder to the first way that is right on every rank, and return it. Raises UserError if there is none.

    Args:
        compute: returns the differences from the model's own results, for sequences beside one of ``others``.
        what: name of the compared values.
        device: a device from which ranks can send.
    """
    failed = []
    for way in [way for way in WAYS if decoder.can(way)]:
        decoder.use(way)
        measured = _measure(compute, others)
        if on_every_rank(measured.is_right(decoder.dtype), device):
            if way != "packed":
                logger.warning(_remark(way, name))
            return way
        failed.append(f"{way}: {measured.difference:.2g}, beside other sequences {measured.leak:.2g}")
    raise UserError(_refusal(decoder, failed, what=what, name=name))


def _measure(compute: Callable[[Sequence[int]], torch.Tensor], others: Sequence[Sequence[int]]) -> Measured:
    try:
        with torch.no_grad():
            first, second = (compute(other) for other in others)
    except UNSUITED as error:
        logger.info("%s: %s", type(error).__name__, error)
        return Measured(math.nan, math.nan)
    return Measured(float(first.abs().mean()), float((first - second).abs().mean()))


def on_every_rank(is_right: bool, device: torch.device) -> bool:
    """Return whether the condition holds on all ranks."""
    if not dist.is_initialized():
        return is_right
    everywhere = torch.tensor(int(is_right), device=device)
    dist.all_reduce(everywhere, op=dist.ReduceOp.MIN)
    return bool(everywhere)


def _remark(way: Path, name: str) -> str:
    why = "its layers would mix them" if way == "padded" else "it has attention of its own"
    return (
        f"model={name}: sequences are not packed, because {why}: each is a row of its own, padded to the longest of "
        "similar length" + (", and attention is slow because it materializes all scores" if way == "eager" else "")
    )


def _refusal(decoder: Decoder, failed: Sequence[str], *, what: str, name: str) -> str:
    needed = "a causal language model whose output layer is followed by functions of single logits alone"
    if decoder.is_split:
        needed += "; with learner.sequence_parallel_size=1 one would do whose sequences cannot be packed"
    hint = (
        " learner.dtype=float32 tells whether rounding in bfloat16 is all." if decoder.dtype == torch.bfloat16 else ""
    )
    return (
        f"model={name}: its {what} as the learner computes them differ from the model's own ({'; '.join(failed)}); "
        f"needs {needed}.{hint}"
    )
