r"""Pairs of numbers, lists, sets of numbers, quantities, families: each side carries what it is, by construction."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from fractions import Fraction

from tests.reward.math.labels.expressions import Labelled

SIZES = {"mm": ("length", "1/1000"), "cm": ("length", "1/100"), "m": ("length", "1"), "km": ("length", "1000"),
         "g": ("mass", "1"), "kg": ("mass", "1000"), "mg": ("mass", "1/1000"), "s": ("time", "1"),
         "min": ("time", "60"),
         "h": ("time", "3600"), "ms": ("time", "1/1000"), "kWh": ("energy", "3600000"), "MJ": ("energy", "1000000"),
         "J": ("energy", "1"), "kJ": ("energy", "1000"), "mA": ("current", "1/1000"), "A": ("current", "1"),
         "kN": ("force", "1000"), "N": ("force", "1"), "kPa": ("pressure", "1000"), "Pa": ("pressure", "1"),
         "mL": ("volume", "1/1000"), "L": ("volume", "1"), "GHz": ("frequency", "1000000000"),
         "MHz": ("frequency", "1000000"), "km/h": ("speed", "5/18"), "m/s": ("speed", "1")}  # fmt: skip
CHANGES = {"tenths": "1/10", "hundredths": "1/100", "halves": "1/2", "thirds": "1/3", "tens": "10", "dozen": "12",
           "thousand": "1000", "million": "1000000", "squared": None, "cubed": None, "quarters": "1/4",
           "percent of a half": "1/200", "score": "20", "per thousand": "1/1000", "hundred": "100",
           "factorial": None, "times ten": "10", "plus one": None, "and a half": None, "below zero": "-1"}  # fmt: skip


def written(value: Fraction, draw: random.Random) -> str:
    """A number in one of its spellings; each is exact."""
    top, bottom = value.numerator, value.denominator
    spellings = [rf"\frac{{{top}}}{{{bottom}}}", f"{top}/{bottom}", rf"\dfrac{{{3 * top}}}{{{3 * bottom}}}"]
    if bottom == 1:
        spellings = [str(top), f"{top:,}", f"{top}.0", rf"\text{{{top}}}", f"x={top}", f"{top:,}".replace(",", "{,}")]
    elif 10**6 % bottom == 0:
        spellings += [f"{float(value):.6f}".rstrip("0"), rf"{float(value * 100):.6f}\%"]
    if bottom > 1 and top > bottom:
        spellings.append(rf"{top // bottom}\frac{{{top % bottom}}}{{{bottom}}}")
    return draw.choice(spellings)


def numbers(draw: random.Random) -> Iterator[Labelled]:
    value = Fraction(draw.randint(1, 9999), draw.choice([1, 1, 2, 3, 4, 5, 7, 8, 16, 25]))
    other = value + Fraction(draw.choice([-1, 1]), draw.choice([1, 10, value.denominator]))
    reference = (
        f"{value.numerator}" if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"
    )
    yield "number", reference, written(value, draw), True
    yield "number", reference, written(other, draw), other == value


def lists(draw: random.Random) -> Iterator[Labelled]:
    one = draw.sample(range(-20, 30), draw.randint(2, 4))
    other = draw.choice([draw.sample(one, len(one)), one[::-1], [*one[:-1], one[-1] + 1], one[1:], [*one, 31]])
    ways = {"set": (r"\{%s\}", r"\{%s\}", sorted(one) == sorted(other)), "tuple": ("(%s)", "(%s)", one == other),
            "list": ("%s", r"%s", sorted(one) == sorted(other))}  # fmt: skip
    for kind, (left, right, label) in ways.items():
        yield kind, left % ", ".join(map(str, one)), right % ", ".join(map(str, other)), label
    rows = [one[:2], [3, 4]]
    text = rf"\begin{{pmatrix}}{one[0]}&{one[1]}\\3&4\end{{pmatrix}}"
    changed = draw.choice([rows, [one[:2], [4, 3]], [one[1::-1], [3, 4]]])
    yield "matrix", text, str(changed).replace(" ", ""), changed == rows
    vector = rf"{one[0]}\mathbf{{i}}{one[1]:+d}\mathbf{{j}}"
    yield "vector", vector, f"({other[0]}, {other[1] if len(other) > 1 else 0})", one[:2] == [*other, 0][:2]
    yield "vector", f"({one[0]},{one[1]})", rf"{one[0]}\hat{{i}}{one[1]:+d}\hat{{j}}", True


def intervals(draw: random.Random) -> Iterator[Labelled]:
    """An interval is what it holds: the label comes from its ends and from points inside and outside."""
    low = draw.randint(-9, 5)
    high = low + 2 * draw.randint(1, 6)
    middle, radius = (low + high) // 2, (high - low) // 2
    shapes: list[tuple[str, Callable[[float], bool]]] = [
        (f"({low},{high})", lambda x: low < x < high),
        (f"[{low},{high}]", lambda x: low <= x <= high),
        (f"[{low},{high})", lambda x: low <= x < high),
        (f"{low}<x<{high}", lambda x: low < x < high),
        (rf"{low}\le x<{high}", lambda x: low <= x < high),
        (rf"x>{low}", lambda x: x > low),
        (rf"({low},\infty)", lambda x: x > low),
        (f"|x{-middle:+d}|<{radius}" if middle else f"|x|<{radius}", lambda x: abs(x - middle) < radius),
        (rf"\{{x\mid {low}<x<{high}\}}", lambda x: low < x < high),
    ]
    (left, inside), (right, also) = draw.choice(shapes), draw.choice(shapes)
    points = [low, high, *(draw.uniform(-20, 30) for _ in range(200))]
    yield "interval", left, right, all(inside(x) == also(x) for x in points)


def quantities(draw: random.Random) -> Iterator[Labelled]:
    unit = draw.choice(list(SIZES))
    kind, size = SIZES[unit]
    alike = [name for name, (own, _) in SIZES.items() if own == kind]
    other = draw.choice([*alike, *alike, draw.choice(list(SIZES))])
    value = Fraction(draw.choice([1, 2, 3, 5, 12, 18, 36, 90, 250]))
    in_other = value * Fraction(size) / Fraction(SIZES[other][1])
    answer = draw.choice([in_other, in_other, in_other, value, in_other * 10])
    label = SIZES[other][0] == kind and answer * Fraction(SIZES[other][1]) == value * Fraction(size)
    yield "quantity", rf"{value}\text{{ {unit}}}", rf"{plain(answer)}\text{{ {other}}}", label
    word, factor = draw.choice(list(CHANGES.items()))
    changed = None if factor is None else Fraction(value.numerator) * Fraction(factor)
    yield "changed", str(value), rf"{value}\text{{ {word}}}", changed == value


def plain(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def compounds(draw: random.Random) -> Iterator[Labelled]:
    large, small, ratio = draw.choice([("h", "min", 60), ("feet", "inches", 12), ("minutes", "seconds", 60),
                                       ("dollars", "cents", 100), ("kg", "g", 1000), ("m", "cm", 100)])  # fmt: skip
    one, two = draw.randint(1, 9), draw.randint(1, 11)
    total = one * ratio + two
    answer = draw.choice([total, total, total + 1, one * 10 + two])
    yield "compound", rf"{one}\text{{ {large} }}{two}\text{{ {small}}}", rf"{answer}\text{{ {small}}}", answer == total
    hour, minute = draw.randint(1, 11), draw.choice([0, 5, 15, 30, 45])
    half = draw.choice(["AM", "PM"])
    said = draw.choice([f"{hour}:{minute:02d} {half}", rf"{hour}:{minute:02d}\text{{ {half[0].lower()}.m.}}",
                        f"{hour + 12}:{minute:02d}", f"{hour}:{(minute + 5) % 60:02d} {half}"])  # fmt: skip
    at = hour + (12 if half == "PM" else 0), minute
    told = int(said.split(":")[0]) + (12 if "P" in said or "p" in said else 0), int(said.split(":")[1][:2])
    yield "clock", rf"{hour}:{minute:02d}\text{{ {half[0].lower()}.m.}}", said, told == at


def families(draw: random.Random) -> Iterator[Labelled]:
    r"""``a\pi/6 + s k\pi`` over all integers k, as the numbers that it holds between -50 and 50."""
    start, step = draw.randint(1, 5), draw.choice([1, 2])
    other, stride = draw.choice([(start, step), (start - 6 * step, step), (start, 3 - step), (start + 1, step)])
    held = [
        {Fraction(first, 6) + pace * k for k in range(-400, 400) if abs(Fraction(first, 6) + pace * k) < 50}
        for first, pace in ((start, step), (other, stride))
    ]
    name = draw.choice("knm")
    sign = "+" if other >= 0 else "-"
    reference = rf"x=\frac{{{start}\pi}}{{6}}+{step if step > 1 else ''}k\pi, k\in\mathbb{{Z}}"
    answer = rf"{stride if stride > 1 else ''}{name}\pi{sign}\frac{{{abs(other)}\pi}}{{6}}, {name}\in\mathbb{{Z}}"
    yield "family", reference, answer, held[0] == held[1]


def lines(draw: random.Random) -> Iterator[Labelled]:
    """Two lines are one if two points of the first lie on the second."""
    a, b, c, times = draw.randint(1, 9), draw.randint(1, 9), draw.randint(1, 20), draw.randint(2, 5)
    d, e, f = draw.choice([(a * times, b * times, c * times), (a, b, c + 1), (a, -b, c), (b, a, c)])
    on = [(Fraction(0), Fraction(c, b)), (Fraction(1), Fraction(c - a, b))]
    yield "line", f"{a}x+{b}y={c}", f"{d}x{e:+d}y={f}", all(d * x + e * y == f for x, y in on)
    root = draw.randint(-9, 9)
    value = a * root + b
    yield "to_solve", str(value), f"{a + 1}x{b:+d}={value}", Fraction(value - b, a + 1) == value
    yield (
        "to_solve",
        str(value),
        draw.choice([f"x={value}", f"f({root})={value}", f"{a}\\cdot({root})+{b}={value}"]),
        True,
    )


def bases(draw: random.Random) -> Iterator[Labelled]:
    value, base = draw.randint(5, 400), draw.choice([2, 3, 8, 16])
    digits, rest = "", value
    while rest:
        digits, rest = "0123456789ABCDEF"[rest % base] + digits, rest // base
    name = {2: "two", 3: "three", 8: "eight", 16: "sixteen"}[base]
    yield (
        "base",
        f"{digits}_{{{base}}}",
        draw.choice([rf"{digits}_{{\text{{{name}}}}}", digits, f"({digits})_{{{base}}}"]),
        True,
    )
    yield "base", f"{digits}_{{{base}}}", f"{digits}_{{{base + 1}}}", False
    if digits.isdigit() and len(digits) > 1:
        yield "base", digits, f"{digits}_{{{base}}}", int(digits, base) == int(digits)


def counts(draw: random.Random) -> Iterator[Labelled]:
    top, bottom = draw.randint(4, 12), draw.randint(2, 3)
    chosen, more = math.comb(top, bottom), math.comb(top, bottom + 1)
    said = [
        rf"\binom{{{top}}}{{{bottom}}}",
        f"C_{{{top}}}^{{{bottom}}}",
        rf"\frac{{{top}!}}{{{bottom}!{top - bottom}!}}",
    ]
    yield "count", draw.choice(said), str(chosen), True
    yield "count", str(chosen), f"C_{{{top}}}^{{{bottom + 1}}}", more == chosen
    double, single = math.prod(range(top, 0, -2)), math.factorial(top)
    value = draw.choice([double, single])
    yield "count", f"{top}!!", str(value), value == double


KINDS = (numbers, lists, intervals, quantities, compounds, families, lines, bases, counts)


def pairs(draw: random.Random, *, rounds: int) -> Iterator[Labelled]:
    for _ in range(rounds):
        for make in KINDS:
            yield from make(draw)
