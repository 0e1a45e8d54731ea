"""Learner of given answers: the mean negative log-likelihood of their tokens (paper 2.3.1, 2.3.3, 2.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from r1ray.algo.sft_loss import nll_loss
from r1ray.config import LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.data.sft_examples import SFTExample
from r1ray.learner.given_answers import Computed, SupervisedDeepSpeedLearner
from r1ray.learner.packed import nothing, pack_sequences
from r1ray.learner.policy import PolicyModel, check_policy
from r1ray.runtime.model_class import auto_class
from r1ray.types import Minibatch


class SFTLearner(SupervisedDeepSpeedLearner[SFTExample]):
    """Trains a causal language model on dialogues."""

    SUMS = ("nll", "terms")

    def __init__(self, config: LearnerConfig, spec: LearnerSpec, rank: RankSpec) -> None:
        super().__init__(config, spec, rank)
        model = self._load(auto_class(spec.model))
        self._start(PolicyModel(self._prepare(model), sequence_group=self._sequence_group), model)
        path = check_policy(self._engine, name=spec.model, device=self._device, multiple=config.sequence_parallel_size)
        self._routers.check_path(path)

    def _compute(self, rows: Sequence[SFTExample], minibatch: Minibatch) -> Computed:
        multiple = self._config.sequence_parallel_size
        packed = nothing(device=self._device, multiple=multiple)
        if rows:
            sequences = [
                (torch.from_numpy(row.token_ids.astype("int64")), torch.from_numpy(row.loss_mask.astype("bool")))
                for row in rows
            ]
            packed = pack_sequences(sequences, device=self._device, multiple=multiple)
        logp_N, _ = self._engine(packed, 1.0)
        weight = 1.0 / minibatch.num_tokens if rows else 0.0
        loss, sums = nll_loss(logp_N, torch.full_like(logp_N, weight))
        return Computed(loss, sums, packed)

    def _metrics(self, means: dict[str, float]) -> dict[str, float]:
        return {"loss": means["nll"], "perplexity": math.exp(min(means["nll"], 50.0))}
