"""References that no answer can be judged by are found before anything is sampled."""

from __future__ import annotations

import subprocess
import sys

import pytest

from r1ray.reward.math.reference_answer import reference_problem


@pytest.mark.parametrize(
    "reference",
    ["", "  ", r"\frac{1}{2", "}{", r"\frac{}", r"\sqrt", "...", "$$", "null", "NaN", "x" * 3000, "5\ufffd", "\u0665",
     r"\begin{pmatrix}1"],
)  # fmt: skip
def test_broken_references_have_a_problem(reference: str) -> None:
    assert reference_problem(reference)


@pytest.mark.parametrize(
    "reference",
    ["29", r"\frac12", r"\text{even}", "C", r"\{1,2\}", r"\begin{pmatrix}1\\2\end{pmatrix}", r"\infty", r"\emptyset",
     "\u661f\u671f\u4e09", r"x^2+1", r"\sqrt[3]{2}", r"\$18", r"(-\infty, 3]", r"\pi", "None"],
)  # fmt: skip
def test_usable_references_have_none(reference: str) -> None:
    assert reference_problem(reference) is None


def test_looking_at_references_imports_no_computer_algebra() -> None:
    code = "import sys, r1ray.reward.math.verifier; sys.exit('sympy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
