r"""Equations and inequalities: the values that they name, contradictions within one, and equality of two."""

from __future__ import annotations

import re
from itertools import pairwise

from r1ray.reward.math import evaluate, structure, units, words
from r1ray.reward.math.expression import Node
from r1ray.reward.math.quantities import compact, is_scalar, node_of

LABEL = re.compile(
    r"\\frac\s*\{\s*d[A-Za-z]?\s*\}\s*\{\s*d[a-z]\s*\}|"
    r"(?!\\(?:sqrt|ln|log|lg|exp|sin|cos|tan|cot|sec|csc|cbrt|binom)(?![a-z]))"
    r"(?:[A-Za-z]|\\[A-Za-z]+(?:\{[A-Za-z ]{1,30}\})?|[A-Z]{2,4}|[A-Za-z]{3,20})"
    r"(?:_\s*(?:\{[^{}]*\}|[A-Za-z0-9]))?'{0,3}"
    r"(?:\s*\(\s*[A-Za-z](?:\s*,\s*[A-Za-z])*\s*\))?(?:\^\{?-1\}?\s*\(\s*[A-Za-z]\s*\))?|\|[A-Z]{2}\|"
    r"|[A-Za-z]\^\{-1\}\([A-Za-z]\)"
)


_ARGUMENT = r"\(\s*(?:[-+0-9./,A-Z=| ]|\\[A-Za-z]+|\{|\}|[a-z](?=\s*[=,)|])){1,40}\)"
NAMED = re.compile(
    rf"(?:[fghFGHPE]|\\(?:det|gcd|max|min|dim|deg|Re|Im|arg)"
    rf"|\\text\{{[A-Za-z ]{{2,30}}\}}|gcd|lcm|det)'{{0,3}}\s*{_ARGUMENT}"
    r"|(?:\\angle|\\triangle|\\text\{m\}\s*\\angle|m\s*\\angle)\s*(?:[A-Z0-9]{1,4}|\{[A-Z]{1,4}\}|\\[a-z]+)"
    r"|\\(?:sin|cos|tan|cot|sec|csc)\s*\(?\s*(?:[A-Z]|\\angle\s*[A-Z]{1,3}|\\(?:theta|alpha|beta|gamma|phi))\s*\)?"
    r"|\\overline\s*\{[A-Z]{2}\}|(?:S|V|A|P)_\s*\{[^{}]{1,40}\}|\|\s*\\vec\{[A-Za-z]{1,2}\}\s*\|"
    r"|\\(?:lim|int|iint|oint|sum|prod)(?![a-z]).{1,200}",
    re.DOTALL,
)
"""Sides of an equation that only name what its other side says: ``f(3)``, ``\\angle ABC``, ``\\sin A``."""
_PRODUCTS = frozenset("abc abcd xyz xyzw mnp pqr rst uvw".split())  # noqa: SIM905


def names(side: str) -> bool:
    """Return whether a side of an equation is only a name for the value on the other side."""
    held = structure.brackets(side)
    if held and all(LABEL.fullmatch(item) for item in held.items):  # (x, y) = (1, 2)
        return True
    return (LABEL.fullmatch(side) or NAMED.fullmatch(side)) is not None and side not in _PRODUCTS


def claimed(found: structure.Chain) -> str | None:
    """Return the value that an equation gives: the value that its first side names, the result of a calculation, or the
    value that its last side names. None for an equation that has to be solved (``2x + 1 = 5``)."""
    first, last = found.sides[0], found.sides[-1]
    if names(first) and not words.number_word(first):
        return last
    a, b = (node_of(units.separate(side).text) for side in (first, last))
    if a is not None and b is not None and evaluate.equal(a, b):
        return last
    return first if LABEL.fullmatch(last) and last not in ("e", "i", r"\pi") else None


def before_approximation(text: str) -> str:
    r"""Return the exact value before an approximation: ``2\sqrt{5}`` of ``2\sqrt{5} \approx 4.47``. A text such as
    ``x \approx 4.47`` is returned unchanged, and so is one whose values are not near each other."""
    pieces = structure.split(text, frozenset((r"\approx",))) if "approx" in text else []
    if len(pieces) < 2 or not pieces[0][1] or LABEL.fullmatch(pieces[0][1]):
        return text
    sides = [node_of(units.separate(piece).text) for _, piece in pieces]
    values = [side for side in sides if side is not None and not evaluate.variables(side)]
    is_near = all(evaluate.near(values[0], other) for other in values[1:])
    return pieces[0][1] if is_near else text


def label_of(item: str) -> str:
    found = structure.chain(item)
    if found and set(found.signs) == {"="} and LABEL.fullmatch(found.sides[0]):
        return compact(found.sides[0])
    return ""


def value_of(item: str) -> str:
    found = structure.chain(item)
    return found.sides[-1] if found and label_of(item) else item


def base_name(label: str) -> str:
    return re.sub(r"_.*$|[0-9']+$", "", label)


def label(found: structure.Chain | None) -> str:
    if found is None:
        return ""
    held = structure.brackets(found.sides[0])
    if held and all(LABEL.fullmatch(item) for item in held.items):  # (x, y) = (1, 2)
        return compact(found.sides[0])
    for side in (found.sides[0], found.sides[-1]):
        if LABEL.fullmatch(side) and side not in ("e", "i", r"\pi") and not words.number_word(side):
            return compact(side)
    return ""


def same_label(left: str, right: str) -> bool:
    """Return whether two labels are the same. ``f(x) =`` and ``y =`` are, since both only name the value."""
    named = [bool(re.fullmatch(r"[a-zA-Z]\([a-z]\)|y", label)) for label in (left, right)]
    return left == right or all(named)


def is_constant(text: str) -> bool:
    node = node_of(units.separate(text).text)
    return node is not None and not evaluate.variables(node)


def has_false_step(found: structure.Chain) -> bool:
    """Return whether two neighbours in a chain of equals are different numbers."""
    for left, right in pairwise(found.sides):
        a, b = node_of(units.separate(left).text), node_of(units.separate(right).text)
        if a is None or b is None or evaluate.variables(a) or evaluate.variables(b):
            continue
        if units.separate(left).unit == units.separate(right).unit and not evaluate.equal(a, b):
            return True
    return False


def _difference(found: structure.Chain) -> Node | None:
    first, last = node_of(found.sides[0]), node_of(found.sides[-1])
    return None if first is None or last is None else Node("add", (first, Node("neg", (last,))))


def same_equation(left: structure.Chain, right: structure.Chain) -> bool | None:
    a, b = _difference(left), _difference(right)
    if a is None or b is None:
        return None
    if evaluate.proportional(a, b):
        return True
    simple = len(left.sides) == len(right.sides) == 2 and all(label(side) for side in (left, right))
    if simple or evaluate.variables(a) != evaluate.variables(b) or (_is_curve(a) and _is_curve(b)):
        return False
    return None


_POLYNOMIAL = frozenset(("num", "var", "add", "neg", "mul", "pow"))


def _is_curve(difference: Node) -> bool:
    """Return whether a difference is a polynomial in two or more variables. Polynomials that are no multiples of each
    other are then different curves (powers and factors without real zeros are not considered)."""
    return len(evaluate.variables(difference)) > 1 and evaluate.kinds(difference) <= _POLYNOMIAL


def decide_inequalities(
    reference: str, answer: str, left: structure.Chain | None, right: structure.Chain | None
) -> bool | None:
    if left is None or right is None:
        return False if is_scalar(reference if left is None else answer) else None
    if len(left.signs) != 1 or len(right.signs) != 1:
        return None
    a, b = _difference(left), _difference(right)
    if a is None or b is None or evaluate.variables(a) != evaluate.variables(b):
        return None if a is None or b is None else False
    flipped = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
    if left.signs == right.signs and evaluate.proportional(a, b, positive=True):
        return True
    if flipped.get(left.signs[0]) == right.signs[0] and evaluate.proportional(Node("neg", (a,)), b, positive=True):
        return True
    return None
