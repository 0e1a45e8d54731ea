"""Whatever the family, the gradient is that of the plain model's loss, each row alone and without padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from r1ray.learner.decoder import recompute_layers
from r1ray.learner.packed import pack_sequences
from r1ray.learner.policy import PolicyModel
from tests.learner.families import FAMILIES, make, row_of, written_table

FEW = ("bloom", "gemma2", "gpt_oss", "granite", "llama4_text", "mamba")
"""One for each path, and for each thing that is done around the output layer or inside attention."""
ROWS = ([5, 9, 12, 7, 30], [8, 4, 21], [3, 3, 3, 3, 3, 3, 17], [9, 9], [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 40])
STARTS = (2, 1, 4, 1, 3)
WEIGHTS = torch.linspace(-1, 1, sum(len(row) - start for row, start in zip(ROWS, STARTS, strict=True)))


def alone(model: Any) -> torch.Tensor:
    """log p of the chosen tokens by the model as transformers has it, its attention written out."""
    model.set_attn_implementation("eager")
    found = []
    for row, start in zip(ROWS, STARTS, strict=True):
        table = torch.log_softmax(model(input_ids=torch.tensor([row]), use_cache=False).logits[0], dim=-1)
        found += [table[place - 1, row[place]] for place in range(start, len(row))]
    return torch.stack(found)


def gradient(model: Any, logp: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    (logp * WEIGHTS).sum().backward()
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in model.parameters()])


def check(family: str, *, recomputes: bool = False) -> None:
    model = make(family)
    expected = gradient(model, alone(model))
    if recomputes:
        recompute_layers(model)
    policy = PolicyModel(model)
    row = row_of(family, policy)
    rows = [(torch.tensor(row), torch.arange(len(row)) >= start) for row, start in zip(ROWS, STARTS, strict=True)]
    found = gradient(model, policy(pack_sequences(rows, device=torch.device("cpu")))[0])
    assert (found - expected).norm() <= 1e-5 * expected.norm(), row
    assert f"| `{row[0]}` | {row[1]} | {row[2]} |\n" in written_table(), row


@pytest.mark.parametrize("family", FEW)
def test_the_gradient_is_that_of_each_row_alone(family: str) -> None:
    check(family)


@pytest.mark.long
@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - set(FEW)))
def test_the_gradient_of_every_family_is_that_of_each_row_alone(family: str) -> None:
    check(family)


@pytest.mark.long
@pytest.mark.parametrize("family", ["falcon", "gpt_oss", "lfm2", "llama", "mamba", "mpt", "qwen3_5_text"])
def test_recomputed_layers_give_the_same_gradient(family: str) -> None:
    check(family, recomputes=True)
