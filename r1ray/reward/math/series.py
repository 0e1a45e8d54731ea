r"""Infinite sums and integrals, which are equal if they differ only in the name of the bound variable."""

from __future__ import annotations

import re
from dataclasses import replace

from r1ray.reward.math import evaluate
from r1ray.reward.math.expression import Node, Unreadable, parse

_INTEGRAL = re.compile(
    r"\\int\s*_\s*(\{[^{}]*\}|[0-9A-Za-z])\s*\^\s*(\{[^{}]*\}|[0-9A-Za-z]|\\infty|\\pi)(.*?)\s*d\s*([a-z])", re.DOTALL
)
_LETTER = re.compile(r"\\[A-Za-z]+|[A-Za-z]")


def named_alike(left: Node, right: Node) -> tuple[Node, Node]:
    """Return both trees with a variable in place of every infinite sum, the same one for equal sums."""
    known: list[Node] = []
    return _abstract(left, known), _abstract(right, known)


def _abstract(node: Node, known: list[Node]) -> Node:
    if node.kind in ("sum", "prod") and node.children[1].kind == "infty":
        own = _bound(node, node.name)
        for index, other in enumerate(known):
            if other.kind == own.kind and all(map(evaluate.equal, other.children[::2], own.children[::2])):
                return Node("var", name=f"series{index}")
        known.append(own)
        return Node("var", name=f"series{len(known) - 1}")
    return replace(node, children=tuple(_abstract(child, known) for child in node.children))


def _bound(node: Node, name: str) -> Node:
    first, last, body = node.children
    return replace(node, children=(first, last, _renamed(body, name)), name="bound")


def _renamed(node: Node, name: str) -> Node:
    if node.kind == "var" and node.name == name:
        return Node("var", name="bound")
    return replace(node, children=tuple(_renamed(child, name) for child in node.children))


def decide_integrals(reference: str, answer: str) -> bool | None:
    """Return True if two definite integrals are spelled the same except for the variable; None if they differ or one
    text is none."""
    left, right = _INTEGRAL.fullmatch(reference), _INTEGRAL.fullmatch(answer)
    if not left or not right:
        return None
    try:
        pairs = [(parse(_part(left, index)), parse(_part(right, index))) for index in (1, 2, 3)]
    except Unreadable:
        return None
    ends = [one == other or evaluate.equal(one, other) for one, other in pairs]
    return True if all(ends) else None


def _part(found: re.Match[str], index: int) -> str:
    name = found.group(4)
    text = found.group(index).strip()
    return text if index < 3 else _LETTER.sub(lambda one: r"\parameter " if one.group() == name else one.group(), text)
