"""Steps around a model's output layer are found, and done to one part of the vocabulary at a time."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from r1ray.algo.logprobs import token_logprobs
from r1ray.errors import UserError
from r1ray.learner.head import Surroundings, as_logprob_head
from tests.learner.families import make


def surroundings(model: Any) -> Surroundings:
    return Surroundings(model, as_logprob_head(model))


def test_a_plain_output_layer_has_nothing_around_it() -> None:
    found = surroundings(make("llama"))
    assert found.are_plain and found.after is None


@pytest.mark.parametrize("max_logits", [10_000, 40])
def test_soft_capped_logits_have_their_gradient_in_parts_too(max_logits: int) -> None:
    after = surroundings(make("gemma2")).after
    assert after is not None
    torch.manual_seed(0)
    hidden, weight = (torch.randn(size, 8, requires_grad=True) for size in (5, 20))
    targets = torch.tensor([3, 0, 19, 7, 7])
    logp, _ = token_logprobs(hidden, weight, None, targets, temperature=0.7, after=after, max_logits=max_logits)
    logits = 3.0 * torch.tanh(hidden @ weight.T / 3.0) / 0.7
    expected = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
    assert torch.allclose(logp, expected, atol=1e-6)
    for ours, theirs in zip(
        *(torch.autograd.grad((v**2).sum(), (hidden, weight)) for v in (logp, expected)), strict=True
    ):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_logits_that_depend_on_each_other_are_refused() -> None:
    model = make("llama")
    forward = model.forward

    def centred(**arguments: Any) -> Any:
        out = forward(**arguments)
        out.logits = out.logits - out.logits.mean(dim=-1, keepdim=True)
        return out

    model.forward = centred
    with pytest.raises(UserError, match="LlamaForCausalLM: it does not process each logit by itself"):
        _ = surroundings(model).after
