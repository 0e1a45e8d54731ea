"""Log-probabilities and their gradient take a small part of the memory that all logits at once take."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate

import torch
from torch.profiler import ProfilerActivity, profile

from r1ray.algo.logprobs import token_logprobs
from tests.gpu.learner.conftest import Place

TOKENS, HIDDEN, VOCABULARY = 512, 16, 8192
MAX_LOGITS = TOKENS * VOCABULARY // 32


def peak_bytes(compute: Callable[[], object], device: torch.device) -> int:
    """Return the most bytes of tensors that ``compute`` had at a time, beyond those that were there before."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        compute()
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        compute()
    events = [each for each in profiler.profiler.kineto_results.events() if each.name() == "[memory]"]
    return max(accumulate(each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())))


def test_logits_exist_a_chunk_at_a_time(place: Place) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(TOKENS, HIDDEN).to(place.device, place.dtype).requires_grad_()
    head = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False).to(place.device, place.dtype)
    targets = torch.randint(VOCABULARY, (TOKENS,)).to(place.device)

    def chunked() -> None:
        logp, _ = token_logprobs(hidden, head.weight, None, targets, temperature=0.7, max_logits=MAX_LOGITS)
        logp.sum().backward()

    def materialised() -> None:
        table = torch.log_softmax(head(hidden).float() / 0.7, dim=-1)
        table.gather(-1, targets.unsqueeze(-1)).sum().backward()

    for compute in (chunked, materialised):
        compute()  # gradients are there from now on, and so is what libraries take once
    assert peak_bytes(chunked, place.device) < peak_bytes(materialised, place.device) / 8
