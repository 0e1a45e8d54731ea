"""Sequences in one row, the input of every forward pass of a learner: end to end, or as a tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from r1ray.learner.layout import Layout, Node, plan_layout
from r1ray.learner.tree import plan_tree

TokenRow = tuple[torch.Tensor, torch.Tensor]
"""Token ids [T] int64 of a sequence, and a mask of the chosen ones, [T] bool; the first token is never chosen."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Sequences in one row. ``C`` counts the tokens whose log-probabilities are needed, in the order of the
    sequences."""

    input_ids_N: torch.Tensor  # [N] int64
    position_ids_N: torch.Tensor  # [N] int64, from 0 in each sequence
    predictor_C: torch.Tensor  # [C] int64: index of the token before each chosen one; its hidden state predicts that
    target_C: torch.Tensor  # [C] int64: the chosen tokens
    layout: Layout
    num_tokens: int
    """N without padding."""
    choices_NLK: torch.Tensor | None = None  # [N, layers, K] int32
    """Experts chosen by the engine, -1 if it does not tell; None: the routers choose."""


def pack_sequences(sequences: Sequence[TokenRow], *, device: torch.device, multiple: int = 1) -> Packed:
    """Lay sequences end to end.

    Args:
        multiple: N is made a multiple of this, by a last sequence of padding.
    """
    ids, chosen = [ids for ids, _ in sequences], [chosen for _, chosen in sequences]
    num_tokens = sum(len(part) for part in ids)
    if padding := -num_tokens % multiple:
        ids.append(torch.zeros(padding, dtype=torch.int64))
        chosen.append(torch.zeros(padding, dtype=torch.bool))
    lengths = [len(part) for part in ids]
    ids_N, chosen_N = torch.cat(ids), torch.cat(chosen)
    return Packed(
        input_ids_N=ids_N.to(device),
        position_ids_N=torch.cat([torch.arange(length) for length in lengths]).to(device),
        predictor_C=(chosen_N.nonzero()[:, 0] - 1).to(device),
        target_C=ids_N[chosen_N].to(device),
        layout=plan_layout(lengths, device=device),
        num_tokens=num_tokens,
    )


def pack_tree(
    sequences: Sequence[TokenRow], *, device: torch.device, multiple: int = 1, shares_all: bool = False
) -> Packed:
    """Lay sequences as a tree of their tokens, in which common beginnings are computed once.

    Args:
        multiple: N is made a multiple of this, by a last root of padding.
        shares_all: as in :func:`r1ray.learner.tree.plan_tree`.
    """
    tree = plan_tree([ids.numpy() for ids, _ in sequences], shares_all=shares_all)
    predictors = [
        places[np.flatnonzero(chosen) - 1] for places, (_, chosen) in zip(tree.places, sequences, strict=True)
    ]
    num_tokens, nodes = len(tree.ids_N), list(tree.nodes)
    padding = np.zeros(-num_tokens % multiple, dtype=np.int64)
    if end := len(padding):
        nodes.append(Node(num_tokens, num_tokens + end, num_tokens + end, None))
    return Packed(
        input_ids_N=torch.from_numpy(np.concatenate([tree.ids_N, padding])).to(device),
        position_ids_N=torch.from_numpy(np.concatenate([tree.positions_N, np.arange(len(padding))])).to(device),
        predictor_C=torch.from_numpy(np.concatenate(predictors)).to(device),
        target_C=torch.cat([ids[chosen] for ids, chosen in sequences]).to(device),
        layout=plan_layout([node.end - node.start for node in nodes], device=device, nodes=nodes),
        num_tokens=num_tokens,
    )


def nothing(*, device: torch.device, multiple: int = 1) -> Packed:
    """Return two tokens, one of them chosen, for a rank without work."""
    return pack_sequences([(torch.zeros(2, dtype=torch.int64), torch.arange(2) > 0)], device=device, multiple=multiple)
