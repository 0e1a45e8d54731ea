"""Learner of preferences: a reward model that scores the last token of an answer (paper 2.3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from r1ray.algo.sft_loss import bradley_terry_loss
from r1ray.config import LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.errors import UserError
from r1ray.learner.decoder import Decoder
from r1ray.learner.given_answers import Computed, SupervisedDeepSpeedLearner
from r1ray.learner.packed import Packed, nothing, pack_sequences
from r1ray.learner.paths import beside, checked_ids, neighbours, settle_path
from r1ray.runtime.remote_code import is_allowed
from r1ray.types import Minibatch


class RewardModel(nn.Module):
    """A transformers model with a scalar head (``AutoModelForSequenceClassification`` with one label)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.decoder = Decoder(model, model.base_model)
        self.model = model

    def forward(self, packed: Packed | torch.Tensor) -> torch.Tensor:
        """Return [B] float32: the score of the last token of each sequence. For token ids [1, T] instead of packed
        sequences, return their score [1], computed by the model itself."""
        if isinstance(packed, torch.Tensor):
            return self.decoder.own_logits(packed)[:, 0].float()
        hidden_NH = self.decoder.hidden(packed, slice(None))
        last_B = packed.layout.starts[1:].long() - 1
        scores_B: torch.Tensor = self.model.score(hidden_NH[last_B]).squeeze(-1).float()
        return scores_B


class PreferenceLearner(SupervisedDeepSpeedLearner[PreferencePair]):
    """Trains a reward model on pairs of answers. Its exports load as ``AutoModelForSequenceClassification``."""

    SUMS = ("nll", "terms", "correct", "margin", "chosen_score", "rejected_score")

    def __init__(self, config: LearnerConfig, spec: LearnerSpec, rank: RankSpec) -> None:
        if config.sequence_parallel_size > 1:
            raise UserError(
                f"learner.sequence_parallel_size={config.sequence_parallel_size}: a reward model's rows are not split "
                "over ranks; needs 1."
            )
        super().__init__(config, spec, rank)
        model = self._load(
            AutoModelForSequenceClassification,
            num_labels=1,
            untrained=frozenset({"score.weight"}),
            superfluous=frozenset({"lm_head.weight"}),
        )
        tokenizer = AutoTokenizer.from_pretrained(spec.model, trust_remote_code=is_allowed())
        # transformers looks for the last token that is not padding; without a padding token it takes one row at a time.
        model.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        reward_model = RewardModel(self._prepare(model))
        model.score.requires_grad_(True)  # even with adapters, because it is untrained
        self._start(reward_model, model)
        self._check(avoid=model.config.pad_token_id)

    def _check(self, *, avoid: int) -> None:
        """Compare scores with the model's own, which uses the last token that is not padding. Raises UserError."""
        vocabulary = self._model.get_input_embeddings().num_embeddings
        checked = checked_ids(vocabulary, avoid=avoid)
        sequences = [(torch.tensor(ids), torch.zeros(len(ids), dtype=torch.bool)) for ids in checked]
        with torch.no_grad():
            expected = torch.cat([self._engine(torch.tensor([ids], device=self._device)) for ids in checked])
        size = max(1.0, float(expected.abs().max()))

        def compute(others: Sequence[int]) -> torch.Tensor:
            found: torch.Tensor = self._engine(pack_sequences(beside(sequences, others), device=self._device))
            return (found[1::2] - expected) / size

        path = settle_path(
            self._decoder,
            compute,
            others=neighbours(vocabulary),
            what="scores",
            name=self._spec.model,
            device=self._device,
        )
        self._routers.check_path(path)

    def _compute(self, rows: Sequence[PreferencePair], minibatch: Minibatch) -> Computed:
        packed = nothing(device=self._device)
        if rows:
            sequences = [_sequence(example) for row in rows for example in (row.chosen, row.rejected)]
            packed = pack_sequences(sequences, device=self._device)
        scores = self._engine(packed)
        if not rows:
            return Computed(0.0 * scores.sum(), {}, packed)
        margin_B = torch.tensor([row.margin for row in rows], dtype=torch.float32, device=self._device)
        loss, sums = bradley_terry_loss(scores[0::2], scores[1::2], margin_B, num_pairs=minibatch.num_sequences)
        return Computed(loss, sums, packed)

    def _metrics(self, means: dict[str, float]) -> dict[str, float]:
        names = ("margin", "chosen_score", "rejected_score")
        return {"loss": means["nll"], "accuracy": means["correct"], **{name: means[name] for name in names}}


def _sequence(example: SFTExample) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.from_numpy(example.token_ids.astype("int64"))
    return ids, torch.zeros(len(ids), dtype=torch.bool)
