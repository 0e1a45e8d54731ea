r"""Expressions with two faces: LaTeX to be judged, and a number at any point, computed with Python's ``cmath`` alone.

Nothing here knows r1ray's parser or math-verify: a label of the set comes from the numbers of both sides.
"""

from __future__ import annotations

import cmath
import random
from collections.abc import Callable
from dataclasses import dataclass

Point = dict[str, float]
POINTS = 8
CLOSE = 1e-9


@dataclass(frozen=True, slots=True)
class Tree:
    """LaTeX, the value at a point, and how strongly its outermost operation binds (0 sum, 1 product, 2 atom)."""

    latex: str
    value: Callable[[Point], complex]
    strength: int = 2


def wrapped(tree: Tree, strength: int) -> str:
    return tree.latex if tree.strength >= strength else rf"\left({tree.latex}\right)"


def num(value: int) -> Tree:
    return Tree(str(value), lambda _: value, 2 if value >= 0 else 0)


def var(name: str) -> Tree:
    return Tree(rf"\{name}" if len(name) > 1 else name, lambda point: point[name])


def const(latex: str, value: complex) -> Tree:
    return Tree(latex, lambda _: value)


def add(*parts: Tree) -> Tree:
    text = parts[0].latex
    for part in parts[1:]:
        text += part.latex if part.latex.startswith("-") else f"+{part.latex}"
    return Tree(text, lambda point: sum(part.value(point) for part in parts), 0)


def neg(tree: Tree) -> Tree:
    return Tree(f"-{wrapped(tree, 1)}", lambda point: -tree.value(point), 0)


def sub(left: Tree, right: Tree) -> Tree:
    return Tree(f"{left.latex}-{wrapped(right, 1)}", lambda point: left.value(point) - right.value(point), 0)


def mul(left: Tree, right: Tree, sign: str = "") -> Tree:
    needs_sign = wrapped(right, 1)[:1].isdigit()
    text = wrapped(left, 1) + (sign or (r"\cdot " if needs_sign else " ")) + wrapped(right, 1)
    return Tree(text, lambda point: left.value(point) * right.value(point), 1)


def div(top: Tree, bottom: Tree, style: str = r"\frac") -> Tree:
    text = f"{wrapped(top, 2)}/{wrapped(bottom, 2)}" if style == "/" else rf"{style}{{{top.latex}}}{{{bottom.latex}}}"
    return Tree(text, lambda point: top.value(point) / bottom.value(point), 1 if style == "/" else 2)


def power(base: Tree, exponent: Tree) -> Tree:
    is_letter = len(base.latex) == 1
    text = f"{base.latex if is_letter else '(' + base.latex + ')'}^{{{exponent.latex}}}"
    return Tree(text, lambda point: complex(base.value(point)) ** exponent.value(point))


def root(tree: Tree, degree: int = 2) -> Tree:
    mark = "" if degree == 2 else f"[{degree}]"
    return Tree(rf"\sqrt{mark}{{{tree.latex}}}", lambda point: complex(tree.value(point)) ** (1 / degree))


def call(name: str, tree: Tree) -> Tree:
    function = {"ln": cmath.log}.get(name) or getattr(cmath, name)
    return Tree(rf"\{name}\left({tree.latex}\right)", lambda point: function(tree.value(point)))


def equal(left: Tree, right: Tree, names: str = "xyabnkt", *, whole: bool = False) -> bool:
    """Whether both sides have the same number at every one of some random points, which are positive."""
    draw = random.Random(len(left.latex) * 31 + len(right.latex))
    for _ in range(POINTS):
        values = (float(draw.randint(2, 12)) if whole else draw.uniform(0.3, 2.7) for _ in names)
        point = dict(zip(names, values, strict=True)) | {"theta": draw.uniform(0.3, 1.2)}
        one, other = left.value(point), right.value(point)
        if abs(one - other) > CLOSE * max(abs(one), abs(other), 1e-12):
            return False
    return True
