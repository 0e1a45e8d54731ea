"""Common base of learners of given answers: minibatches in, metrics out. See :mod:`r1ray.learner.base`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from r1ray.learner.base import DeepSpeedLearner
from r1ray.learner.packed import Packed
from r1ray.types import Minibatch, Shard, StepStats


class Row(Protocol):
    """Name of a row of the data, for error messages."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Computed:
    """One micro-batch after its forward pass."""

    loss: torch.Tensor
    """Its part of the minibatch loss."""
    sums: dict[str, torch.Tensor]
    """Sums over its terms, including ``terms``."""
    packed: Packed


class SupervisedDeepSpeedLearner(DeepSpeedLearner, ABC, Generic[R]):
    """Trains on rows that are given whole. It ignores the advantages of a shard's samples, whose names are numbers of
    rows."""

    SUMS: tuple[str, ...]
    """Names of the sums that :meth:`_compute` returns."""

    @abstractmethod
    def _compute(self, rows: Sequence[R], minibatch: Minibatch) -> Computed:
        """Return forward pass and loss of the rows of one micro-batch; without rows, a loss with weight 0."""

    @abstractmethod
    def _metrics(self, means: dict[str, float]) -> dict[str, float]:
        """Return metrics, by bare names, from the means over all terms."""

    def train(self, shard: Shard, has_more: bool = False) -> StepStats:
        """Train on fetched rows: each minibatch is one optimizer update. Returns metrics over all ranks."""
        sums: defaultdict[str, float] = defaultdict(float)
        norms = []
        for minibatch in shard.minibatches:
            losses = []
            for rows in self._microbatches(minibatch):
                with self._routers.recording():
                    computed = self._compute(rows, minibatch)
                loss = computed.loss + self._routers.balance(computed.packed, share=len(rows) / minibatch.num_sequences)
                self._backward(loss)
                losses.append((loss.detach(), tuple(row.id for row in rows)))
                self._add(sums, computed, is_empty=not rows)
            norms.append(self._update(losses))
        stats = self._stats(sums)
        means = {f"train/{name}": value for name, value in stats.metrics.items() if name != "loss"}
        metrics = {
            "loss/total": stats.metrics["loss"],
            **means,
            "grad_norm": sum(norms) / max(len(norms), 1),
            "lr": float(self._engine.get_lr()[0]),
            **self._routers.metrics(),
        }
        return StepStats(metrics, stats.trained_tokens, stats.padding_tokens)

    def evaluate(self, shard: Shard) -> StepStats:
        """See :class:`r1ray.interfaces.SupervisedLearner`."""
        sums: defaultdict[str, float] = defaultdict(float)
        with torch.no_grad():
            for minibatch in shard.minibatches:
                for rows in self._microbatches(minibatch):
                    self._add(sums, self._compute(rows, minibatch), is_empty=not rows)
        return self._stats(sums)

    def _microbatches(self, minibatch: Minibatch) -> Iterator[list[R]]:
        for samples in minibatch.microbatches:
            yield [self._rows[sample.id] for sample in samples]

    def _add(self, sums: defaultdict[str, float], computed: Computed, *, is_empty: bool) -> None:
        sums["computed_tokens"] += self._decoder.num_computed(computed.packed)
        if is_empty:
            return
        sums["trained_tokens"] += computed.packed.num_tokens
        for name, value in computed.sums.items():
            sums[name] += value.item()

    def _stats(self, sums: defaultdict[str, float]) -> StepStats:
        total = self._sum_over_ranks(sums, (*self.SUMS, "trained_tokens", "computed_tokens"))
        means = {name: total[name] / max(total["terms"], 1.0) for name in self.SUMS if name != "terms"}
        trained, computed = int(total["trained_tokens"]), int(total["computed_tokens"])
        self._say_padding(trained, computed)
        return StepStats(self._metrics(means), trained, padding_tokens=computed - trained)
