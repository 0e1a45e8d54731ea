r"""Pairs of expressions: a form, the same in another form, and near misses; the label is what the numbers say."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.reward.math.labels.trees import (
    Tree,
    add,
    call,
    const,
    div,
    equal,
    mul,
    neg,
    num,
    power,
    root,
    sub,
    var,
)

Labelled = tuple[str, str, str, bool]
"""Category, reference, answer, label."""
X, Y, A, B, N, T = map(var, "xyabnt")
THETA = var("theta")


def polynomials(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b, c = draw.randint(1, 9), draw.randint(1, 9), draw.randint(2, 5)
    square = power(X, num(2))
    return add(mul(num(c), square), mul(num(c * (a + b)), X), num(c * a * b)), [
        mul(mul(num(c), add(X, num(a))), add(X, num(b))),
        mul(num(c), add(square, mul(num(a + b), X), num(a * b))),
        add(num(c * a * b), mul(num(c * (a + b)), X), mul(num(c), square)),
        mul(mul(num(c), add(X, num(a))), sub(X, num(b))),
        add(mul(num(c), square), mul(num(c * (a + b)), X), num(c * a * b + 1)),
        add(mul(num(c), power(X, num(3))), mul(num(c * (a + b)), X), num(c * a * b)),
    ]


def fractions(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b = draw.randint(1, 9), draw.randint(10, 19)
    left, right = add(X, num(a)), add(X, num(b))
    return div(num(b - a), mul(left, right)), [
        sub(div(num(1), left), div(num(1), right)),
        div(num(b - a), mul(right, left), "/"),
        div(num(a - b), neg(mul(left, right)), r"\dfrac"),
        add(div(num(1), left), div(num(1), right)),
        div(num(b - a), add(power(X, num(2)), num(a * b))),
        sub(div(num(1), right), div(num(1), left)),
    ]


def radicals(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b = draw.randint(2, 9), draw.choice([2, 3, 5, 6, 7, 10, 11, 13])
    return mul(num(a), root(num(b))), [
        root(num(a * a * b)),
        div(num(a * b), root(num(b))),
        mul(root(num(b)), num(a), r"\cdot "),
        root(num(a * b)),
        mul(num(b), root(num(a))),
        neg(root(num(a * a * b))),
    ]


def roots_of_variables(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b = draw.randint(2, 7), draw.randint(1, 8)
    inner = add(N, num(b))
    return root(div(num(a), inner)), [
        div(root(num(a)), root(inner)),
        div(root(mul(num(a), inner)), inner),
        mul(root(num(a)), power(inner, const(r"-\frac{1}{2}", -0.5))),
        div(num(a), root(inner)),
        root(div(inner, num(a))),
        div(root(num(a)), inner),
    ]


def roots_of_two(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a = draw.randint(2, 9)
    return root(div(mul(num(a), A), B)), [
        div(root(mul(mul(num(a), A), B)), B),
        div(root(mul(num(a), A)), root(B)),
        mul(root(num(a)), root(div(A, B))),
        div(root(mul(mul(num(a), A), B)), A),
        root(div(mul(num(a), B), A)),
        div(mul(num(a), root(A)), root(B)),
    ]


def trigonometry(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a = draw.randint(2, 9)
    sine, cosine = call("sin", THETA), call("cos", THETA)
    return mul(num(a), call("sin", mul(num(2), THETA))), [
        mul(mul(num(2 * a), sine), cosine),
        div(mul(num(2 * a), call("tan", THETA)), add(num(1), power(call("tan", THETA), num(2)))),
        sub(mul(num(a), power(add(sine, cosine), num(2))), num(a)),
        mul(mul(num(a), sine), cosine),
        mul(num(a), call("cos", mul(num(2), THETA))),
        mul(num(2 * a), sine),
    ]


def logarithms(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b = draw.randint(2, 9), draw.randint(2, 9)
    return add(call("ln", num(a)), mul(num(b), call("ln", X))), [
        call("ln", mul(num(a), power(X, num(b)))),
        add(mul(num(b), call("ln", X)), call("ln", num(a))),
        sub(call("ln", num(a * a)), call("ln", div(num(a), power(X, num(b))))),
        call("ln", power(mul(num(a), X), num(b + 1))),
        mul(call("ln", num(a)), mul(num(b), call("ln", X))),
        call("ln", add(num(a), power(X, num(b)))),
    ]


def exponentials(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b = draw.randint(2, 6), draw.randint(2, 6)
    e = const("e", 2.718281828459045235)
    return mul(num(a), power(e, mul(num(b), T))), [
        mul(num(a), power(power(e, T), num(b))),
        div(num(a), power(e, neg(mul(num(b), T)))),
        mul(num(a), power(e, add(T, mul(num(b - 1), T)))),
        mul(num(a), power(e, neg(mul(num(b), T)))),
        power(mul(num(a), e), mul(num(b), T)),
        mul(num(b), power(e, mul(num(a), T))),
    ]


def complex_numbers(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a, b = draw.randint(1, 9), draw.randint(1, 9)
    i = const("i", 1j)
    return add(num(a), mul(num(b), i)), [
        add(mul(i, num(b)), num(a)),
        sub(num(a), mul(num(-b), i)),
        div(add(num(-b), mul(num(a), i)), i),
        sub(num(a), mul(num(b), i)),
        add(num(b), mul(num(a + 10), i)),
        add(num(a), num(b)),
    ]


def sums(draw: random.Random) -> tuple[Tree, list[Tree]]:
    a = draw.randint(2, 9)
    total = Tree(rf"\sum_{{k=1}}^{{n}} {a}k", lambda point: a * sum(range(1, int(point["n"].real) + 1)), 1)
    half = div(mul(mul(num(a), N), add(N, num(1))), num(2))
    return total, [
        half,
        Tree(rf"{a}\sum_{{i=1}}^{{n}} i", total.value, 1),
        add(div(mul(num(a), power(N, num(2))), num(2)), div(mul(num(a), N), num(2))),
        div(mul(mul(num(a), N), sub(N, num(1))), num(2)),
        mul(num(a), mul(N, add(N, num(1)))),
        div(mul(N, add(N, num(1))), num(2)),
    ]


KINDS = {
    "polynomial": polynomials, "rational": fractions, "radical": radicals, "root_of_variable": roots_of_variables,
    "root_of_two": roots_of_two, "trigonometry": trigonometry, "logarithm": logarithms,
    "exponential": exponentials, "complex": complex_numbers, "sum": sums,
}  # fmt: skip


def pairs(draw: random.Random, *, rounds: int) -> Iterator[Labelled]:
    for _ in range(rounds):
        for kind, make in KINDS.items():
            reference, answers = make(draw)
            for answer in answers:
                yield kind, reference.latex, answer.latex, equal(reference, answer, whole=kind == "sum")
