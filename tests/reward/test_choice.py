"""The letter that a response settles on."""

from __future__ import annotations

import pytest

from r1ray.checks import Choice
from r1ray.reward.choice import choice_score, chosen_letter
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is B", "B"),
        ("the answer is (C).", "C"),
        ("**Answer: D**", "D"),
        ("Answer:\n\nA", "A"),
        ("Answer: $\\boxed{B}$", "B"),
        ("Final answer: **(A)** because it is so", "A"),
        ("The correct option is C, not D.", "C"),
        ("The best choice would be option B.", "B"),
        ("<think>The answer is A</think>The answer is B", "B"),
        ("<think>x</think><answer>C</answer>", "C"),
        ("<think>x</think><answer>The answer is (D)</answer> The answer is A", "D"),
        (r"so \boxed{C}", "C"),
        (r"so \boxed{\text{(D)}}", "D"),
        (r"so \boxed{B. Paris}", "B"),
        (r"so \boxed{\mathrm{a}}", "A"),
        (r"First \boxed{A}; no: \boxed{B}", "B"),
        (r"\boxed{42} m, so the answer is C", "C"),
        ("Answer: A. No, wait. Answer: B", "B"),
        ("答案是B", "B"),
        ("所以答案为:**C**", "C"),
        ("综上,故选D。选项A错误。", "D"),
        ("正确选项是 A", "A"),
        ("答案:\uff22", "B"),
        ("<think>选A</think>因此选C", "C"),
        ("B", "B"),
        ("(b)", "B"),
        ("B. Paris", "B"),
        ("It follows.\n\n**C**", "C"),
        ("B. False", "B"),
        ("B. A triangle", "B"),
        ("C. not all of them", "C"),
        ("The answer is B, A is too small.", "B"),
        ("The answer is B, as A is wrong.", "B"),
        ("Answer: B, I think", "B"),
        ("A. Paris\nB. Rome\nC. Oslo\nD. Bern\n\nB", "B"),
        ("A. Paris\nB. Rome\nC. Oslo\nD. Bern\n\nB. Rome", "B"),
        ("A. Paris\nB. Rome\nC. Oslo\nD. Bern\nThe answer is C.", "C"),
        ("A) Paris B) Rome C) Oslo D) Bern\nC", "C"),
        ("- A. Paris\n- B. Rome\n\nB", "B"),
        ("Answer: B\n\nA. Paris is larger.\nC. Oslo is colder.", "B"),
        ("The answer is B. Rome\n\nA. Paris is larger.\nC. Oslo is colder.", "B"),
        ("The answer is (C)\n(B) is wrong", "C"),
        ("The answer is C) Oslo, since A) Paris and B) Rome are larger.", "C"),
        ("Answer: A. Paris\nB. is wrong.", "A"),
        ("Answer: A\n\nI am sure.", "A"),
        (r"\boxed{B}\n\nA. Paris is larger.", "B"),
        (r"so \boxed{B. The U.S. one}", "B"),
        (r"\boxed{B}, that is \boxed{B}", "B"),
    ],
)
def test_the_letter_is_found(text: str, letter: str) -> None:
    assert chosen_letter(text, 4) == letter


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A man and a dog walk in.",
        "The answer is not A.",
        "答案不是A。",
        "Option A is wrong.",
        "Answer: A or B",
        "Answer: A, B and C",
        "The answer is Apollo",
        "<think>The answer is B",
        "<think>The answer is B</think>",
        "The answer is E",
        r"\boxed{AB}",
        "A. Paris\nB. Rome\nC. Oslo\nD. Bern",
        "(A) Paris\n\n(B) Rome\n\n(C) Oslo\n\n(D) Bern",
        "A) Paris B) Rome C) Oslo D) Bern",
        "A. Paris, B. Rome, C. Oslo, D. Bern",
        r"\boxed{A. Paris B. Rome}",
        "A\nB\nC\nD",
        "B (or A, C, D)",
        "(B) or (A)",
        "Answer: B (or A, C, D)",
        "The answer is B, or maybe A.",
        "The answer is B / A",
        "The answer is (B), (C) or (D).",
        "答案是B或者C",
        "Answer: A\nAnswer: B\nAnswer: C",
        "A. Paris\nB. Rome\nC. Oslo\nD. Bern\nA. Paris\nB. Rome\nC. Oslo\nD. Bern",
        "A. Paris\nB. Rome\n\nA. Paris\nB. Rome",
        "A、Paris\nB、Rome\nOnce more:\nA、Paris\nB、Rome",
        "A. Paris\nB. Rome\nC. Oslo\nB. Rome\nA. Paris\nC. Oslo",
        "Answer: (A)\n(B)\n(C)",
        "Answer: A\n\nB\n\nC",
        "Answer:\nA. Paris\nB. Rome\nC. Oslo\nD. Bern",
        "Answer: A. Paris\n\nB. Rome\n\nC. Oslo",
        "Answer: A. Paris\nC. Oslo",
        "Answer: A. Paris B. Rome C. Oslo D. Bern",
        "Answer:\n* A\n* B",
        "Answer: A\nor B",
        "Answer: A or\nB",
        "答案是A\n或者B",
        "答案:\nA、Paris\nB、Rome",
        "#### (A)\n(B)",
        "A\nB. Rome",
        r"\boxed{A} or \boxed{B}",
        r"$\boxed{A}$, $\boxed{B}$",
        "\\boxed{A}\n(B)\n(C)",
        "(A) is wrong",
        "A: is not correct",
        "(A) isn't right",
        "The answer is A is wrong.",
        "The correct option A is incorrect",
        "A. is clearly wrong",
        r"\boxed{(A) \text{ is wrong}}",
    ],
)
def test_there_is_no_letter(text: str) -> None:
    assert chosen_letter(text, 4) is None
    assert choice_score(Choice("A", 4), text).label == "no_answer"


def test_a_line_with_hashes_counts_if_the_prompt_asks_for_it() -> None:
    assert chosen_letter("The answer is A\n#### B", 4, forms=frozenset({"hashes"})) == "B"
    assert chosen_letter("The answer is A\n#### B", 4) == "A"
    assert chosen_letter("#### A\n#### B", 4, forms=frozenset({"hashes"})) is None
    assert chosen_letter("#### A\n(B)\n(C)", 4, forms=frozenset({"hashes"})) is None


def test_letters_go_as_far_as_the_options() -> None:
    assert chosen_letter("Answer: J", 10) == "J"
    assert chosen_letter("Answer: J", 9) is None


def test_the_mark_says_which_letter() -> None:
    score = choice_score(Choice("B", 4), "Answer: C")
    assert (score.value, score.label, score.extracted) == (0.0, "wrong", "C")
    assert choice_score(Choice("C", 4), "Answer: C").value == 1.0


@pytest.mark.parametrize(
    ("start", "unit", "size"),
    [
        ("", "answer is ", 100_000),
        ("answer", " ", 500_000),
        ("", "答案是", 200_000),
        ("", "(", 500_000),
        ("", "A. x\n", 100_000),
        ("", "\\boxed{A}", 60_000),
        ("Answer: A", "\n", 500_000),
    ],
)
def test_a_megabyte_takes_linear_time(start: str, unit: str, size: int) -> None:
    assert_linear(lambda text: chosen_letter(text, 4), lambda number: start + unit * number, size)
