"""The stream of weights that a publish sends, and the fingerprints that travel as its last tensor.

    learner's parameters --(full tensors, in order)--> name, tensor, ..., r1ray.fingerprints

The receiver computes the fingerprint of every tensor that arrived and compares it with the last one, so that
verification needs no second channel and works over any transport that delivers tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import torch
import xxhash

from r1ray.errors import WeightSyncError
from r1ray.weights.buckets import TensorMeta

FINGERPRINTS = "r1ray.fingerprints"
_CHUNK = 1 << 24
"""Elements at a time, on a device."""


class WeightStream(Protocol):
    """The learner's parameters in full. Every learner rank iterates in lockstep: gathering is a collective."""

    def metadata(self) -> list[TensorMeta]: ...

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]: ...


def fingerprint(tensor: torch.Tensor) -> torch.Tensor:
    """64 bits that a changed, lost or moved element changes, as a 0-d int64 tensor on the tensor's device.

    In host memory XXH3 of the bytes, at the speed of memory. On a device sum_i (2 i + 1) * bits_i modulo 2^64, which
    needs no copy. Both ends of a transport hold tensors of the same kind, so that they compute the same.
    """
    whole = tensor.detach().contiguous().view(-1)
    if whole.device.type == "cpu":
        digest = xxhash.xxh3_64_digest(whole.view(torch.uint8).numpy().data)
        return torch.tensor(int.from_bytes(digest, "little", signed=True), dtype=torch.int64)
    return _weighted_sum(whole.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[whole.itemsize]))


def _weighted_sum(bits: torch.Tensor) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.int64, device=bits.device)
    for start in range(0, bits.numel(), _CHUNK):
        part = bits[start : start + _CHUNK].to(torch.int64)
        odd = torch.arange(start, start + part.numel(), dtype=torch.int64, device=bits.device) * 2 + 1
        total += (part * odd).sum()
    return total


def on_host(stream: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """The stream in host memory."""
    for name, tensor in stream:
        yield name, tensor.detach().cpu()


def with_fingerprints(stream: Iterable[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """The stream, followed by the fingerprints of everything in it."""
    seen: list[torch.Tensor] = []
    for name, tensor in stream:
        seen.append(fingerprint(tensor))
        yield name, tensor
    yield FINGERPRINTS, torch.stack(seen).view(torch.uint8)


def metadata_with_fingerprints(metas: Sequence[TensorMeta]) -> list[TensorMeta]:
    """The metadata of :func:`with_fingerprints`. The fingerprints travel as bytes, which need no alignment in a
    bucket of other tensors."""
    return [*metas, TensorMeta(FINGERPRINTS, "uint8", (8 * len(metas),))]


def compare(stream: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Compare the tensors of a stream with its fingerprints. Raises WeightSyncError where something else was sent."""
    seen: list[tuple[str, torch.Tensor]] = []
    for name, tensor in stream:
        if name == FINGERPRINTS:
            _compare(seen, tensor)
        else:
            seen.append((name, fingerprint(tensor)))


def _compare(seen: Sequence[tuple[str, torch.Tensor]], sent: torch.Tensor) -> None:
    arrived = torch.stack([value for _, value in seen])
    expected = sent.clone().view(torch.int64)
    if len(expected) != len(arrived):
        raise WeightSyncError(f"{len(arrived)} tensors arrived, {len(expected)} were sent")
    wrong = (arrived != expected.to(arrived.device)).nonzero().flatten().tolist()
    if wrong:
        raise WeightSyncError(f"{len(wrong)} tensors arrived damaged, the first is {seen[wrong[0]][0]}")


class VerifyingLoader:
    """Loads what arrives, and compares the fingerprints when they arrive."""

    def __init__(
        self,
        load: Callable[[list[tuple[str, torch.Tensor]]], object],
        note: Callable[[str, torch.Tensor], None] = lambda name, tensor: None,
    ) -> None:
        """``note`` gets each tensor before it is loaded."""
        self._load, self._note = load, note
        self._seen: list[tuple[str, torch.Tensor]] = []

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Load tensors; raises WeightSyncError where the fingerprints say that something else was sent."""
        arrived = []
        for name, tensor in weights:
            if name == FINGERPRINTS:
                seen, self._seen = self._seen, []
                _compare(seen, tensor)
            else:
                self._seen.append((name, fingerprint(tensor)))
                self._note(name, tensor)
                arrived.append((name, tensor))
        if arrived:
            self._load(arrived)  # at once: vLLM looks through all of the model's parameters at every call

    def load_compared(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """Load tensors whose fingerprints have been compared already."""
        arrived = list(weights)
        for name, tensor in arrived:
            self._note(name, tensor)
        self._load(arrived)
