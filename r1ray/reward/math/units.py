r"""Units behind a number, and currencies before it.

A unit on one side only is ignored. Two units must be the same quantity: ``5 m`` is ``500 cm``, not ``5 cm``.
"""

# ruff: noqa: SIM905 (tables of signs and words, written as they are read)

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_LENGTH = {"m": "1", "meter": "1", "metre": "1", "cm": "0.01",
          "centimeter": "0.01", "centimetre": "0.01", "mm": "0.001",
           "millimeter": "0.001", "millimetre": "0.001", "km": "1000", "kilometer": "1000", "kilometre": "1000",
           "dm": "0.1", "decimeter": "0.1", "nm": "1e-9", "in": "0.0254", "inch": "0.0254", "ft": "0.3048",
           "foot": "0.3048", "feet": "0.3048", "yd": "0.9144", "yard": "0.9144", "mi": "1609.344", "mile": "1609.344",
           "米": "1", "厘米": "0.01", "公分": "0.01", "毫米": "0.001", "分米": "0.1",
          "千米": "1000", "公里": "1000"}  # fmt: skip
_MASS = {"g": "1", "gram": "1", "gm": "1", "kg": "1000", "kilogram": "1000", "mg": "0.001", "milligram": "0.001",
         "t": "1e6", "tonne": "1e6", "lb": "453.59237", "pound": "453.59237",
          "oz": "28.349523125", "ounce": "28.349523125",
         "克": "1", "千克": "1000", "公斤": "1000", "吨": "1e6", "毫克": "0.001"}  # fmt: skip
_TIME = {"s": "1", "sec": "1", "second": "1", "min": "60", "minute": "60", "h": "3600", "hr": "3600", "hour": "3600",
         "day": "86400", "week": "604800", "ms": "0.001", "秒": "1", "分钟": "60", "分": "60", "小时": "3600",
         "时": "3600", "天": "86400", "日": "86400", "周": "604800", "星期": "604800"}  # fmt: skip
_VOLUME = {"l": "0.001", "liter": "0.001", "litre": "0.001", "ml": "1e-6", "milliliter": "1e-6", "millilitre": "1e-6",
           "cc": "1e-6", "升": "0.001", "毫升": "1e-6"}  # fmt: skip
_MONEY = {"¤": ("usd", "1"), "dollar": ("usd", "1"), "usd": ("usd", "1"), "cent": ("usd", "0.01"), "¢": ("usd", "0.01"),
          "美元": ("usd", "1"), "美分": ("usd", "0.01"), "€": ("eur", "1"), "euro": ("eur", "1"), "eur": ("eur", "1"),
          "欧元": ("eur", "1"), "£": ("gbp", "1"), "gbp": ("gbp", "1"), "¥": ("cny", "1"), "元": ("cny", "1"),
          "yuan": ("cny", "1"), "rmb": ("cny", "1"), "cny": ("cny", "1"), "人民币": ("cny", "1"), "角": ("cny", "0.1"),
          "块": ("cny", "1"), "rs": ("inr", "1"), "rupee": ("inr", "1"),
          "₹": ("inr", "1"), "inr": ("inr", "1")}  # fmt: skip
_OTHER = {"degree": ("degree", "1"), "deg": ("degree", "1"), "度": ("degree", "1"), "^\\circ": ("degree", "1"),
          "rad": ("radian", "1"), "radian": ("radian", "1"), "弧度": ("radian", "1"),
          "hz": ("hz", "1"), "n": ("n", "1"),
          "j": ("j", "1"), "kj": ("j", "1000"), "w": ("w", "1"), "kw": ("w",
          "1000"), "v": ("v", "1"), "pa": ("pa", "1"),
          "kpa": ("pa", "1000"), "mol": ("mol", "1"), "ohm": ("ohm", "1"),
          "newton": ("n", "1"), "joule": ("j", "1"), "am": ("am", "1"), "pm": ("pm", "1"),
          "watt": ("w", "1"), "volt": ("v", "1"), "amp": ("a", "1")}  # fmt: skip
_TABLE: dict[str, tuple[str, int, Fraction]] = {
    **{name: ("m", 1, Fraction(size)) for name, size in _LENGTH.items()},
    **{name: ("g", 1, Fraction(size)) for name, size in _MASS.items()},
    **{name: ("s", 1, Fraction(size)) for name, size in _TIME.items()},
    **{name: ("m", 3, Fraction(size)) for name, size in _VOLUME.items()},
    **{name: (kind, 1, Fraction(size)) for name, (kind, size) in (_MONEY | _OTHER).items()},
}
_RATES = {"mph": "mi/h", "kmh": "km/h", "kph": "km/h", "kmph": "km/h", "mps": "m/s", "fps": "ft/s"}
_NEUTRAL = frozenset(("unit", "sqrt unit", "个", "个单位", "单位"))
_NOT_UNITS = frozenset(
    "or and if when not plus minus times to than about without for where with is are but either neither nor "
    "otherwise mod sin cos tan log ln exp sqrt cot sec csc gcd lcm max min lim pi infinity inf in terms of base "
    "approximately more less greater least most no yes true false even odd answer the correct gold lambda".split()
) - {"in", "min"}
_SCALES = {"million": 10**6, "billion": 10**9, "trillion": 10**12, "thousand": 10**3, "hundred": 100, "dozen": 12,
           "万": 10**4, "亿": 10**8, "千": 10**3, "百": 100}  # fmt: skip

_POWER = r"(?:\s*\^\s*(?:\{\s*(-?[0-9])\s*\}|([0-9])))?"
_BELOW = r"(?:\s*(/|\\cdot)\s*(?:\\text\{([^{}]*)\}|([A-Za-z]+))" + _POWER + r")?"
_TEXT_TAIL = re.compile(r"\\text\{([^{}]*)\}" + _POWER + _BELOW + r"\s*$")
_BARE_TAIL = re.compile(
    r"(?:(?<=[0-9)}%\s])|(?<=\\pi))\s*([A-Za-z]+(?:[ .]+[A-Za-z]+){0,3}(?:/[A-Za-z]+)?)" + _POWER + r"\s*$"
)
_HAN_TAIL = re.compile(r"([\u4e00-\u9fff]{1,8}(?:/[\u4e00-\u9fff]{1,4})?)" + _POWER + r"\s*$")
_DEGREES = re.compile(r"\s*\^\s*\{?\s*\\circ\s*\}?\s*(?:\\text\{\s*([CF])\s*\}|([CF]))?\s*$")
_CURRENCY = re.compile(
    r"^(-?)\s*(¤|€|£|¥|₹|(?:US)¤|Rs\.?|USD|RMB|人民币|\\text\{\s*(?:Rs\.?|USD|RMB)\s*\})\s*(?=[-0-9.\\(])"
)
_HAN_PREFIX = re.compile(r"^(?:共有?|约为?|大约|等于|为|是|第|一共|总共有?)\s*(?=[-0-9\\])")
_SIGN_TAIL = re.compile(r"\s*(¢|€|£|¥|¤)\s*$")


@dataclass(frozen=True, slots=True)
class Unit:
    """What is measured, by base unit and power, and how many base units one is."""

    dimension: tuple[tuple[str, int], ...]
    size: Fraction


@dataclass(frozen=True, slots=True)
class Quantity:
    """A text without its unit; ``scale`` is 1000 for ``thousand`` and so on."""

    text: str
    unit: Unit | None
    scale: int = 1


def without_prefix(text: str) -> str:
    """Without Chinese words before the number (``共``, ``约``)."""
    return _HAN_PREFIX.sub("", text)


def _name(word: str) -> str:
    word = word.strip(" .").lower()
    if word in _TABLE or word in _RATES:
        return word
    for ending in ("es", "s"):
        if word.endswith(ending) and (word.removesuffix(ending) in _TABLE or word.removesuffix(ending) in _RATES):
            return word.removesuffix(ending)
    return word.removesuffix("s") if len(word) > 3 else word


def _simple(word: str, power: int) -> Unit:
    word = word.strip(" .").lower()
    for prefix, factor in (
        ("square ", 2),
        ("sq. ", 2),
        ("sq ", 2),
        ("cubic ", 3),
        ("cu ", 3),
        ("平方", 2),
        ("立方", 3),
    ):
        if word.startswith(prefix):
            return _simple(word.removeprefix(prefix), power * factor)
    if word.endswith((" squared", " cubed")):
        return _simple(word.rpartition(" ")[0], power * (2 if word.endswith("squared") else 3))
    name = _name(word)
    kind, dimension, size = _TABLE.get(name, (name, 1, Fraction(1)))
    return Unit(((kind, dimension * power),), size**power)


def _unit(words: str, power: int = 1) -> Unit | None:
    """The unit that words name: a product or quotient of simple ones. None for one that says nothing (``units``)."""
    words = " ".join(words.lower().split())
    words = re.sub(r"\s*(?:\bper\b|每)\s*", "/", words)
    words = _RATES.get(words.strip(" ."), words)
    top, _, bottom = words.partition("/")
    plain = re.sub(r"^(?:square|sq\.?|cubic|cu\.?|平方|立方)\s*", "", _name(top))
    if not bottom and _name(plain) in _NEUTRAL:
        return None
    found: dict[str, int] = {}
    size = Fraction(1)
    for part, sign in ((top, 1), (bottom, -1)):
        if not part.strip():
            continue
        name, _, exponent = part.partition("^")
        exponent = exponent.strip("{} ")
        own = int(exponent) if exponent.isascii() and exponent.isdigit() and len(exponent) == 1 else 1
        one = _simple(name, sign * own * (power if not bottom or sign < 0 else 1))
        for kind, dimension in one.dimension:
            found[kind] = found.get(kind, 0) + dimension
        size *= one.size
    return Unit(tuple(sorted(found.items())), size)


def _are_words_of_unit(words: str) -> bool:
    parts = re.findall(r"[A-Za-z]+", words.lower())
    return bool(parts) and len(parts) <= 5 and not any(part in _NOT_UNITS for part in parts)


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


def _tail(text: str) -> tuple[int, str, int] | None:
    """Where the unit begins, its words, and its power."""
    if found := _TEXT_TAIL.search(text):
        words, power = found.group(1), int(found.group(2) or found.group(3) or 1)
        if below := found.group(5) or found.group(6):
            bottom = int(found.group(7) or found.group(8) or 1)
            words, power = f"{words}{'^' + str(power) if power != 1 else ''}/{below}^{bottom}", 1
        han = any("\u4e00" <= sign <= "\u9fff" for sign in words)
        return (found.start(), words, power) if han or _are_words_of_unit(words) else None
    if found := _HAN_TAIL.search(text):
        return found.start(), found.group(1), int(found.group(2) or found.group(3) or 1)
    if found := _BARE_TAIL.search(text):
        words = found.group(1)
        known = _name(words.partition("/")[0]) in _TABLE or _name(words) in _RATES
        spaced = text[: found.start(1)].endswith(" ")
        if _are_words_of_unit(words) and (known or (spaced and len(words) > 2)):
            return found.start(1), words, int(found.group(2) or found.group(3) or 1)
    return None


def separate(text: str) -> Quantity:
    r"""The number of a quantity, and its unit.

    >>> separate(r"5\text{ cm}^2").text
    '5'
    >>> separate("7x").unit is None
    True
    """
    text = _HAN_PREFIX.sub("", text)
    if found := _CURRENCY.match(text):
        sign = re.sub(r"\\text|[{}. ]", "", found.group(2)).lower().removeprefix("us")
        rest = separate(found.group(1) + text[found.end() :])
        return Quantity(rest.text, _unit(sign or "usd"), rest.scale)
    if found := _SIGN_TAIL.search(text):
        return Quantity(text[: found.start()].strip(), _unit(found.group(1)))
    if (found := _DEGREES.search(text)) and found.start() > 0:
        scale = found.group(1) or found.group(2)
        name = {"C": "celsius", "F": "fahrenheit"}.get(scale or "", "degree")
        return Quantity(text[: found.start()].strip(), _unit(name))
    tail = _tail(text)
    if tail is None or tail[0] == 0:
        return Quantity(text, None)
    start, words, power = tail
    head = text[:start].strip()
    words, scale = _scaled(words)
    if words.lower().removeprefix("degrees ").removeprefix("degree ") in ("celsius", "fahrenheit"):
        words = words.lower().rpartition(" ")[2]
    return Quantity(head, _unit(words, power) if words else None, scale)


def ratio(reference: Unit | None, answer: Unit | None) -> Fraction | None:
    """What the answer's number is to be multiplied by; None where the two measure different things."""
    if reference is None or answer is None:
        return Fraction(1)
    return answer.size / reference.size if reference.dimension == answer.dimension else None
