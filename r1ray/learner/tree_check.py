"""Check at the start that a model computes a tree like its single sequences: log-probabilities and gradient.

Layers that mix tokens by anything but attention along the path would give wrong results without an error.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from r1ray.learner.packed import Packed, TokenRow, pack_sequences, pack_tree
from r1ray.learner.paths import TOLERANCE, UNSUITED, checked_ids, likeliest, neighbours, on_every_rank
from r1ray.learner.tree import plan_tree

FROM_FLAT = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Bound of the mean difference from the same sequences end to end, in nats."""
GRADIENT = {torch.float32: 1e-3, torch.bfloat16: 0.1}
"""Bound of the relative difference of the gradient from that of the same sequences end to end."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Measured:
    """Errors of a tree."""

    difference: float
    """Difference from the model's own results. Unit: nats."""
    from_flat: float
    gradient: float
    """Relative difference of the gradient with respect to the embeddings of the tokens."""

    def is_right(self, dtype: torch.dtype) -> bool:
        """Return whether rounding explains the errors; it never explains NaN."""
        return (
            self.difference <= TOLERANCE.get(dtype, 1e-3)
            and self.from_flat <= FROM_FLAT.get(dtype, 1e-4)
            and self.gradient <= GRADIENT.get(dtype, 1e-3)
        )


def checked_sequences(vocabulary: int) -> list[list[int]]:
    """Return sequences with two branches, one of which branches again."""
    (prompt, last), (left, right) = checked_ids(vocabulary), neighbours(vocabulary)
    return [prompt + left, prompt + right + last, prompt + right + last[::-1]]


def computes_trees(policy: Any, inner: Any, *, name: str, device: torch.device, multiple: int) -> bool:
    """Return whether every rank computes a tree correctly; log it if not.

    Args:
        policy: a :class:`r1ray.learner.policy.PolicyModel`, or the engine that trains it.
        inner: the policy itself.
    """
    try:
        measured = _measure(policy, inner, device=device, multiple=multiple)
        found = (
            f"log-probabilities by {measured.difference:.2g} nats from the model's own and {measured.from_flat:.2g} "
            f"from packed ones, the gradient by {measured.gradient:.2g} of its norm"
        )
        is_right = measured.is_right(inner.decoder.dtype)
    except UNSUITED as error:
        found, is_right = f"{type(error).__name__}: {error}", False
    if on_every_rank(is_right, device):
        return True
    logger.warning(
        f"model={name}: learner.packing=tree is not used, and each sequence is computed by itself, because a tree "
        f"differs from its sequences on a rank; here: {found}"
    )
    return False


def _measure(policy: Any, inner: Any, *, device: torch.device, multiple: int) -> Measured:
    sequences = checked_sequences(inner.model.get_output_embeddings().out_features)
    # As in check_policy: for an unlikely token, two right ways of computing it in bfloat16 differ by nats.
    found = [likeliest(policy, ids, device=device) for ids in sequences]
    expected, targets = (torch.cat([each[:-1] for each in part]) for part in zip(*found, strict=True))
    rows: list[TokenRow] = [(torch.tensor(ids), torch.arange(len(ids)) > 0) for ids in sequences]
    flat = replace(pack_sequences(rows, device=device, multiple=multiple), target_C=targets)
    tree = replace(pack_tree(rows, device=device, multiple=multiple, shares_all=True), target_C=targets)
    (flat_logp, of_flat), (tree_logp, of_tree) = (_logprobs_and_gradient(inner, each) for each in (flat, tree))
    # Index in the tree of each token of the sequences end to end.
    tokens = [np.array(ids) for ids in sequences]
    places = torch.from_numpy(np.concatenate(plan_tree(tokens, shares_all=True).places)).to(device)
    summed = torch.zeros_like(of_tree).index_add(0, places, of_flat[: len(places)])
    return Measured(
        difference=float((tree_logp - expected).abs().mean()),
        from_flat=float((tree_logp - flat_logp).abs().mean()),
        gradient=float((of_tree - summed).norm() / summed.norm()),
    )


def _logprobs_and_gradient(inner: Any, packed: Packed) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the log-probabilities [C], and the gradient of a sum of them with respect to the embeddings, [N, H]. No
    parameter gets a gradient. The engine is not called, because it would take the pass for one of the first step."""
    with torch.enable_grad(), _embeddings(inner.model) as seen:
        logp, _ = inner(packed, 1.0)
        weights = torch.linspace(-1, 1, len(logp), device=logp.device)
        (gradient,) = torch.autograd.grad((weights * logp).sum(), seen)
    gradient = gradient[0].float()
    if inner.sequence_group is not None:
        parts = [torch.empty_like(gradient) for _ in range(dist.get_world_size(inner.sequence_group))]
        dist.all_gather(parts, gradient.contiguous(), group=inner.sequence_group)
        gradient = torch.cat(parts)
    return logp.detach(), gradient


@contextmanager
def _embeddings(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collect the embeddings at the start of a forward pass inside the ``with``, as leaves."""
    seen: list[torch.Tensor] = []

    def keep(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
        seen.append(output.detach().requires_grad_())
        return seen[-1]

    handle = model.get_input_embeddings().register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
