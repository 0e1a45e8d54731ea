"""The way in which a model computes many sequences, found by measurement at the start.

    packed   one row, the learner's attention: where no layer looks beyond its sequence
    padded   a row for each sequence: linear attention, convolutions, states that run on, masks by place
    eager    a row for each sequence, the model's own attention: where it has scores of its own

The first way is taken that gives what the model itself gives, and whose sequences do not see each other.
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
"""Bound of the mean difference that other sequences in the row make. Rounding explains some in a mixture, whose experts
compute the tokens of all sequences together, and none elsewhere."""
UNSUITED = (RuntimeError, TypeError, ValueError, IndexError)
"""Errors of layers that are not made for a way: tables of as many places as the context has, masks of another shape."""
WAYS: tuple[Path, ...] = ("packed", "padded", "eager")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """Error of a way to compute sequences."""

    difference: float
    """From what the model itself computes of each."""
    leak: float
    """Between sequences beside others, and the same beside others again."""

    def is_right(self, dtype: torch.dtype) -> bool:
        """Say whether rounding explains it; nothing explains what is not a number."""
        return self.difference <= TOLERANCE.get(dtype, 1e-3) and self.leak <= LEAK.get(dtype, 1e-5)


def checked_ids(vocabulary: int, *, avoid: int | None = None) -> list[list[int]]:
    """Two sequences of token ids from all over a vocabulary: its first ones are special, and never follow another."""
    ids = [token for index in range(1, 16) if (token := 7919 * index % vocabulary) != avoid]
    return [ids[:8], ids[8:13]]


def neighbours(vocabulary: int) -> list[list[int]]:
    """Two sequences of like length that have no token in common."""
    return [[(7919 * index + step) % vocabulary for index in range(20, 26)] for step in (0, 1)]


def beside(sequences: Sequence[TokenRow], other: Sequence[int]) -> list[TokenRow]:
    """Put another sequence, of which nothing is chosen, in front of each."""
    ids = torch.tensor(other)
    return [each for sequence in sequences for each in ((ids, torch.zeros(len(ids), dtype=torch.bool)), sequence)]


def likeliest(policy: Any, ids: Sequence[int], *, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the model itself finds likeliest after each beginning of a sequence: its log-probability [T] and the
    token [T].

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
    """Let the decoder compute by the first way that is right on every rank, and return it. Raises UserError where none
    is.

    Args:
        compute: how far what is computed is from the model's own, sequences beside one of ``others``.
        what: names what is compared.
        device: where ranks can send from.
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
    """Say whether all ranks say so."""
    if not dist.is_initialized():
        return is_right
    everywhere = torch.tensor(int(is_right), device=device)
    dist.all_reduce(everywhere, op=dist.ReduceOp.MIN)
    return bool(everywhere)


def _remark(way: Path, name: str) -> str:
    why = "its layers would mix them" if way == "padded" else "it has attention of its own"
    return (
        f"model={name}: sequences are not packed, because {why}: each is a row of its own, padded to the longest of "
        "like length" + (", and the attention is the slow one that writes every score out" if way == "eager" else "")
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
