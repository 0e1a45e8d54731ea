"""The policy as seen by the losses: log-probabilities of chosen tokens, never logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from r1ray.learner.attention import GatherTokens
from r1ray.learner.decoder import Decoder, Path, decoder_of
from r1ray.learner.head import Surroundings, as_logprob_head
from r1ray.learner.packed import Packed, pack_sequences
from r1ray.learner.paths import beside, checked_ids, likeliest, neighbours, settle_path
from r1ray.learner.tree_check import computes_trees


class PolicyModel(nn.Module):
    """A causal language model whose forward pass returns log-probabilities of chosen tokens."""

    def __init__(self, model: Any, *, sequence_group: Any = None, entropy_has_gradient: bool = False) -> None:
        """
        Args:
            sequence_group: ranks that share the tokens of each row (Ulysses).
            entropy_has_gradient: the loss needs the gradient of the entropy.
        """
        super().__init__()
        head = as_logprob_head(model)
        self.decoder = Decoder(model, decoder_of(model), sequence_group=sequence_group)
        self._surroundings = Surroundings(model, head)
        head.entropy_has_gradient = entropy_has_gradient
        self.model = model
        self.take_choices: Callable[[torch.Tensor | None], None] = lambda choices_NLK: None
        """Called with the experts of the tokens that come next."""
        self.sequence_group = sequence_group

    @property
    def has_own_logits(self) -> bool:
        """Return whether the model's logits are more than its output layer applied to its last hidden states."""
        return not self._surroundings.are_plain

    def forward(
        self, packed: Packed | torch.Tensor, temperature: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor] | torch.Tensor:
        """Return log-probability and entropy, each [C] float32, of the C chosen tokens in their order.

        For token ids [1, T] instead of packed sequences, return their logits [1, T, V], computed by the model itself.
        """
        if isinstance(packed, torch.Tensor):
            self.take_choices(None)
            return self.decoder.own_logits(packed)
        predicted, targets = packed.predictor_C, packed.target_C
        if self.sequence_group is None:
            return self._logprobs(packed, slice(None), predicted, targets, temperature)
        ranks, rank = dist.get_world_size(self.sequence_group), dist.get_rank(self.sequence_group)
        share = len(packed.input_ids_N) // ranks
        owner = predicted // share
        counts = torch.bincount(owner, minlength=ranks).tolist()
        own = owner == rank
        logp, entropy = self._logprobs(
            packed,
            slice(rank * share, (rank + 1) * share),
            predicted[own] - rank * share,
            targets[own],
            temperature,
        )
        # Concatenated ranks are not in the order of the chosen tokens: in a tree, predictors are not ascending.
        order = owner.argsort(stable=True).argsort()
        whole = [GatherTokens.apply(each, counts, self.sequence_group)[order] for each in (logp, entropy)]
        return whole[0], whole[1]

    def _logprobs(
        self, packed: Packed, part: slice, predicted: torch.Tensor, targets: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return those of ``targets``, each predicted at a position within ``part`` of the row."""
        self.take_choices(None if packed.choices_NLK is None else packed.choices_NLK[part])
        hidden_NH = self._surroundings.before(self.decoder.hidden(packed, part)[predicted])
        found: tuple[torch.Tensor, torch.Tensor] = self.model.get_output_embeddings()(
            hidden_NH, targets, temperature, self._surroundings.after
        )
        return found


def check_policy(policy: Any, *, name: str, device: torch.device, multiple: int = 1, packs_trees: bool = False) -> Path:
    """Choose the way in which the policy computes many sequences (:func:`r1ray.learner.paths.settle_path`) and return
    it. Ways are compared with the model itself. Raises UserError if none is right.

    The comparison uses the model's likeliest token after each beginning of a few sequences: for unlikely tokens, two
    right ways of computing them in bfloat16 differ by nats.

    Args:
        policy: a :class:`PolicyModel`, or the engine that trains it.
        packs_trees: also set the decoder's ``packs_trees`` if it computes a tree of two branches correctly.
    """
    inner = next(part for part in policy.modules() if isinstance(part, PolicyModel))
    vocabulary = inner.model.get_output_embeddings().out_features
    sequences, expected = [], []
    for ids in checked_ids(vocabulary):
        logp_T, token_T = likeliest(policy, ids, device=device)
        expected.append(logp_T)
        for length, token in enumerate(token_T.tolist(), start=1):
            sequences.append((torch.tensor([*ids[:length], token]), torch.arange(length + 1) == length))
    expected_N = torch.cat(expected)

    def compute(others: Sequence[int]) -> torch.Tensor:
        found: torch.Tensor
        found, _ = policy(pack_sequences(beside(sequences, others), device=device, multiple=multiple), 1.0)
        return found - expected_N

    path = settle_path(
        inner.decoder,
        compute,
        others=neighbours(vocabulary),
        what="log-probabilities of likely tokens (nats)",
        name=name,
        device=device,
    )
    inner.decoder.packs_trees = (
        packs_trees and path == "packed" and computes_trees(policy, inner, name=name, device=device, multiple=multiple)
    )
    return path
