"""Log-probabilities of chosen tokens, computed without holding the logits of a whole micro-batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F

MAX_LOGITS_PER_CHUNK = 2**24
"""Number of logits that exist at a time: 64 MiB of float32."""
Function = Callable[[torch.Tensor], torch.Tensor]


def token_logprobs(
    hidden_NH: torch.Tensor,
    weight_VH: torch.Tensor,
    bias_V: torch.Tensor | None,
    targets_N: torch.Tensor,
    *,
    temperature: float,
    after: Function | None = None,
    max_logits: int = MAX_LOGITS_PER_CHUNK,
    entropy_has_gradient: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log softmax(after(hidden weight^T + bias) / temperature)[target] and the entropy of that distribution,
    each [N] float32.

    The vocabulary is processed in chunks of ``max_logits // N`` tokens. If there is more than one chunk, the logits are
    dropped after the forward pass and recomputed in the backward pass, so that at most one chunk of logits exists at a
    time. Each chunk computes its rows of the weight's gradient completely, so that they are rounded once, and adds to
    the hidden states' gradient in float32. The entropy carries a gradient if ``entropy_has_gradient``.

    Args:
        after: an elementwise function of the logits (scaling, soft-capping); None: the identity.
    """
    logp, entropy = _TokenLogprobs.apply(hidden_NH, weight_VH, bias_V, targets_N, temperature, after, max_logits)
    return logp, entropy if entropy_has_gradient else entropy.detach()


class _TokenLogprobs(torch.autograd.Function):
    """One autograd operation, so that ZeRO 3 gathers the weight once in each direction, whatever the number of
    chunks."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_NH: torch.Tensor,
        weight_VH: torch.Tensor,
        bias_V: torch.Tensor | None,
        targets_N: torch.Tensor,
        temperature: float,
        after: Function | None,
        max_logits: int,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        chunks = list(_chunks(len(weight_VH), len(targets_N), max_logits))
        largest_N = torch.full(targets_N.shape, -torch.inf, device=hidden_NH.device)
        total_N, moment_N, chosen_N = (torch.zeros_like(largest_N) for _ in range(3))
        for chunk in chunks:
            raw_NC = _logits(hidden_NH, weight_VH, bias_V, chunk)
            logits_NC = _finished(raw_NC, after, temperature)
            before_N, largest_N = largest_N, torch.maximum(largest_N, logits_NC.amax(dim=-1))
            rescale_N = torch.exp(before_N - largest_N)
            weights_NC = torch.exp(logits_NC - largest_N.unsqueeze(-1))
            total_N = total_N * rescale_N + weights_NC.sum(dim=-1)  # sum of exp(l - largest)
            moment_N = moment_N * rescale_N + torch.einsum("nc,nc->n", weights_NC, logits_NC)  # and of l times that
            column_N = targets_N - chunk.start
            is_here_N = (column_N >= 0) & (column_N < logits_NC.shape[1])
            found_N = logits_NC.gather(1, column_N.clamp(0, logits_NC.shape[1] - 1).unsqueeze(1)).squeeze(1)
            chosen_N = torch.where(is_here_N, found_N, chosen_N)
        log_z_N = largest_N + torch.log(total_N)
        entropy_N = log_z_N - moment_N / total_N
        ctx.save_for_backward(hidden_NH, weight_VH, bias_V, targets_N, log_z_N, entropy_N)
        ctx.temperature, ctx.after, ctx.chunks = temperature, after, chunks
        ctx.kept = raw_NC if len(chunks) == 1 else None
        ctx.set_materialize_grads(False)  # the loss may read one of the two alone
        return chosen_N - log_z_N, entropy_N

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        hidden_NH, weight_VH, bias_V, targets_N, log_z_N, entropy_N = ctx.saved_tensors
        of_logp_N, of_entropy_N = gradients
        if of_logp_N is None:
            of_logp_N = torch.zeros_like(log_z_N)
        needs_hidden, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        of_hidden_NH = torch.zeros_like(hidden_NH, dtype=torch.float32) if needs_hidden else None
        of_weight_VH = torch.empty_like(weight_VH) if needs_weight else None
        of_bias_V = torch.empty_like(bias_V) if needs_bias else None
        scale_N1 = (of_logp_N / ctx.temperature).unsqueeze(1)
        for chunk in ctx.chunks:
            raw_NC = ctx.kept
            if raw_NC is None:
                raw_NC = _logits(hidden_NH, weight_VH, bias_V, chunk)
            logits_NC = _finished(raw_NC, ctx.after, ctx.temperature)
            by_p = -scale_N1
            if of_entropy_N is not None:  # dH / dl = -p (log p + H)
                by_p = by_p - (
                    (logits_NC - (log_z_N - entropy_N).unsqueeze(1)) * (of_entropy_N / ctx.temperature)[:, None]
                )
            of_logits_NC = torch.exp(logits_NC - log_z_N.unsqueeze(1)).mul_(by_p)
            column_N = targets_N - chunk.start
            here = ((column_N >= 0) & (column_N < logits_NC.shape[1])).nonzero()[:, 0]
            of_logits_NC[here, column_N[here]] += scale_N1[here, 0]
            if ctx.after is not None:
                _, of_logits_NC = torch.autograd.functional.vjp(ctx.after, raw_NC, of_logits_NC)
            given_NC = of_logits_NC.to(hidden_NH.dtype)
            if of_hidden_NH is not None:
                of_hidden_NH += given_NC @ weight_VH[chunk]
            if of_weight_VH is not None:
                torch.mm(given_NC.t(), hidden_NH, out=of_weight_VH[chunk])
            if of_bias_V is not None:
                of_bias_V[chunk] = of_logits_NC.sum(dim=0)
        of_hidden = None if of_hidden_NH is None else of_hidden_NH.to(hidden_NH.dtype)
        return of_hidden, of_weight_VH, of_bias_V, None, None, None, None


def _chunks(vocabulary: int, rows: int, max_logits: int) -> Iterator[slice]:
    """Yield slices of the vocabulary of similar size, so that ``rows`` rows of each hold at most ``max_logits``
    logits."""
    size = max(1, max_logits // max(rows, 1))
    number = -(-vocabulary // size)
    size = -(-vocabulary // number)
    for start in range(0, vocabulary, size):
        yield slice(start, min(start + size, vocabulary))


def _logits(
    hidden_NH: torch.Tensor, weight_VH: torch.Tensor, bias_V: torch.Tensor | None, chunk: slice
) -> torch.Tensor:
    """Return the logits of a chunk, [N, C] float32."""
    return F.linear(hidden_NH, weight_VH[chunk], None if bias_V is None else bias_V[chunk]).float()


def _finished(logits_NC: torch.Tensor, after: Function | None, temperature: float) -> torch.Tensor:
    """Return the model's final logits, divided by the temperature."""
    if after is not None:
        logits_NC = after(logits_NC)
    return logits_NC if temperature == 1 else logits_NC / temperature
