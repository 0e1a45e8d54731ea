"""Built-in prompts for audits without the user's own: mathematics, options, programs, instructions, a puzzle."""

from __future__ import annotations

from r1ray.checks import (
    AssertCase,
    CallCase,
    Check,
    Choice,
    CodeTests,
    Countdown,
    Instructions,
    MathAnswer,
    Rule,
    StdioCase,
)
from r1ray.types import Prompt

MATH = {
    "How many eggs are left of 50, if each of 4 children eats 2?": "42",
    "A train takes three hours for 9 miles. How many miles does it go in one hour?": "3",
    "How many legs has the sum of one insect and half a couple?": "7",
    "How many fingers has one hand?": "5",
    "How many apples are left of three, if all of them are eaten?": "0",
    "What is the share of the first of three equal heirs?": "\\frac{1}{3}",
    "How long is the side of a square of area 0.1296?": "0.36",
    "What is the binary number thirteen, read as its digits?": "1101",
    "What is the limit of the first sequence, which falls below every bound?": "-\\infty",
    "What is the limit of the second sequence, which rises above every bound?": "\\text{infinity}",
    "这个数列的极限是什么?": "正无穷",
    "For which numbers is the square not negative?": "\\mathbb{R}",
    "For which numbers is the logarithm defined?": "\\mathbb{R}^+",
    "For which x does the inequality hold?": "\\text{all real numbers}",
    "Solve the system of both equations.": "x=1,y=2",
    "Write the product of the first odd numbers as a factorial.": "5!!",
    "When does the bus leave?": "11:05",
    "By how much did the price rise?": "5\\%",
    "What does the first experiment always come to?": "1",
    "What is the balance at the end?": "-12",
    "For which x is the root defined?": "[2,5)",
    "Which values of x are allowed?": "x\\leq 3",
    "Expand the product.": "x^2-5x+6",
}
"""Questions and references. The battery uses the reference; the question only has to be a question."""


def built_in_prompts() -> list[Prompt]:
    """Return prompts of several kinds of check, including one of mathematics that opens the reasoning."""
    math = [_prompt(f"math {i}", text, MathAnswer(answer), "math") for i, (text, answer) in enumerate(MATH.items())]
    opened = [_prompt("math, opened", "What is 3+4? Think first.\n<think>\n", MathAnswer("7"), "math")]
    return [*math, *opened, *_others()]


def _others() -> list[Prompt]:
    capital = "Which city is the capital of Peru?\nA. Cusco\nB. Arequipa\nC. Trujillo\nD. Lima"
    add = "Write a program that reads two numbers and prints their sum.\nInput:\n1 2\nOutput:\n3"
    cases = (StdioCase("1 2\n", "3\n"), StdioCase("20 22\n", "42\n"))
    calls = (CallCase("[1, 2]", "3"), CallCase("[20, 22]", "42"))
    asserts = (AssertCase("assert add(1, 2) == 3\nassert add(20, 22) == 42"),)
    rules = (Rule("length_constraints:number_words", '{"relation": "at least", "num_words": 12}'),)
    return [
        _prompt("options", capital, Choice("D", 4), "stem"),
        _prompt("options, first", "Which number is even?\nA. 2\nB. 3\nC. 5", Choice("A", 3), "stem"),
        _prompt("program", add, CodeTests(language="python", cases=cases), "code"),
        _prompt("function", "Write add(a, b).", CodeTests(language="python", cases=calls, entry="add"), "code"),
        _prompt("asserts", "Write add(a, b).", CodeTests(language="python", cases=asserts, entry="add"), "code"),
        _prompt("instructions", "Describe rain in at least 12 words.", Instructions(rules), "general"),
        _prompt("puzzle", "Make 28 of 44, 19 and 35, each used once.", Countdown((44, 19, 35), 28), "logic"),
    ]


def _prompt(name: str, text: str, check: Check, domain: str) -> Prompt:
    return Prompt(id=name, text=text, check=check, domain=domain, language="zh" if text[0] > "\u3000" else "en")
