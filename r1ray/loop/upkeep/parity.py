"""The free layer of a publish's verification: do engine and learner agree on fresh tokens as they did at first?

Fresh tokens were sampled by the version that is trained, so that their log-probabilities under the engine and under
the learner differ by numerics alone. In float32 they differ by nothing that matters; in bfloat16 by an amount that
depends on model and kernels, which the run's first steps show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MEAN, KL = "mismatch/fresh_mean_logprob_diff", "mismatch/fresh_kl"
FIRST = 4
"""Steps that show what is usual."""
FACTOR = {MEAN: 2.0, KL: 4.0}
"""Above so many times the usual value, something has changed."""
FLOORS = {"float32": {MEAN: 1e-4, KL: 1e-7}, "bfloat16": {MEAN: 0.02, KL: 1e-3}}
"""What is never suspicious, nats: rounding."""


def is_suspicious(metrics: Mapping[str, float], history: Sequence[Mapping[str, float]], *dtypes: str) -> bool:
    """Judge by the fresh tokens of a step whether an engine may not hold the learner's weights: then the parity probe
    has to tell. No fresh tokens say nothing.

    Args:
        metrics: of the step.
        history: lines of metrics.jsonl before it.
        dtypes: what engines and learner compute in.
    """
    floors = FLOORS["bfloat16" if "bfloat16" in dtypes else "float32"]
    for name, floor in floors.items():
        usual = [line[name] for line in history if name in line][:FIRST]
        bound = max(floor, FACTOR[name] * max(usual)) if usual else floor
        if not metrics.get(name, 0.0) <= bound:  # NaN is not below it
            return True
    return False
