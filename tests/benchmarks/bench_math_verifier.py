r"""Checks per second of one core: r1ray's verifier beside math-verify as it comes, on one mix.

    python tests/benchmarks/bench_math_verifier.py [SECONDS]

The mix is like the answers of a mathematics data set: about two thirds numbers, fractions, choices and words, one
third expressions, intervals, tuples, matrices; half of the answers are right, and hardly any pair comes twice, so that
no cache helps. One check runs at a time, so that never more than one core works. The last line is the ratio.
"""

from __future__ import annotations

import logging
import random
import sys
import time
from collections.abc import Callable, Iterator

from math_verify import parse, verify

from r1ray.reward.math.verifier import MathVerifier

Pair = tuple[str, str]


def simple(draw: random.Random) -> Pair:
    """A number, a fraction, a unit, a percentage, a choice."""
    number, other = draw.randint(2, 10**6), draw.randint(2, 999)
    return draw.choice(
        [
            (str(number), str(number)),
            (f"{number:,}", str(number)),
            (rf"\frac{{{number}}}{{{other}}}", rf"\dfrac{{{2 * number}}}{{{2 * other}}}"),
            (str(other), rf"{other}\text{{ cm}}"),
            (rf"{other}\%", f"{other / 100}"),
            (f"x={number}", str(number)),
            (draw.choice("ABCD"), rf"\text{{({draw.choice('ABCD')})}} {number}"),
        ]
    )


def expression(draw: random.Random) -> Pair:
    """Something that is more than a number."""
    a, b, c = draw.randint(2, 99), draw.randint(2, 99), draw.randint(2, 99)
    return draw.choice(
        [
            (rf"{a}\sqrt{{{b}}}+{c}", rf"{c}+\sqrt{{{a * a * b}}}"),
            (rf"x^2+{a + b}x+{a * b}", rf"(x+{a})(x+{b})"),
            (rf"({a},{b})", rf"\left({a}, {b}\right)"),
            (rf"[{a},\infty)", rf"x\ge{a}"),
            (rf"{a},{b},{c}", rf"{c}, {a}, {b}"),
            (rf"y={a}x+{b}", rf"{a}x-y+{b}=0"),
            (rf"\begin{{pmatrix}}{a}&{b}\\{c}&1\end{{pmatrix}}", rf"\begin{{bmatrix}}{a}&{b}\\{c}&1\end{{bmatrix}}"),
            (rf"{a}+{b}i", rf"{b}i+{a}"),
            (rf"\frac{{{a}\pi}}{{{b}}}", rf"\frac{{{a}}}{{{b}}}\pi"),
            (rf"x^2={a * a}", rf"x=\pm {a}"),  # left to math-verify by both
        ]
    )


def mix(seed: int) -> Iterator[Pair]:
    """Pairs without end; a digit of every second answer is another one."""
    draw = random.Random(seed)
    while True:
        reference, answer = simple(draw) if draw.random() < 2 / 3 else expression(draw)
        if draw.random() < 0.5:
            places = [place for place, sign in enumerate(answer) if sign.isdigit()] or [len(answer)]
            place = draw.choice(places)
            answer = answer[:place] + str(draw.randint(1, 9)) + answer[place + 1 :]
        yield reference, rf"Some reasoning. So the answer is $\boxed{{{answer}}}$."


def rate(check: Callable[[str, str], object], seconds: float) -> tuple[float, float]:
    """Checks per second of wall time, and the 99th percentile in milliseconds."""
    pairs, times = mix(seed=1), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        reference, text = next(pairs)
        started = time.perf_counter()
        check(reference, text)
        times.append(time.perf_counter() - started)
    return len(times) / sum(times), sorted(times)[int(len(times) * 0.99)] * 1000


def raw(reference: str, text: str) -> bool:
    """math-verify with its defaults, but for its time limits: those are signals."""
    gold, target = parse(f"${reference}$", parsing_timeout=None), parse(text, parsing_timeout=None)
    return bool(verify(gold, target, timeout_seconds=None))


def main(seconds: float) -> None:
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    raw("1", r"\boxed{x^2+1}")
    theirs, their_p99 = rate(raw, seconds)
    with MathVerifier() as verifier:
        verifier.score_sync("x^2=9", r"\boxed{x=\pm 3}")  # the process has started
        ours, our_p99 = rate(verifier.score_sync, seconds)
    print(f"math-verify alone   {theirs:8.0f} checks/s/core   p99 {their_p99:6.1f} ms")
    print(f"r1ray MathVerifier  {ours:8.0f} checks/s/core   p99 {our_p99:6.1f} ms")
    print(f"ratio               {ours / theirs:8.1f}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
