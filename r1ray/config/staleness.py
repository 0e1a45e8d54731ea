"""Objectives that bound what they do with tokens of an older policy, for ``algo.max_staleness`` above 0.

A token's gradient is its advantage times a factor: rho against the policy that sampled it, or rho against the learner
before the step times a weight. The factor has to have an upper bound, for either sign of the advantage; else a few old
tokens decide a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from r1ray.config.algo import AlgoConfig

LARGEST_BOUND = 10.0
"""A larger factor bounds nothing. The paper's clip, 1 + 10, is for tokens of the policy itself; CISPO's is 5."""
BOUNDED_WEIGHTS = ("token_tis", "token_mask", "sequence_tis", "sequence_mask")
"""Corrections whose weights are at most ``correction_cap``. A geometric mask bounds the mean over an output, and no
token of it."""


def unbounded_choice(algo: AlgoConfig) -> tuple[str, str] | None:
    """Return the choice that leaves tokens of an older policy without a bound, and the one that is needed; None if they
    have one."""
    correction = algo.resolved_correction
    is_weighted = correction in BOUNDED_WEIGHTS and algo.correction_cap <= LARGEST_BOUND
    if correction in BOUNDED_WEIGHTS and not is_weighted:
        return f"algo.correction_cap={algo.correction_cap:g}", f"algo.correction_cap of at most {LARGEST_BOUND:g}"
    if correction == "geometric_mask":
        return f"algo.correction={correction}", "algo.correction=token_tis"
    if algo.surrogate in ("clip", "weight") and 1.0 + algo.clip_high > LARGEST_BOUND:
        return f"algo.clip_high={algo.clip_high:g}", f"algo.clip_high of at most {LARGEST_BOUND - 1.0:g}"
    if is_weighted or algo.surrogate == "weight":
        return None
    if algo.surrogate != "clip":
        return f"algo.surrogate={algo.surrogate} without a correction", "algo.correction=token_tis"
    if algo.dual_clip is None or algo.dual_clip > LARGEST_BOUND:
        shown = "null" if algo.dual_clip is None else f"{algo.dual_clip:g}"
        return f"algo.dual_clip={shown} without a correction", "algo.dual_clip=3"
    return None


def check_staleness(algo: AlgoConfig) -> None:
    """Raise ValueError for an objective that is not fit for ``algo.max_staleness``."""
    if algo.max_staleness == 0:
        return
    if algo.old_logprobs == "learner" and algo.resolved_correction == "none":
        if algo.allow_unweighted_staleness:
            return
        raise ValueError(
            f"algo.max_staleness={algo.max_staleness}: algo.old_logprobs=learner without a correction clips around a "
            "policy that sampled nothing; needs algo.correction=auto, algo.old_logprobs=engine, algo=async, or, if "
            "that is meant, algo.allow_unweighted_staleness=true."
        )
    unbounded = unbounded_choice(algo)
    if unbounded is not None and not algo.allow_unbounded_staleness:
        choice, needed = unbounded
        raise ValueError(
            f"algo.max_staleness={algo.max_staleness}: {choice} does not bound what is done with tokens of an older "
            f"policy; needs algo=async, {needed}, or, if that is meant, algo.allow_unbounded_staleness=true."
        )
