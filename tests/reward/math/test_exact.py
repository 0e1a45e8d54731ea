"""Properties of the exact comparison: spellings of one number are equal, different numbers never are."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.reward.math.exact import decide
from r1ray.reward.math.normalise import clean

INTEGERS = st.integers(-(10**12), 10**12)
FRACTIONS = st.builds(Fraction, st.integers(-9999, 9999), st.integers(1, 9999))


def full_width(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if sign.isdigit() else sign for sign in text)


def spellings_of(number: int) -> list[str]:
    grouped = f"{number:,}"
    return [
        str(number), grouped, grouped.replace(",", "{,}"), grouped.replace(",", r"\,"), f"{number}.0", f"{number}.",
        f"${number}$", rf"\text{{{number}}}", full_width(str(number)), f"({number})", f"{number}\\text{{ cm}}",
        rf"\frac{{{2 * number}}}{{2}}", f"{number}e0", rf"{number}\times10^0", f"x={number}", f"{{{number}}}",
        str(number).replace("-", "\u2212"), rf"\$ {number}" if number >= 0 else str(number), rf"\left({number}\right)",
    ]  # fmt: skip


@given(INTEGERS)
def test_every_spelling_of_an_integer_is_equal(number: int) -> None:
    for spelling in spellings_of(number):
        assert decide(str(number), spelling) is True, spelling


@given(INTEGERS, INTEGERS)
def test_no_spelling_of_another_integer_is_equal(left: int, right: int) -> None:
    if left != right:
        assert all(decide(str(left), spelling) is False for spelling in spellings_of(right))


@given(FRACTIONS, FRACTIONS)
def test_fractions_are_equal_exactly_when_they_are(left: Fraction, right: Fraction) -> None:
    reference = rf"\frac{{{left.numerator}}}{{{left.denominator}}}"
    for spelling in (
        rf"\dfrac{{{right.numerator}}}{{{right.denominator}}}",
        f"{right.numerator}/{right.denominator}",
        rf"{right.numerator}\div{right.denominator}",
    ):
        assert decide(reference, spelling) is (left == right)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(10, 99))
def test_a_mixed_number_is_a_sum(whole: int, top: int, bottom: int) -> None:
    assert decide(rf"\frac{{{whole * bottom + top}}}{{{bottom}}}", rf"{whole}\frac{{{top}}}{{{bottom}}}") is True


@given(FRACTIONS)
def test_a_rounded_decimal_is_not_the_fraction(value: Fraction) -> None:
    rounded = f"{float(value):.5f}"
    exact = rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    assert decide(exact, rounded) is (Fraction(rounded) == value)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True), st.randoms())
def test_a_list_has_no_order_and_a_tuple_has(numbers: list[int], random: object) -> None:
    shuffled = list(reversed(numbers))
    written, other = (", ".join(map(str, one)) for one in (numbers, shuffled))
    assert decide(written, other) is True
    assert decide(rf"\{{{written}\}}", rf"\{{{other}\}}") is True
    assert decide(f"({written})", f"({other})") is False
    assert decide(written, ", ".join(map(str, numbers[:-1]))) is False
    assert decide(str(numbers[0]), written) is False


@given(st.text(max_size=80))
def test_no_text_breaks_the_comparison(text: str) -> None:
    for reference in ("5", r"\frac{1}{2}", "x>3", r"\text{even}", "C", "(1,2)", "x^2+1"):
        assert decide(reference, text) in (True, False, None)


PIECES = [
    "\\frac", "{", "}", "1", "2", "x", "^", "_", "(", ")", "[", "]", ",", "=", "<", "\\le", "\\cup", "\\in",
    "\\{", "\\}", "\\text{cm}", "\\pm", "\\sqrt", "!", "|", "%", "^\\circ", "\\begin{pmatrix}", "\\end{pmatrix}",
    "&", "\\\\", " or ",
    "\\infty", "\\sin", "\\log", ":", "e", "i", "0", ".", "-", "+", "/", "\\mathbb{R}", "A", "\\binom", "\\approx", "$",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=14).map("".join))
def test_no_latex_breaks_the_comparison(text: str) -> None:
    for reference in ("5", "x+1", r"[0,\infty)", r"\begin{pmatrix}1\\2\end{pmatrix}", "y=2x", "5\\%", "1,2"):
        assert decide(reference, text) in (True, False, None)
    assert decide("1234567", text) is not True


@given(st.text(max_size=60))
def test_cleaning_is_stable(text: str) -> None:
    assert isinstance(clean(clean(text)), str)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("1", r"\frac{0}{0}"),
        ("5", r"\frac{5}{0}"),
        ("0", r"\infty-\infty"),
        ("1", "0^0"),
    ],
)
def test_what_has_no_value_equals_nothing(reference: str, answer: str) -> None:
    assert decide(reference, answer) is False


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        (r"5\text{ m}", r"500\text{ cm}", True),
        (r"5\text{ m}", r"5\text{ cm}", False),
        (r"2\text{ hours}", r"120\text{ minutes}", True),
        (r"5\text{ m}^2", r"5\text{ m}", False),
        ("5", r"5\text{ m}", True),
        (r"5\text{ m}", "5", True),
        (r"90^\circ", r"\frac{\pi}{2}", True),  # one angle, with a unit
        ("90", r"\frac{\pi}{2}", False),
    ],
)
def test_units_are_ignored_on_one_side_and_compared_on_two(reference: str, answer: str, verdict: bool) -> None:
    assert decide(reference, answer) is verdict


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("0", r"\text{not } 0"),
        ("0", r"\text{never } 0"),
        ("0", r"\mathrm{not}\,0"),
        ("0", "not 0"),
        ("0", "0 wrong"),
        ("0", r"x=\text{not } 0"),
        ("0", r"\text{not } 0\text{ cm}"),
        (r"0\%", r"\text{not } 0\%"),
        ("1:0", r"1:\text{not } 0"),
        ("1", r"\text{wrong}^0"),
        ("3", r"3+\text{not} 0"),
        ("x", r"x+\text{not} 0"),
        (r"\{0,1\}", r"\{\text{not } 0,1\}"),
    ],
)
def test_words_are_no_factors_that_cancel(reference: str, answer: str) -> None:
    assert decide(reference, answer) is False


@pytest.mark.parametrize(
    "answer", ["x=0", r"0\text{ cm}", r"0\text{ apples}", r"\text{The answer is } 0", "0y", "zero"]
)
def test_units_and_letters_beside_a_zero_leave_it_what_it_is(answer: str) -> None:
    assert decide("0", answer) is True
