"""The policy as the losses see it: log-probabilities of chosen tokens, never logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from r1ray.algo.logprobs import token_logprobs
from r1ray.errors import UserError
from r1ray.learner.attention import NAME, GatherTokens, Layout, plan_layout

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Nats, of the mean difference of likely tokens' log-probabilities. Attention across sequences, or a logit that is
capped, is off by more."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences end to end."""

    input_ids_N: torch.Tensor  # [N] int64
    position_ids_N: torch.Tensor  # [N] int64, from 0 in each sequence
    chosen_N: torch.Tensor  # [N] bool: whose log-probabilities are wanted; never the first of a sequence
    layout: Layout
    num_tokens: int
    """N without padding."""
    choices_NLK: torch.Tensor | None = None  # [N, layers, K] int32
    """The experts that the engine chose, and -1 where it does not say; None: routers choose."""


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


class LogprobHead(nn.Linear):
    """An output layer that can return log-probabilities of chosen tokens in place of logits. One call of it serves a
    micro-batch, in which DeepSpeed gathers its parameters once (ZeRO 3): how often ranks gather must not depend on how
    many tokens each has."""

    entropy_has_gradient = False

    def forward(  # type: ignore[override]
        self, hidden_NH: torch.Tensor, targets_N: torch.Tensor | None = None, temperature: float = 1.0
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if targets_N is None:
            return super().forward(hidden_NH)
        return token_logprobs(
            hidden_NH.to(self.weight.dtype),
            self.weight,
            self.bias,
            targets_N,
            temperature=temperature,
            entropy_has_gradient=self.entropy_has_gradient,
        )


def _as_logprob_head(model: Any) -> None:
    """Make the model's output layer, with its parameters as they are, a :class:`LogprobHead`."""
    head = model.get_output_embeddings()
    if type(head) not in (nn.Linear, LogprobHead):
        raise UserError(
            f"{type(model).__name__}: its output layer is a {type(head).__name__}; the learner needs a plain linear "
            "layer, and no adapters there (learner.lora.targets)."
        )
    head.__class__ = LogprobHead


class PolicyModel(nn.Module):
    """A causal language model whose forward pass returns log-probabilities of chosen tokens."""

    def __init__(self, model: Any, *, sequence_group: Any = None, entropy_has_gradient: bool = False) -> None:
        """
        Args:
            sequence_group: ranks that compute each row together, a part of its tokens each (Ulysses).
            entropy_has_gradient: the loss reads it.
        """
        super().__init__()
        model.set_attn_implementation(NAME)
        _as_logprob_head(model)
        model.get_output_embeddings().entropy_has_gradient = entropy_has_gradient
        self.model = model
        self.take_choices: Callable[[torch.Tensor | None], None] = lambda choices_NLK: None
        """Gets the experts of the tokens that come next."""
        self._group = sequence_group

    def forward(
        self, packed: Packed | torch.Tensor, temperature: float = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor] | torch.Tensor:
        """Log-probability and entropy, each [C] float32, of the C chosen tokens in their order.

        Of token ids [1, T] in the place of packed sequences: their logits [1, T, V], as the model itself computes them.
        """
        if isinstance(packed, torch.Tensor):
            self.take_choices(None)
            return own_logits(self.model, packed)
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
        self.take_choices(None if packed.choices_NLK is None else packed.choices_NLK[part])
        hidden_1NH = self.model.get_decoder()(
            input_ids=packed.input_ids_N[part].unsqueeze(0),
            position_ids=packed.position_ids_N[part].unsqueeze(0),
            use_cache=False,
            layout=packed.layout,
            sequence_group=self._group,
        ).last_hidden_state
        found: tuple[torch.Tensor, torch.Tensor] = self.model.get_output_embeddings()(
            hidden_1NH[0][predicted], targets, temperature
        )
        return found


def own_logits(model: Any, ids_1T: torch.Tensor) -> torch.Tensor:
    """Compute the logits of one sequence by the model's own attention and output."""
    model.set_attn_implementation("eager")
    try:
        logits: torch.Tensor = model(input_ids=ids_1T, use_cache=False).logits
    finally:
        model.set_attn_implementation(NAME)
    return logits


def checked_ids(vocabulary: int, *, avoid: int | None = None) -> list[list[int]]:
    """Two sequences of token ids from all over a vocabulary: its first ones are special, and never follow another."""
    ids = [token for index in range(1, 16) if (token := 7919 * index % vocabulary) != avoid]
    return [ids[:8], ids[8:13]]


def check_policy(policy: Any, *, name: str, device: torch.device, multiple: int = 1) -> None:
    """Compare the packed policy with the model itself. Raises UserError for a model whose logits are more than its
    output layer on its last hidden states (soft-capping, scaling), or whose layers look beyond their sequence where
    several are packed in one row (linear attention, convolutions).

    After each beginning of a few sequences the token is judged that the model finds likeliest: unlikely ones differ in
    bfloat16 by nats between two right ways to compute them.
    """
    vocabulary = next(part.out_features for part in policy.modules() if isinstance(part, LogprobHead))
    sequences, expected = [], []
    with torch.no_grad():
        for ids in checked_ids(vocabulary):
            table = torch.log_softmax(policy(torch.tensor([ids], device=device))[0].float(), dim=-1)
            likeliest = table.max(dim=-1)
            expected.append(likeliest.values)
            for length, token in enumerate(likeliest.indices.tolist(), start=1):
                sequences.append((torch.tensor([*ids[:length], token]), torch.arange(length + 1) == length))
        found, _ = policy(pack_sequences(sequences, device=device, multiple=multiple), 1.0)
    difference = float((found - torch.cat(expected)).abs().mean())
    check_difference(difference, policy, what="log-probabilities of likely tokens", unit=" nats", name=name)


def check_difference(difference: float, module: Any, *, what: str, unit: str = "", name: str) -> None:
    """Raise UserError where packed sequences differ from the model's own by more than the module's dtype explains."""
    dtype = next(module.parameters()).dtype
    if difference <= TOLERANCE.get(dtype, 1e-3):
        return
    hint = " learner.dtype=float32 tells whether rounding in bfloat16 is all." if dtype == torch.bfloat16 else ""
    raise UserError(
        f"model={name}: its {what} as the learner computes them, by packed sequences and the output layer alone, "
        f"differ from the model's own by {difference:.2g}{unit}; needs a model without logit soft-capping or scaling, "
        f"whose layers keep packed sequences apart.{hint}"
    )
