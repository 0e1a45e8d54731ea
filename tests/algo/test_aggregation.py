"""Denominators: of two sequences worked out by hand, and of any split of any minibatch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.algo.aggregation import row_means, row_sums, token_weights

AGGREGATIONS = ["seq_mean", "token_mean", "seq_sum", "fixed_length"]


@pytest.mark.parametrize(
    ("aggregation", "loss"), [("token_mean", -0.125), ("seq_mean", 0.25), ("fixed_length", -0.0625), ("seq_sum", -0.5)]
)
def test_aggregations_of_one_batch_differ_even_in_sign(aggregation: str, loss: float) -> None:
    """Two sequences of lengths 2 (loss +1 each token) and 6 (loss -0.5 each); the fixed length is 8."""
    per_token = torch.tensor([1.0] * 2 + [-0.5] * 6)
    weights = token_weights(
        torch.tensor([2, 6]), aggregation=aggregation, num_sequences=2, num_tokens=8, max_completion_tokens=8
    )
    assert (per_token * weights).sum().item() == pytest.approx(loss)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.sampled_from(AGGREGATIONS))
def test_weights_of_a_minibatch_do_not_depend_on_its_split(lengths: list[int], aggregation: str) -> None:
    totals = {"num_sequences": len(lengths), "num_tokens": sum(lengths), "max_completion_tokens": 9}
    parts = [token_weights(torch.tensor([n]), aggregation=aggregation, **totals) for n in lengths]
    whole = token_weights(torch.tensor(lengths), aggregation=aggregation, **totals)
    assert torch.equal(torch.cat(parts), whole) and bool(whole.isfinite().all())
    expected = {
        "seq_mean": sum(n > 0 for n in lengths) / len(lengths),
        "token_mean": float(sum(lengths) > 0),
        "seq_sum": sum(lengths) / len(lengths),
        "fixed_length": sum(lengths) / len(lengths) / 9,
    }
    assert whole.sum().item() == pytest.approx(expected[aggregation], rel=1e-5)


def test_an_aggregation_has_to_be_known_and_a_fixed_length_given() -> None:
    for aggregation in ("mean", "fixed_length"):
        with pytest.raises(ValueError, match="unknown aggregation"):
            token_weights(torch.tensor([1]), aggregation=aggregation, num_sequences=1, num_tokens=1)


def test_rows_are_summed_and_averaged_and_empty_ones_are_0() -> None:
    values, lengths = torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2, 0, 1])
    assert row_sums(values, lengths).tolist() == [4.0, 0.0, 5.0]
    assert row_means(values, lengths).tolist() == [2.0, 0.0, 5.0]
