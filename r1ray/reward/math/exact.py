r"""Equality that needs no computer algebra: words, choices, units, numbers, expressions, lists, sets, equations.

``decide(reference, answer)`` returns True or False if it is sure, None if math-verify has to decide. The tests pin
these rules:

* a unit, a currency or a percent sign on one side only is ignored; two units must measure the same;
* ``25\%`` is ``0.25`` and ``25``; ``0.333`` is not ``1/3`` (no rounding anywhere);
* a list without brackets is unordered and equals the set of its members; a tuple is ordered; a list is no single value;
* ``x=5`` is ``5``, in either direction, but not ``y=5``; a chain of equals with a false step is wrong;
* ``2:3`` is ``4:6`` and ``2/3``; clock times are compared as written.
"""

from __future__ import annotations

import re
from collections import Counter

from r1ray.reward.extract import last_boxed
from r1ray.reward.math import compound, evaluate, families, regions, structure, times, units, vectors, words
from r1ray.reward.math.equations import (
    LABEL,
    base_name,
    before_approximation,
    claimed,
    decide_inequalities,
    has_false_step,
    is_constant,
    label,
    label_of,
    same_equation,
    same_label,
    value_of,
)
from r1ray.reward.math.normalise import clean, has_foreign_digit
from r1ray.reward.math.quantities import (
    as_number,
    compact,
    decide_quantities,
    is_one_grouped_number,
    is_scalar,
    is_undefined,
    node_of,
    plain_number,
)

MAX_COMPARED_CHARS = 2000
"""Length above which answers are compared as text only."""
MAX_ITEMS = 200
_MAX_PAIRS = 40
_MAX_DEPTH = 5

_APPROX = re.compile(r"^(?:\\approx|approximately|about|~)\s*")
_PLUS_MINUS = re.compile(r"\\([pm])[pm](?![a-z])")


def decide(reference: str, answer: str) -> bool | None:
    """Return whether the answer equals the reference; None if this module cannot tell."""
    left = clean(last_boxed(reference) or reference)
    if answer.strip() == reference.strip():
        return True
    if len(answer) > MAX_COMPARED_CHARS:
        return compact(reference) == compact(answer) or _unwrapped_number(left, answer)
    right = clean(answer)
    if not right or has_foreign_digit(right):
        return False
    verdict = _decide(left, right, 0)
    return False if verdict is None and _is_number(left) else verdict


def _is_number(reference: str) -> bool:
    """Return whether a reference is one number. An answer that this module cannot read as a number is then wrong,
    whatever math-verify would make of it."""
    node = node_of(units.separate(reference, trusted=True).text)
    return node is not None and not evaluate.variables(node)


def _unwrapped_number(reference: str, answer: str) -> bool:
    """Return whether an answer is the number in thousands of brackets. Any other answer of that length is wrong."""
    stripped = clean(answer)
    return len(stripped) < MAX_COMPARED_CHARS and _decide(reference, stripped, 0) is True


def _decide(reference: str, answer: str, depth: int) -> bool | None:
    if depth > _MAX_DEPTH:
        return None
    if compact(reference) == compact(answer):
        return not is_undefined(answer)
    left, right = plain_number(reference), plain_number(answer)
    if left is not None and right is not None:
        return left == right
    by_measure = times.decide(reference, answer)
    if by_measure is None:
        by_measure = compound.decide(reference, answer)
    if by_measure is None:
        by_measure = vectors.decide(reference, answer)
    if by_measure is not None:
        return by_measure
    if alike := families.renamed(reference, answer):
        return _decide(*alike, depth + 1)
    chosen, value = words.compare_choices(reference, answer)
    if chosen is not None:
        return chosen
    if value:
        return _decide(clean(value), answer, depth + 1)
    by_words = _decide_words(reference, answer)
    if by_words is not None:
        return by_words
    exact_reference, exact_answer = before_approximation(reference), before_approximation(answer)
    if (exact_reference, exact_answer) != (reference, answer):
        return _decide(exact_reference, exact_answer, depth + 1)
    if _APPROX.match(answer):
        return _decide(reference, _APPROX.sub("", answer), depth + 1)
    if _APPROX.match(reference):
        return _decide(_APPROX.sub("", reference), answer, depth + 1)
    return _decide_form(reference, answer, depth)


def _decide_words(reference: str, answer: str) -> bool | None:
    left, right = words.is_words(reference), words.is_words(answer)
    if (words.is_same_idea(reference) or words.is_same_idea(answer)) and words.same_words(reference, answer):
        return True
    if words.is_same_idea(reference) and regions.looks_regional(answer):
        return _decide_set_phrase(reference, answer)
    if words.is_same_idea(answer) and regions.looks_regional(reference):
        return _decide_set_phrase(answer, reference)
    if left:
        if words.same_words(reference, answer):
            return True
        if (named := words.number_word(reference)) is not None:
            return None if right and words.number_word(answer) is None else _decide(named, as_number(answer), 1)
        listed = structure.items(reference)
        return None if len(listed) > 1 else False
    if right and words.same_words(reference, answer):
        return True
    if right and (named := words.number_word(answer)) is not None:
        return _decide(reference, named, 1)
    if right and len(structure.items(answer)) == 1:
        return False
    return None


def _decide_set_phrase(phrase: str, other: str) -> bool | None:
    for name in (r"\mathbb{R}", r"\emptyset", r"\infty"):
        if words.same_words(
            phrase, {"\\mathbb{R}": "all reals", "\\emptyset": "no solution", "\\infty": "infinity"}[name]
        ):
            return compact(other) == name or bool(regions.compare(name, other))
    return False


def _decide_form(reference: str, answer: str, depth: int) -> bool | None:
    """Decide by the outer form of both: matrix, region, relation, brackets, list; else as one quantity each."""
    left_matrix, right_matrix = structure.matrix(reference), structure.matrix(answer)
    if left_matrix or right_matrix:
        return _decide_matrices(reference, answer, left_matrix, right_matrix, depth)
    if regions.looks_regional(reference) or regions.looks_regional(answer):
        verdict = regions.compare(reference, answer)
        if verdict is not None:
            return verdict
    left_items, right_items = _members(reference), _members(answer)
    if len(left_items) > 1 or len(right_items) > 1:
        return _decide_lists(reference, answer, left_items, right_items, depth)
    left_chain, right_chain = structure.chain(reference), structure.chain(answer)
    if left_chain or right_chain:
        return _decide_chains(reference, answer, left_chain, right_chain, depth)
    left_held, right_held = structure.brackets(reference), structure.brackets(answer)
    if _is_group(left_held) or _is_group(right_held):
        return _decide_groups(reference, answer, left_held, right_held, depth)
    return decide_quantities(reference, answer)


def _is_group(held: structure.Brackets | None) -> bool:
    return held is not None and (len(held.items) > 1 or held.open in (r"\{", r"\langle"))


def _members(text: str) -> list[str]:
    r"""Return the members of a list without brackets. ``\pm`` stands for two members. A number with separated thousands
    is one member."""
    if plain_number(text) is not None:
        return [text]
    found = [text] if is_one_grouped_number(text) else structure.items(text)
    members: list[str] = []
    for item in found[: MAX_ITEMS * 100]:
        if _PLUS_MINUS.search(item):
            members += [_with_sign(item, plus="+", minus="-"), _with_sign(item, plus="-", minus="+")]
        else:
            members.append(item)
    return members or [text]


def _with_sign(text: str, *, plus: str, minus: str) -> str:
    return _PLUS_MINUS.sub(lambda found: plus if found.group(1) == "p" else minus, text)


def _all(verdicts: list[bool | None]) -> bool | None:
    if any(verdict is False for verdict in verdicts):
        return False
    return None if any(verdict is None for verdict in verdicts) else True


def _decide_matrices(
    reference: str,
    answer: str,
    left: tuple[tuple[str, ...], ...] | None,
    right: tuple[tuple[str, ...], ...] | None,
    depth: int,
) -> bool | None:
    if left is None or right is None:
        rows, other = (left or right), (answer if left else reference)
        named = structure.chain(other)
        if named and named.signs == ("=",) and structure.matrix(named.sides[1]):  # A = matrix
            sides = (reference, named.sides[1]) if left else (named.sides[1], answer)
            return _decide(*sides, depth + 1)
        held = structure.brackets(other)
        if rows is None or held is None or held.open not in ("(", "[", r"\langle"):
            return None
        if all(len(row) == 1 for row in rows) and len(rows) == len(held.items):  # a column is a vector
            pairs = zip((row[0] for row in rows), held.items, strict=True)
            return _all([_decide(clean(a), clean(b), depth + 1) for a, b in pairs])
        inner = [structure.brackets(item) for item in held.items]
        if rows and len(inner) == len(rows) and all(row is not None for row in inner):  # [[1, 2], [3, 4]]
            listed = tuple(row.items for row in inner if row is not None)
            if left:
                return _decide_matrices(reference, answer, rows, listed, depth + 1)
            return _decide_matrices(reference, answer, listed, rows, depth + 1)
        return False
    if [len(row) for row in left] != [len(row) for row in right] or sum(map(len, left)) > MAX_ITEMS:
        return False
    cells = [(a, b) for rows in zip(left, right, strict=True) for a, b in zip(*rows, strict=True)]
    return _all([_decide(clean(a), clean(b), depth + 1) for a, b in cells])


def _decide_lists(
    reference: str, answer: str, left: list[str], right: list[str], depth: int
) -> bool | None:  # fmt: skip
    left_held, right_held = structure.brackets(reference), structure.brackets(answer)
    if len(left) == 1:
        if left_held is not None and left_held.open == r"\{":
            return _match([*left_held.items], right, depth)
        if _is_group(left_held) and left_held is not None and left_held.open != "[":  # (1, 2) against 1, 2
            return _in_order(left_held.items, _by_name(right), depth)
        labelled = structure.chain(reference)
        if (
            labelled
            and labelled.signs == ("=",)
            and LABEL.fullmatch(labelled.sides[0])
            and _named_like(reference, right)
        ):
            return _decide(labelled.sides[1], ",".join(map(value_of, right)), depth + 1)
        inside = structure.split(reference, frozenset((r"\in",)))
        if len(inside) == 2:
            return _decide(inside[1][1], answer, depth + 1)
        if labelled and labelled.signs == ("=",) and not label(labelled) and all(label_of(item) for item in right):
            return None  # an equation against its roots
        return _same_member_repeated(left[0], right, depth)
    if len(right) == 1:
        if right_held is not None and right_held.open == r"\{":
            return _match(left, [*right_held.items], depth)
        if right_held is not None and len(right_held.items) > 1 and (right_held.open == "(" or len(left) > 2):
            return _in_order(_by_name(left), right_held.items, depth)
        if (inside := structure.split(answer, frozenset((r"\in",)))) and len(inside) == 2:
            return _decide(reference, inside[1][1], depth + 1)
        named = structure.chain(answer)
        if named and named.signs == ("=",) and LABEL.fullmatch(named.sides[0]):
            return _decide(reference, named.sides[1], depth + 1)
        return _same_member_repeated(right[0], left, depth) if is_scalar(right[0]) else None
    return _match(left, right, depth)


def _by_name(items: list[str]) -> tuple[str, ...]:
    """Return ``y = 2, x = 1`` in the order of a point, and other lists unchanged."""
    names = [label_of(item) for item in items]
    is_point = all(names) and len(set(names)) == len(names)
    return tuple(sorted(items, key=label_of)) if is_point else tuple(items)


def _named_like(reference: str, right: list[str]) -> bool:
    return all(label_of(item) in ("", label_of(reference)) for item in right)


def _same_member_repeated(reference: str, right: list[str], depth: int) -> bool | None:
    """Compare one value with several. Several different values are wrong; ``x = 5, 5`` is still 5."""
    verdicts = [_decide(reference, clean(item), depth + 1) for item in right[:_MAX_PAIRS]]
    return len(right) <= _MAX_PAIRS and all(verdict is True for verdict in verdicts)


def _match(left: list[str], right: list[str], depth: int) -> bool | None:
    """Return whether two lists have the same members in any order."""
    left, right = [clean(item) for item in left], [clean(item) for item in right]
    names = [{base_name(label_of(item)) for item in side} for side in (left, right)]
    is_one_name = all(len(side) == 1 for side in names)
    if (is_one_name and names[0] != names[1] and "" in names[0] | names[1]) or (
        is_one_name and names[0] == names[1] != {""}
    ):
        left, right = [value_of(item) for item in left], [value_of(item) for item in right]
    elif ("" in names[0]) != ("" in names[1]) and len(left) == len(right):
        return _in_order(tuple(left), tuple(right), depth)  # x=1, y=2 against 1, 2
    numbers_left, numbers_right = [plain_number(item) for item in left], [plain_number(item) for item in right]
    if None not in numbers_left and None not in numbers_right:
        return Counter(numbers_left) == Counter(numbers_right) or set(numbers_left) == set(numbers_right)
    if max(len(left), len(right)) > _MAX_PAIRS:
        return False
    if len(left) != len(right):
        return False
    unsure = False
    rest = list(right)
    for item in left:
        verdicts = [_decide(item, other, depth + 1) for other in rest]
        if True in verdicts:
            rest.pop(verdicts.index(True))
        elif None in verdicts:
            unsure = True
        else:
            return False
    return None if unsure else True


def _in_order(left: tuple[str, ...], right: tuple[str, ...], depth: int) -> bool | None:
    if len(left) != len(right) or len(left) > MAX_ITEMS:
        return False
    pairs = [(clean(value_of(a)), clean(value_of(b))) for a, b in zip(left, right, strict=True)]
    return _all([_decide(a, b, depth + 1) for a, b in pairs])


def _decide_groups(
    reference: str, answer: str, left: structure.Brackets | None, right: structure.Brackets | None, depth: int
) -> bool | None:
    if left is None or right is None:
        held, other = (left, answer) if left else (right, reference)
        assert held is not None
        if held.open == r"\{" and len(held.items) == 1:
            sides = (held.items[0], other) if left else (other, held.items[0])
            return _decide(clean(sides[0]), clean(sides[1]), depth + 1)
        return False if is_scalar(other) else None
    curly = [held.open == r"\{" for held in (left, right)]
    if all(curly):
        return _match([*left.items], [*right.items], depth)
    if any(curly):
        held, other = (left, answer) if curly[0] else (right, reference)
        if len(held.items) != 1:
            return False
        sides = (held.items[0], other) if curly[0] else (other, held.items[0])  # a set of one point is the point
        return _decide(clean(sides[0]), clean(sides[1]), depth + 1)
    if len(left.items) == 2 and _shape(left) != _shape(right):
        return False
    return _in_order(left.items, right.items, depth)


def _shape(held: structure.Brackets) -> tuple[str, str]:
    return held.open.replace(r"\langle", "("), held.close.replace(r"\rangle", ")")


def _decide_chains(
    reference: str, answer: str, left: structure.Chain | None, right: structure.Chain | None, depth: int
) -> bool | None:
    """Compare equations. Inequalities that are no plain region are left to math-verify."""
    if any(found is not None and set(found.signs) != {"="} for found in (left, right)):
        return decide_inequalities(reference, answer, left, right)
    if r"\equiv" in answer and "mod" not in reference:
        return False  # a residue class is no number
    left_label, right_label = label(left), label(right)
    if right is not None and has_false_step(right):
        return False
    if left is not None and right is not None:
        if left_label and right_label and same_label(left_label, right_label):
            verdict = _decide(clean(left.sides[-1]), clean(right.sides[-1]), depth + 1)
            if verdict is True:
                return True
        return same_equation(left, right)
    if left is not None:
        if not left_label:
            constant = all(is_constant(side) for side in left.sides)
            return _decide(clean(left.sides[-1]), answer, depth + 1) if constant else False
        value = left.sides[0] if is_constant(left.sides[0]) and not is_constant(left.sides[-1]) else left.sides[-1]
        return _decide(clean(value), answer, depth + 1)
    assert right is not None
    given = claimed(right)
    return False if given is None else _decide(reference, clean(given), depth + 1)
