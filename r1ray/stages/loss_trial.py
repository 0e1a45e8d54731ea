"""A loss or an advantage of the user's own, tried on a few small inputs before anything starts.

What a run would find out after its first rollout is found here: a wrong shape or dtype, what is not a number, and a
gradient that does not reach the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from r1ray.algo.advantage import Array
from r1ray.algo.inputs import AdvantageInputs, LossInputs

CLIPS = (0.2, 0.28)
REWARDS = ([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0]], [[0.25, -1.0, 3.0]], [[1.0, 1.0], [0.5]])
"""Steps of some groups: of unlike sizes, one alone, with equal rewards and of a single output."""


def surrogate_problem(function: Callable[[LossInputs], Any]) -> str | None:
    """Return why a surrogate cannot be trained by; None if nothing speaks against it."""
    reached = False
    for inputs in _loss_inputs():
        before = _copied(inputs)
        try:
            returned = function(inputs)
        except Exception as error:  # the user's code may do anything
            return f"on {_size(inputs)} it raised {type(error).__name__}: {error}"
        problem = _returned_problem(returned, inputs)
        if problem is None and not all(torch.equal(a, b) for a, b in zip(before, _copied(inputs), strict=True)):
            problem = "it changed its inputs; needs new tensors"
        if problem is not None:
            return f"on {_size(inputs)} {problem}"
        reached |= _moves(returned[0], inputs.logp_N)
    return None if reached else "its first value has no gradient at logp_N: nothing would be learned"


def baseline_problem(function: Callable[[AdvantageInputs], Any]) -> str | None:
    """Return why a baseline cannot be trained by; None if nothing speaks against it."""
    for rewards in REWARDS:
        groups = [np.array(group) for group in rewards]
        lengths = [np.array([0.0, *[7.0] * (len(group) - 1)]) for group in rewards]  # the first is masked out
        given = [group.copy() for group in groups]
        try:
            returned = function(AdvantageInputs(rewards_PG=given, lengths_PG=lengths))
        except Exception as error:  # the user's code may do anything
            return f"of the rewards {rewards} it raised {type(error).__name__}: {error}"
        problem = _numbers_problem(returned, groups)
        if problem is None and not all(np.array_equal(a, b) for a, b in zip(given, groups, strict=True)):
            problem = "it changed its inputs; needs new arrays"
        if problem is not None:
            return f"of the rewards {rewards} {problem}"
    return None


def _loss_inputs() -> Iterator[LossInputs]:
    """Yield micro-batches: of several outputs, of one token, on policy, and far from it on either side."""
    generator = torch.Generator().manual_seed(0)
    for lengths, drift in (((3, 1, 2), 0.5), ((1,), 0.0), ((2, 2), 0.0), ((4, 2), 3.0)):
        lengths_B = torch.tensor(lengths)
        size = (int(lengths_B.sum()),)
        logp_N = (-2.0 * torch.rand(size, generator=generator) - 0.1).requires_grad_()
        old_N = logp_N.detach() + drift * torch.randn(size, generator=generator)
        advantages_B = torch.tensor([1.0, -1.0, 0.5][: len(lengths)])
        yield LossInputs(
            logp_N=logp_N,
            ratio_N=torch.exp(logp_N - old_N),
            old_logp_N=old_N,
            rollout_logp_N=old_N.clone(),
            ref_logp_N=None if drift else old_N.clone(),
            advantage_N=advantages_B.repeat_interleave(lengths_B),
            fresh_N=torch.arange(size[0]) % 2 == 0,
            lengths_B=lengths_B,
            clip_low=CLIPS[0],
            clip_high=CLIPS[1],
        )


def _size(inputs: LossInputs) -> str:
    return f"{len(inputs.logp_N)} tokens of {len(inputs.lengths_B)} outputs"


def _copied(inputs: LossInputs) -> list[torch.Tensor]:
    named = (inputs.logp_N, inputs.ratio_N, inputs.old_logp_N, inputs.rollout_logp_N, inputs.advantage_N)
    return [each.detach().clone() for each in (*named, inputs.fresh_N, inputs.lengths_B)]


def _returned_problem(returned: object, inputs: LossInputs) -> str | None:
    """Return what is wrong with the two values of a surrogate."""
    if not isinstance(returned, tuple) or len(returned) != 2:
        return f"it returned {_shown(returned)}; needs a pair: the objective [N], and where it was clipped [N]"
    for what, value, dtype in zip(("first", "second"), returned, (inputs.logp_N.dtype, torch.bool), strict=True):
        if not isinstance(value, torch.Tensor) or value.shape != inputs.logp_N.shape or value.dtype != dtype:
            needed = f"a tensor [{len(inputs.logp_N)}] of {dtype}"
            return f"its {what} value is {_shown(value)}; needs {needed}"
    if not bool(returned[0].isfinite().all()):
        return f"its first value is {returned[0].tolist()}; needs finite numbers"
    if returned[0].requires_grad and not bool(_gradient(returned[0], inputs.logp_N).isfinite().all()):
        return "its gradient is not finite"
    return None


def _gradient(value_N: torch.Tensor, logp_N: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(value_N.sum(), logp_N, allow_unused=True, retain_graph=True)
    return torch.zeros_like(logp_N) if found is None else found


def _moves(value_N: torch.Tensor, logp_N: torch.Tensor) -> bool:
    return value_N.requires_grad and bool(_gradient(value_N, logp_N).any())


def _numbers_problem(returned: object, groups: Sequence[Array]) -> str | None:
    """Return what is wrong with the advantages of some groups."""
    needed = f"an array for each group, of {', '.join(str(len(group)) for group in groups)} numbers"
    if not isinstance(returned, Sequence) or len(returned) != len(groups):
        return f"it returned {_shown(returned)}; needs {needed}"
    for value, group in zip(returned, groups, strict=True):
        is_array = isinstance(value, np.ndarray) and value.shape == group.shape and value.dtype.kind in "fiu"
        if not is_array:
            return f"it returned {_shown(value)} for a group of {len(group)}; needs {needed}"
        if not np.isfinite(value).all():
            return f"it returned {value.tolist()}; needs finite numbers"
    return None


def _shown(value: object) -> str:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"a {type(value).__name__} {list(value.shape)} of {value.dtype}"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a {type(value).__name__}"
