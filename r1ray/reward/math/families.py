r"""Arbitrary names: the integer of a family (``2k\pi, k\in\mathbb{Z}``) and the constant of integration.

Both become commands that only the parser of this package knows (``\parameter``, ``\constant``), so that they are equal
under any name.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from r1ray.reward.math import evaluate
from r1ray.reward.math.expression import Node, number

_SET = r"(?:\\mathbb\{\s*([ZN])\s*\}|\\text\{\s*([ZN])\s*\}|([ZN]))((?:[_^](?:\{[^{}]{1,8}\}|[-+*0]|\\cdot))?)"
_ENGLISH = r"\\text\{\s*,?\s*(?:where|for|with)?\s*(?:any|all|each|every|some)?\s*\}"
_INTEGER = r"\\text\{\s*(?:(?:is|be)\s+)?(?:an?\s+|any\s+)?(integer|natural number|positive integer)s?\s*\}"
_NAME = r"([A-Za-z])"
_CONDITION = re.compile(
    rf"\s*[,;]?\s*\(?\s*(?:{_ENGLISH}|where|for|with)?\s*(?:any|all)?\s*"
    rf"(?:{_NAME}\s*(?:\\in\s*{_SET}|{_INTEGER}|(?:is an|\u4e3a|\u662f)\s*(integer|\u6574\u6570))"
    rf"|\\text\{{\s*,?\s*(?:where|for|with)?\s*(?:any|all|each|every|some|an)?\s*(integer)s?\s*\}}\s*{_NAME})\s*\)?\s*$"
)
_BUILDER = re.compile(r"\\\{(.*?)\s*(?:\\mid|\||:)\s*(.*)\\\}", re.DOTALL)
_TOKEN = re.compile(r"\\text\{[^{}]*\}|\\[A-Za-z]+|\band\b|\bor\b|[A-Za-z]")
_CONSTANT = re.compile(r"\+\s*(C|c|K|[Cc]_\{?[0-9]\}?|\\text\{\s*(?:C|c|constant|const\.?)\s*\})\s*$|^\s*(C)\s*(?=\+)")
_FIXED = re.compile(r"(?<![A-Za-z\\])[abd](?![A-Za-z])")
"""Letters next to which ``c`` is one of several coefficients."""
_SAYS_INTEGER = re.compile(r"\\in(?![a-z])|integer|natural|整数")
_UNKNOWNS = frozenset("xyt")
_USUAL = frozenset("kmnlt")
PARAMETER, CONSTANT = "parameter", "constant"


def renamed(reference: str, answer: str) -> tuple[str, str] | None:
    """Return both texts with one name for the integer of a family and the constant of integration; None if they have
    neither."""
    changed = _with_constants(*_with_factors(*_with_parameters(reference, answer)))
    return None if changed == (reference, answer) else changed


def _condition(text: str) -> tuple[str, str, str]:
    """Return the text without its condition, the name of the integer, and the set that it is from ("" for the
    integers)."""
    text = text.strip()
    if held := _BUILDER.fullmatch(text):
        before, after = held.groups()
        inner = _condition(
            f"{after if '=' in after else before}, {after.rpartition(',')[2] if '=' in after else after}"
        )
        if inner[1]:
            return (_condition(after)[0], *inner[1:]) if "=" in after else inner
    found = _CONDITION.search(text)
    if not found or not found.start():
        return text, "", ""
    groups = found.groups()
    kind = next((group for group in groups[1:4] if group), "Z") + re.sub(r"[_^{}]", "", groups[4] or "")
    if (groups[5] or "").startswith(("natural", "positive")):
        kind = "N"
    return text[: found.start()].strip().rstrip(","), groups[0] or groups[-1], "" if kind == "Z" else kind


def _with_parameters(reference: str, answer: str) -> tuple[str, str]:
    if not _SAYS_INTEGER.search(reference + answer):
        return reference, answer
    left, right = _condition(reference), _condition(answer)
    if not (left[1] or right[1]):
        return reference, answer
    kind = left[2] if left[1] else right[2]
    one = _rename(left[0], left[1] or _likely(left[0], right[1]), left[2] if left[1] else kind)
    other = _rename(right[0], right[1] or _likely(right[0], left[1]), right[2] if right[1] else kind)
    return one, other


def _likely(text: str, name: str) -> str:
    """Return the letter that stands for the integer if a text does not say so."""
    letters = {token for token in _TOKEN.findall(text) if len(token) == 1}
    if name in letters:
        return name
    usual = letters & _USUAL
    return usual.pop() if len(usual) == 1 else name


def _rename(text: str, name: str, kind: str) -> str:
    new = rf"\{PARAMETER}_{{{kind}}} " if kind else rf"\{PARAMETER} "
    return _TOKEN.sub(lambda found: new if found.group() == name else found.group(), text)


def _with_constants(reference: str, answer: str) -> tuple[str, str]:
    if "+" not in reference or "+" not in answer:
        return reference, answer
    found, own = _CONSTANT.search(reference), _CONSTANT.search(answer)
    if not found or not own or not re.search(r"[a-z]", reference[: found.start()] + reference[found.end() :]):
        return reference, answer
    name = found.group(1) or found.group(2)
    if name == "K" or (name.startswith("c") and _FIXED.search(reference)):
        return reference, answer
    return _constant(reference), _constant(answer)


def _with_factors(reference: str, answer: str) -> tuple[str, str]:
    """Rename the free constant of a solution: ``C e^x`` of a reference is ``c e^x`` of an answer."""
    if "C" not in reference or "c" not in answer:
        return reference, answer
    letters, own = ({token for token in _TOKEN.findall(text) if len(token) == 1} for text in (reference, answer))
    is_free = "C" in letters and letters & _UNKNOWNS and letters <= _UNKNOWNS | {"C", "e"}
    if not is_free or "c" not in own or "C" in own:
        return reference, answer
    return reference, _TOKEN.sub(lambda found: "C" if found.group() == "c" else found.group(), answer)


def _constant(text: str) -> str:
    return _CONSTANT.sub(lambda found: rf"+\{CONSTANT} " if found.group(1) else rf"\{CONSTANT} ", text, count=1)


def _replaced(node: Node, name: str, value: int) -> Node:
    if node.kind == "var" and node.name == name:
        return number(value)
    return replace(node, children=tuple(_replaced(child, name, value) for child in node.children))


def _minus(left: Node, right: Node) -> Node:
    return Node("add", (left, Node("neg", (right,))))


def same(left: Node, right: Node) -> bool:
    """Return whether two expressions with the integer of a family or a constant of integration are the same."""
    names = evaluate.variables(left) & evaluate.variables(right)
    if PARAMETER in names:
        return _same_family(left, right)
    return CONSTANT in names and _differ_by_constant(left, right)


def _same_family(left: Node, right: Node) -> bool:
    r"""Return whether two families ``a k + b`` over all integers are the same: the steps are equal except for the sign,
    and the starts are whole steps apart."""
    sides = [[_replaced(side, PARAMETER, value) for value in (0, 1, 2)] for side in (left, right)]
    steps = [_minus(side[1], side[0]) for side in sides]
    if not all(evaluate.equal(_minus(side[2], side[1]), step) for side, step in zip(sides, steps, strict=True)):
        return False
    if not any(evaluate.equal(steps[0], other) for other in (steps[1], Node("neg", (steps[1],)))):
        return False
    apart = Node("div", (_minus(sides[0][0], sides[1][0]), steps[0]))
    return not evaluate.variables(apart) and evaluate.equal(apart, Node("floor", (apart,)))


def _differ_by_constant(left: Node, right: Node) -> bool:
    """Return whether the difference is the same everywhere, apart from the constants."""
    difference = _minus(_replaced(left, CONSTANT, 0), _replaced(right, CONSTANT, 0))
    step: Callable[[int], Node] = lambda point: _moved(difference, point)  # noqa: E731
    return bool(evaluate.variables(difference)) and all(evaluate.equal(difference, step(point)) for point in (1, 2))


def _moved(node: Node, by: int) -> Node:
    """Return the expression with every variable increased by ``by``."""
    if node.kind == "var":
        return Node("add", (node, number(by)))
    return replace(node, children=tuple(_moved(child, by) for child in node.children))
