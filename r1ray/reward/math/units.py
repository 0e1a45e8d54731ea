r"""Units behind a number, and currencies before it.

A unit on one side only is ignored. Units are names of ``unit_table``, with powers and quotients, and things that are
counted. Two units must measure the same quantity: ``5 m`` is ``500 cm``, not ``5 cm``.
"""

# ruff: noqa: SIM905 (tables of signs and words, written as they are read)

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from r1ray.reward.math import unit_table
from r1ray.reward.math.unit_table import Unit

_SCALES = {"million": 10**6, "billion": 10**9, "trillion": 10**12, "thousand": 10**3, "hundred": 100, "dozen": 12,
           "万": 10**4, "亿": 10**8, "千": 10**3, "百": 100}  # fmt: skip
_CHANGES = frozenset(
    "half halves third thirds quarter quarters fourth fourths fifth fifths sixth sixths seventh sevenths eighth "
    "eighths ninth ninths tenth tenths hundredth hundredths thousandth thousandths ten tens "
    "hundreds thousands ones score "
    "squared cubed root inverse below above minus plus times mod factorial percent per or and not if than wrong "
    "incorrect false infinity pi sin cos tan log ln exp base in of to no yes even odd double triple twice".split()
)
"""Words that turn the number before them into another one. They are never units."""
_MULTIPLES = re.compile("[万亿千百十半倍折成分之非不错负]")

_EXPONENT = r"(?:\s*\^\s*(?:\{\s*(-?[0-9])\s*\}|(-?[0-9])))?"
_TEXT = r"(?:\\text\{[^{}]*\}|\\mu\b|\\Omega\b)"
_ONE = _TEXT + _EXPONENT
_TEXT_TAIL = re.compile(rf"{_ONE}(?:\s*(?:/|\\cdot|\*)?\s*(?:{_ONE}|(?<=/)\s*[A-Za-z]{{1,9}}{_EXPONENT})){{0,5}}\s*$")
_BARE_TAIL = re.compile(
    r"(?:(?<=[0-9)}%\s])|(?<=\\pi))\s*((?:\\mu\s*|\\Omega)?[A-Za-z]*(?:[ .-]+[A-Za-z]+){0,4}(?:\s*/\s*[A-Za-z]+)?)"
    + _EXPONENT
    + r"\s*$"
)
_HAN_TAIL = re.compile(r"([\u4e00-\u9fff]{1,8}(?:/[\u4e00-\u9fff]{1,4})?)" + _EXPONENT + r"\s*$")
_DEGREES = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:\\text\{\s*([CF])\s*\}|([CF]))?\s*$")
_CURRENCY = re.compile(
    r"^(-?)\s*(¤|€|£|¥|₹|(?:US)¤|Rs\.?|USD|RMB|人民币|\\text\{\s*(?:Rs\.?|USD|RMB)\s*\})\s*(?=[-0-9.\\(])"
)
_HAN_PREFIX = re.compile(r"^(?:共有?|约为?|大约|等于|为|是|第|一共|总共有?)\s*(?=[-0-9\\])")
_SIGN_TAIL = re.compile(r"\s*(¢|€|£|¥|¤)\s*$")
_SAYS_NOTHING = re.compile(
    r"(?:units?|个单位|单位)(?:\^\{?[0-9]\}?)?|exactly|only|(?:in )?total|in all|altogether|as (?:required|desired)",
    re.IGNORECASE,
)
_HOW = re.compile(
    r"(?<=[a-z]) (?:old|long|tall|wide|high|deep|apart|away|ago|later|each|(?:in )?total|altogether|in all)$"
)
_CONTENT = re.compile(r"([A-Za-z]{1,20}) of ((?:[A-Za-z]+ ?){1,3})")
_FRACTION = re.compile(rf"\\frac\s*\{{\s*({_ONE})\s*\}}\s*\{{\s*({_ONE})\s*\}}\s*$")
_POWERS = (("square ", 2), ("sq. ", 2), ("sq ", 2), ("cubic ", 3), ("cu. ", 3), ("cu ", 3), ("平方", 2), ("立方", 3))
_FACTOR = re.compile(r"([^\^\s]+)(?:\^\{?(-?[0-9])\}?)?")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A text without its unit. ``scale`` is 1000 for ``thousand`` and so on."""

    text: str
    unit: Unit | None
    scale: int = 1
    is_sure: bool = True
    """False for a letter that may be a variable: ``5m``."""


def without_prefix(text: str) -> str:
    """Return the text without Chinese words before the number (``共``, ``约``)."""
    return _HAN_PREFIX.sub("", text)


def _words_of(text: str) -> str:
    r"""Return a unit's LaTeX as words: ``\text{m/s}^2`` is ``m/s^2``."""
    text = re.sub(r"\\text\{([^{}]*)\}", r"\1", re.sub(r"\\mu\s*", "\u03bc", text.replace(r"\Omega", "\u03a9")))
    text = re.sub(r"\s*(?:\\cdot|\*|\u00b7)\s*", " ", text)
    return re.sub(r"\s*([\^/])\s*", r"\1", " ".join(text.split())).strip(" .")


def _power_of(words: str) -> tuple[str, int]:
    for before, power in _POWERS:
        if words.lower().startswith(before):
            return words[len(before) :], power
    for after, power in ((" squared", 2), (" cubed", 3)):
        if words.lower().endswith(after):
            return words[: -len(after)], power
    return words, 1


def _product(words: str) -> Unit | None:
    """Return the unit that words without a quotient name: one name, a product, a counted thing, nothing (``units``)."""
    words, power = _power_of(_HOW.sub("", words.strip(" .")))
    if _SAYS_NOTHING.fullmatch(words):
        return Unit((), Fraction(1))
    if (held := _CONTENT.fullmatch(words)) and not _CHANGES.intersection(held.group(2).lower().split()):
        return _product(held.group(1))
    one = unit_table.named_unit(words)
    if one:
        return _raised(one, power)
    if thing := unit_table.counted(words):
        return Unit(((thing, 1),), Fraction(1)) if power == 1 else None
    factors = list(_FACTOR.finditer(words))
    if not factors or len(factors) > 5 or (len(factors) == 1 and not factors[0].group(2)):
        return None
    found = Unit((), Fraction(1))
    for match in factors:
        one = unit_table.named_unit(match.group(1))
        if one is None:
            return None
        found = _times(found, _raised(one, int(match.group(2) or 1)))
    return _raised(found, power)


def _raised(unit: Unit, power: int) -> Unit:
    return Unit(tuple((name, exponent * power) for name, exponent in unit.dimension), unit.size**power)


def _times(left: Unit, right: Unit) -> Unit:
    found = dict(left.dimension)
    for name, exponent in right.dimension:
        found[name] = found.get(name, 0) + exponent
    return Unit(tuple(sorted((name, power) for name, power in found.items() if power)), left.size * right.size)


@lru_cache(2048)
def unit_of(words: str) -> Unit | None:
    """Return the unit that words name; None if they name none.

    >>> unit_of("m/s^2").dimension, unit_of("wrong")
    ((('m', 1), ('s', -2)), None)
    """
    words = _words_of(words)
    words = unit_table.rate(re.sub(r"\s*(?:\bper\b|\ban?\b(?= [a-z])|每)\s*", "/", words))
    words = re.sub(r"^degrees? (celsius|fahrenheit|c|f)$", _scale_of_heat, words, flags=re.IGNORECASE)
    if words.lower() in ("a.m", "p.m"):
        words = words.replace(".", "")
    top, *below = words.split("/")
    found = _product(top) if top.strip() else None
    if len(below) > 2:
        return None
    for bottom in below:
        one = _product(bottom.strip("() "))
        if found is None or one is None:
            return None
        found = _times(found, _raised(one, -1))
    return found


def _scale_of_heat(found: re.Match[str]) -> str:
    return "celsius" if found.group(1).lower().startswith("c") else "fahrenheit"


def _scaled(words: str) -> tuple[str, int]:
    stripped = words.strip()
    for word, scale in _SCALES.items():
        if stripped.lower().startswith(word) and not stripped[len(word) :].startswith("克"):
            rest = stripped[len(word) :]
            if word.isascii() and rest and rest[0].isalpha() and rest[0] != "s":
                continue
            if word in "千百" and rest[:1] in ("米", "分"):
                continue
            return rest.removeprefix("s").strip(), scale
    return stripped, 1


def _tail(text: str) -> tuple[int, str, bool] | None:
    """Return the index at which the unit may begin, its words, and whether they are sure to be words."""
    if found := _TEXT_TAIL.search(text):
        return found.start(), found.group(), True
    if found := _HAN_TAIL.search(text):
        return found.start(), found.group(), True
    if (found := _BARE_TAIL.search(text)) and found.group(1):
        words = found.group(1).strip()
        is_spaced = text[: found.start(1)].endswith(" ")
        letter = words if len(words) == 1 else ""
        if letter and not (letter in unit_table.ALONE or letter in ("C", "t", "l")):
            return None
        start = found.start(1)
        return start, text[start:], len(words) > 1 or (is_spaced and letter in unit_table.ALONE)
    return None


def _may_be_thing(words: str) -> bool:
    """Return whether words that this module does not know may be things that a reference counts."""
    if _MULTIPLES.search(words):
        return False
    parts = re.findall(r"[a-z]+", _words_of(words).lower())
    is_plain = (
        re.fullmatch(r"[A-Za-z \u4e00-\u9fff-]*(?:[a-z]{3}|[\u4e00-\u9fff])[a-z \u4e00-\u9fff-]*", _words_of(words))
        is not None
    )
    return is_plain and len(parts) <= 5 and not any(part in _CHANGES for part in parts)


def separate(text: str, *, trusted: bool = False) -> Quantity:
    r"""Return the number of a quantity, with its unit.

    Args:
        trusted: words that name no unit are taken for a thing that is counted, as they are in a reference.

    >>> separate(r"5\text{ cm}^2").text
    '5'
    >>> separate("7x").unit is None
    True
    """
    text = _HAN_PREFIX.sub("", text)
    if "frac" in text and (quotient := _FRACTION.search(text)):
        text = f"{text[: quotient.start()]}{quotient.group(1)}/{quotient.group(4)}"
    if found := _CURRENCY.match(text):
        sign = re.sub(r"\\text|[{}. ]", "", found.group(2)).lower().removeprefix("us")
        rest = separate(found.group(1) + text[found.end() :], trusted=trusted)
        own = unit_of("usd" if sign in ("", "d") else sign)
        if rest.unit is not None and rest.unit != own:
            return Quantity(text, None)
        return Quantity(rest.text, own, rest.scale)
    if found := _SIGN_TAIL.search(text):
        return Quantity(text[: found.start()].strip(), unit_of(found.group(1)))
    if (found := _DEGREES.search(text)) and found.start() > 0:
        scale = found.group(1) or found.group(2)
        name = {"C": "celsius", "F": "fahrenheit"}.get(scale or "", "degree")
        return Quantity(text[: found.start()].strip(), unit_of(name))
    tail = _tail(text)
    if tail is None or tail[0] == 0:
        return Quantity(text, None)
    start, words, is_sure = tail
    head = text[:start].strip()
    return _named(text, head, words, is_sure=is_sure, trusted=trusted)


def _named(text: str, head: str, words: str, *, is_sure: bool, trusted: bool) -> Quantity:
    plain, scale = _scaled(_words_of(words))
    if scale != 1 and not plain:
        return Quantity(head, None, scale)
    unit = unit_of(words) if scale == 1 else unit_of(plain)
    if unit is None and trusted and is_sure and _may_be_thing(plain) and (r"\text" in words or len(plain) > 2):
        unit = Unit(((plain.lower().removesuffix("s"), 1),), Fraction(1))
    if unit is None:
        return Quantity(text, None)
    return Quantity(head, unit if unit.dimension else None, scale, is_sure)


def ratio(reference: Unit | None, answer: Unit | None) -> Fraction | None:
    """Return the factor that converts the answer's number to the reference's unit; None if the two measure different
    quantities."""
    if reference is None or answer is None:
        return Fraction(1)
    return answer.size / reference.size if reference.dimension == answer.dimension else None
