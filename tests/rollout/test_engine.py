from __future__ import annotations

import numpy as np

from r1ray.rollout.engine import joined_experts
from r1ray.types import ExpertsArray, Segment


def experts(*rows: int) -> ExpertsArray:
    return np.array(rows, dtype=np.uint8).reshape(-1, 1, 1)


def begun(*rows: int) -> Segment:
    """Two tokens that were sampled before their trajectory was aborted."""
    ids, logprobs = np.array([5, 6], np.int32), np.zeros(2, np.float32)
    return Segment(kind="policy", token_ids=ids, logprobs=logprobs, experts=experts(*rows))


def test_what_went_on_keeps_the_experts_of_its_first_reading() -> None:
    found = joined_experts(begun(1, 2, 3), experts(9, 9, 9, 4, 5))
    assert found is not None and found.ravel().tolist() == [1, 2, 3, 4, 5]


def test_experts_are_those_of_the_engine_where_nothing_was_begun() -> None:
    for before in (None, begun()):
        found = joined_experts(before, experts(7, 8))
        assert found is not None and found.ravel().tolist() == [7, 8]
    assert joined_experts(None, None) is None


def test_what_was_aborted_again_before_it_went_on_keeps_its_experts() -> None:
    found = joined_experts(begun(1, 2, 3), None)
    assert found is not None and found.ravel().tolist() == [1, 2, 3]
