"""Parity on fresh tokens, a check of each publish at no cost: engine and learner have to agree as in the first steps.

Fresh tokens were sampled by the version being trained, so their log-probabilities in engine and learner differ only
by numerics. In float32 the difference is negligible; in bfloat16 it depends on model and kernels, and the run's first
steps show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MEAN, KL = "mismatch/fresh_mean_logprob_diff", "mismatch/fresh_kl"
FIRST = 4
"""Steps that determine the usual value."""
FACTOR = {MEAN: 2.0, KL: 4.0}
"""Multiple of the usual value above which something has changed."""
FLOORS = {"float32": {MEAN: 1e-4, KL: 1e-7}, "bfloat16": {MEAN: 0.02, KL: 1e-3}}
"""Values that are never suspicious, because rounding causes them. Unit: nats."""


def is_suspicious(metrics: Mapping[str, float], history: Sequence[Mapping[str, float]], *dtypes: str) -> bool:
    """Return whether the fresh tokens of a step suggest that an engine does not hold the learner's weights, so that the
    parity probe has to decide. Without fresh tokens the result is False.

    Args:
        metrics: metrics of the step.
        history: lines of metrics.jsonl before it.
        dtypes: dtypes in which engines and learner compute.
    """
    floors = FLOORS["bfloat16" if "bfloat16" in dtypes else "float32"]
    for name, floor in floors.items():
        usual = [line[name] for line in history if name in line][:FIRST]
        bound = max(floor, FACTOR[name] * max(usual)) if usual else floor
        if not metrics.get(name, 0.0) <= bound:  # true for NaN, too
            return True
    return False
