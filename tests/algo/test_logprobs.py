"""Chunked log-probabilities equal those of materialised logits, gradients too."""

from __future__ import annotations

import pytest
import torch

from r1ray.algo.logprobs import token_logprobs


@pytest.mark.parametrize("rows_per_chunk", [1, 3, 7, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_chunks_change_neither_values_nor_gradients(rows_per_chunk: int, temperature: float) -> None:
    torch.manual_seed(0)
    vocabulary, hidden_size, num = 50, 8, 23
    head = torch.nn.Linear(hidden_size, vocabulary, bias=False)
    targets = torch.randint(vocabulary, (num,))
    weights = torch.randn(num)
    hidden = torch.randn(num, hidden_size, requires_grad=True)
    logp, entropy = token_logprobs(
        hidden, head, targets, vocabulary=vocabulary, temperature=temperature, max_logits=rows_per_chunk * vocabulary
    )
    (logp * weights).sum().backward()
    gradients = hidden.grad, head.weight.grad
    hidden.grad = head.weight.grad = None

    table = torch.log_softmax(head(hidden) / temperature, dim=-1)
    expected = table.gather(1, targets[:, None])[:, 0]
    (expected * weights).sum().backward()
    assert torch.allclose(logp, expected, atol=1e-6)
    assert torch.allclose(entropy, -(table.exp() * table).sum(-1), atol=1e-5)
    for ours, theirs in zip(gradients, (hidden.grad, head.weight.grad), strict=True):
        assert ours is not None and theirs is not None and torch.allclose(ours, theirs, atol=1e-5)


def test_no_more_than_one_chunk_of_logits_exists_at_a_time() -> None:
    seen: list[int] = []

    def head(hidden: torch.Tensor) -> torch.Tensor:
        seen.append(len(hidden))
        return hidden @ torch.ones(4, 10)

    token_logprobs(
        torch.randn(25, 4), head, torch.zeros(25, dtype=torch.int64), vocabulary=10, temperature=1.0, max_logits=80
    )
    assert max(seen) == 8
