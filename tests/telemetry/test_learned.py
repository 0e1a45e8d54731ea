from __future__ import annotations

import numpy as np

from r1ray.telemetry.learned import learned_of


def test_log_probabilities_of_a_micro_batch_are_told_by_trajectory() -> None:
    logp = np.arange(5, dtype=np.float32)
    found = learned_of(["0/0#0", "0/0#1", "0/1#0"], logp, [2, 0, 3], num_updates=1)
    assert {name: each.logprobs.tolist() for name, each in found.items()} == {
        **{"0/0#0": [0.0, 1.0], "0/0#1": [], "0/1#0": [2.0, 3.0, 4.0]}
    }
    assert {each.num_updates for each in found.values()} == {1}
