"""Chunked log-probabilities equal those of materialised logits, gradients too."""

from __future__ import annotations

import pytest
import torch

from r1ray.algo.logprobs import token_logprobs
from tests.planning.live import LiveBytes


@pytest.mark.parametrize("tokens_per_chunk", [1, 3, 25, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("bias", [False, True])
def test_chunks_change_neither_values_nor_gradients(tokens_per_chunk: int, temperature: float, bias: bool) -> None:
    torch.manual_seed(0)
    vocabulary, hidden_size, num = 50, 8, 23
    head = torch.nn.Linear(hidden_size, vocabulary, bias=bias)
    targets = torch.randint(vocabulary, (num,))
    weights = torch.randn(num)
    hidden = torch.randn(num, hidden_size, requires_grad=True)
    inputs = [hidden, *head.parameters()]
    logp, entropy = token_logprobs(
        hidden, head.weight, head.bias, targets, temperature=temperature, max_logits=tokens_per_chunk * num
    )
    gradients = torch.autograd.grad((logp * weights).sum(), inputs)

    table = torch.log_softmax(head(hidden) / temperature, dim=-1)
    expected = table.gather(1, targets[:, None])[:, 0]
    assert torch.allclose(logp, expected, atol=1e-6)
    assert torch.allclose(entropy, -(table.exp() * table).sum(-1), atol=1e-5)
    for ours, theirs in zip(gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("tokens_per_chunk", [3, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_entropy_has_the_gradient_of_the_whole_table_where_it_is_asked_for(
    tokens_per_chunk: int, temperature: float
) -> None:
    torch.manual_seed(0)
    vocabulary, num = 50, 23
    head, hidden = torch.nn.Linear(8, vocabulary), torch.randn(num, 8, requires_grad=True)
    targets, weights = torch.randint(vocabulary, (num,)), torch.randn(num)
    inputs = [hidden, *head.parameters()]
    settings = {"temperature": temperature, "max_logits": tokens_per_chunk * num}
    logp, entropy = token_logprobs(
        hidden,
        head.weight,
        head.bias,
        targets,
        entropy_has_gradient=True,
        **settings,  # type: ignore[arg-type]
    )
    table = torch.log_softmax(head(hidden) / temperature, dim=-1)
    expected = -(table.exp() * table).sum(-1)
    for found, right in (
        ((entropy * weights).sum(), (expected * weights).sum()),
        ((logp + entropy * weights).sum(), (table.gather(1, targets[:, None])[:, 0] + expected * weights).sum()),
    ):
        ours, theirs = (torch.autograd.grad(value, inputs, retain_graph=True) for value in (found, right))
        assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(ours, theirs, strict=True))
    _, entropy = token_logprobs(hidden, head.weight, head.bias, targets, temperature=temperature)
    assert not entropy.requires_grad


def test_a_frozen_head_gets_no_gradient_and_no_tokens_give_one_of_zero() -> None:
    hidden, weight = torch.randn(5, 4, requires_grad=True), torch.randn(10, 4)
    token_logprobs(hidden, weight, None, torch.arange(5), temperature=1.0)[0].sum().backward()
    assert hidden.grad is not None and hidden.grad.norm() > 0 and weight.grad is None
    weight.requires_grad_()
    logp, _ = token_logprobs(hidden[:0], weight, None, torch.arange(0), temperature=1.0)
    logp.sum().backward()
    assert logp.shape == (0,) and weight.grad is not None and weight.grad.norm() == 0


def test_in_bfloat16_chunks_round_gradients_no_more_than_one_chunk_does() -> None:
    torch.manual_seed(0)
    vocabulary, num = 4096, 256
    hidden, weight = torch.randn(num, 32), torch.randn(vocabulary, 32)
    targets, weights = torch.randint(vocabulary, (num,)), torch.randn(num)

    def gradients(dtype: torch.dtype, max_logits: int) -> list[torch.Tensor]:
        inputs = [tensor.bfloat16().to(dtype).requires_grad_() for tensor in (hidden, weight)]
        logp, _ = token_logprobs(*inputs, None, targets, temperature=1.0, max_logits=max_logits)
        return [gradient.float() for gradient in torch.autograd.grad((logp * weights).sum(), inputs)]

    exact = gradients(torch.float32, 2**24)
    one, many = (gradients(torch.bfloat16, size) for size in (2**24, 2**12))
    for right, single, chunked in zip(exact, one, many, strict=True):
        assert (chunked - right).norm() < 1.2 * (single - right).norm() < 0.02 * right.norm()


def test_no_more_than_a_few_copies_of_one_chunk_of_logits_exist_at_a_time() -> None:
    num, vocabulary, max_logits = 64, 8192, 2**14
    hidden, weight = torch.randn(num, 4, requires_grad=True), torch.randn(vocabulary, 4, requires_grad=True)
    targets = torch.randint(vocabulary, (num,))
    live = LiveBytes()
    live.ignore(hidden, weight, targets)
    with live:
        token_logprobs(hidden, weight, None, targets, temperature=1.0, max_logits=max_logits)[0].sum().backward()
    gradient = weight.numel() * 4
    assert 2 * 4 * max_logits < live.peak < 4.1 * 4 * max_logits + gradient < 4 * num * vocabulary
