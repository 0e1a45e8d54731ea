"""The policy as the losses see it: log-probabilities of chosen tokens, never logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from r1ray.algo.logprobs import token_logprobs
from r1ray.errors import UserError
from r1ray.learner.attention import NAME, GatherTokens, Layout, plan_layout

CHECKED = ((5, 1, 4, 2, 3), (3, 6, 1))
"""Two sequences of low token ids, on which the packed policy is compared with the model."""
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.3}
"""Nats. Attention across sequences, or a logit that is capped, is off by more."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences end to end."""

    input_ids_N: torch.Tensor  # [N] int64
    position_ids_N: torch.Tensor  # [N] int64, from 0 in each sequence
    chosen_N: torch.Tensor  # [N] bool: whose log-probabilities are wanted; never the first of a sequence
    layout: Layout
    num_tokens: int
    """N without padding."""


def pack_sequences(
    sequences: Sequence[tuple[torch.Tensor, torch.Tensor]], *, device: torch.device, multiple: int = 1
) -> Packed:
    """Token ids [T] int64 and chosen tokens [T] bool of each sequence, end to end.

    Args:
        multiple: N is made a multiple of this, by a last sequence of padding.
    """
    ids, chosen = [ids for ids, _ in sequences], [chosen for _, chosen in sequences]
    num_tokens = sum(len(part) for part in ids)
    if padding := -num_tokens % multiple:
        ids.append(torch.zeros(padding, dtype=torch.int64))
        chosen.append(torch.zeros(padding, dtype=torch.bool))
    lengths = [len(part) for part in ids]
    return Packed(
        input_ids_N=torch.cat(ids).to(device),
        position_ids_N=torch.cat([torch.arange(length) for length in lengths]).to(device),
        chosen_N=torch.cat(chosen).to(device),
        layout=plan_layout(lengths, device=device),
        num_tokens=num_tokens,
    )


def nothing(*, device: torch.device, multiple: int = 1) -> Packed:
    """Two tokens, one of them chosen: for a rank without work."""
    return pack_sequences([(torch.zeros(2, dtype=torch.int64), torch.arange(2) > 0)], device=device, multiple=multiple)


class PolicyModel(nn.Module):
    """A causal language model whose forward pass returns log-probabilities of chosen tokens."""

    def __init__(self, model: Any, *, sequence_group: Any = None) -> None:
        """
        Args:
            sequence_group: ranks that compute each row together, a part of its tokens each (Ulysses).
        """
        super().__init__()
        model.set_attn_implementation(NAME)
        self.model = model
        weight = model.get_output_embeddings().weight
        self._vocabulary = int(getattr(weight, "ds_shape", weight.shape)[0])
        self._group = sequence_group

    def forward(self, packed: Packed, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability and entropy, each [C] float32, of the C chosen tokens in their order."""
        predicted = packed.chosen_N.nonzero()[:, 0] - 1
        targets = packed.input_ids_N[packed.chosen_N]
        if self._group is None:
            return self._logprobs(packed, slice(None), predicted, targets, temperature)
        ranks, rank = dist.get_world_size(self._group), dist.get_rank(self._group)
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
        return GatherTokens.apply(logp, counts, self._group), GatherTokens.apply(entropy, counts, self._group)

    def _logprobs(
        self, packed: Packed, part: slice, predicted: torch.Tensor, targets: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of ``targets``, each predicted at a position within ``part`` of the row."""
        hidden_1NH = self.model.get_decoder()(
            input_ids=packed.input_ids_N[part].unsqueeze(0),
            position_ids=packed.position_ids_N[part].unsqueeze(0),
            use_cache=False,
            layout=packed.layout,
            sequence_group=self._group,
        ).last_hidden_state
        return token_logprobs(
            hidden_1NH[0][predicted],
            self.model.get_output_embeddings(),
            targets,
            vocabulary=self._vocabulary,
            temperature=temperature,
        )


def plain_logprobs(model: Any) -> torch.Tensor:
    """Log-probabilities of the tokens of ``CHECKED``, sequence by sequence, as the model itself computes them."""
    own = model.config._attn_implementation
    model.set_attn_implementation("eager")
    parts = []
    with torch.no_grad():
        for sequence in CHECKED:
            ids = torch.tensor([sequence], device=next(model.parameters()).device)
            table = torch.log_softmax(model(input_ids=ids, use_cache=False).logits[0].float(), dim=-1)
            parts.append(table[:-1].gather(1, ids[0, 1:, None])[:, 0])
    model.set_attn_implementation(own)
    return torch.cat(parts)


def check_policy(policy: Any, expected: torch.Tensor, *, name: str, device: torch.device, multiple: int = 1) -> None:
    """Compare the packed policy with what :func:`plain_logprobs` found before. Raises UserError for a model whose
    logits are more than its output layer on its last hidden states (soft-capping, scaling), or whose layers look
    beyond their sequence where several are packed in one row (linear attention, convolutions)."""
    sequences = [(torch.tensor(ids), torch.arange(len(ids)) > 0) for ids in CHECKED]
    with torch.no_grad():
        found, _ = policy(pack_sequences(sequences, device=device, multiple=multiple), 1.0)
    worst = float((found.cpu() - expected.cpu()).abs().max())
    dtype = next(policy.parameters()).dtype
    if not worst <= TOLERANCE.get(dtype, 1e-3):
        raise UserError(
            f"model={name}: its log-probabilities as the learner computes them, by packed sequences and the output "
            f"layer alone, differ from the model's own by {worst:.2g} nats; needs a model without logit soft-capping "
            "or scaling, whose layers keep packed sequences apart."
        )
