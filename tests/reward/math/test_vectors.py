"""Sums of unit vectors against their components."""

from __future__ import annotations

import pytest

from r1ray.reward.math.exact import decide


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"3\mathbf{i}-4\mathbf{j}", "(3,-4)", True),
        (r"\langle 1,2,3\rangle", r"\hat{i}+2\hat{j}+3\hat{k}", True),
        (r"\begin{pmatrix}2\\-3\end{pmatrix}", r"2\hat{\imath}-3\hat{\jmath}", True),
        ("3i+4j", r"3\vec{i}+4\vec{j}", True),
        (r"3\mathbf{i}-4\mathbf{j}", "(-4,3)", False),
        (r"3\mathbf{i}+4\mathbf{j}", "3i+4", False),
        (r"3\mathbf{i}+4\mathbf{j}", "7", False),
        ("3+4i", "(3,4)", False),
    ],
)
def test_a_vector_is_its_components(reference: str, answer: str, verdict: bool) -> None:
    assert (decide(reference, answer) is True) is verdict
