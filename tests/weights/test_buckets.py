from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from r1ray.weights.buckets import TensorMeta, plan_buckets

metas = st.lists(
    st.builds(
        lambda i, dtype, n: TensorMeta(f"t{i}", dtype, (n,)),
        st.integers(),
        st.sampled_from(["float32", "bfloat16", "uint8"]),
        st.integers(1, 300),
    ),
    max_size=30,
)


@given(metas, st.integers(1, 1000))
def test_order_is_kept_budget_is_kept_and_dtypes_are_not_mixed(tensors: list[TensorMeta], max_bytes: int) -> None:
    buckets = plan_buckets(tensors, max_bytes=max_bytes)
    assert [meta for bucket in buckets for meta in bucket] == tensors
    for bucket in buckets:
        assert len({meta.dtype for meta in bucket}) == 1
        assert len(bucket) == 1 or sum(meta.num_bytes for meta in bucket) <= max_bytes


def test_bytes_are_those_of_shape_and_dtype() -> None:
    assert TensorMeta("w", "bfloat16", (3, 5)).num_bytes == 30
