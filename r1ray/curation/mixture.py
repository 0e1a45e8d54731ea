"""Mixtures of sources by ratio: rows of each source are drawn without replacement, then shuffled together. The draw
from a source depends only on the seed and the source's name, not on the other sources."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceShare:
    """Share of one source in a mixture."""

    name: str
    ratio: float
    """Ratio as a share of 1."""
    num_available: int
    num_taken: int
    num_distinct: int
    """Number of distinct rows; below ``num_taken`` if the source was oversampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureReport:
    """Composition of a mixture."""

    total: int
    seed: int
    sources: tuple[SourceShare, ...]
    """Shares by name of the source."""


@dataclass(frozen=True, slots=True)
class Mixture(Generic[T]):
    """Rows in their order, and the report on their sources."""

    rows: list[T]
    report: MixtureReport


def mix(
    sources: Mapping[str, Sequence[T]],
    ratios: Mapping[str, float],
    *,
    seed: int,
    total: int | None = None,
    oversample: bool = False,
) -> Mixture[T]:
    """Mix rows of every source in the given ratios, each within one row of its exact share.

    Args:
        ratios: one for each source, on any scale: ``{"reasoning": 600, "other": 200}``.
        total: number of rows of the mixture; None: as many as the smallest source allows.
        oversample: repeat all rows of a source that is too small, as often as necessary.

    Raises:
        ValueError: a source is too small, or the names of sources and ratios differ.

    >>> mixture = mix({"a": range(6), "b": range(90)}, {"a": 3, "b": 1}, seed=0)
    >>> [(share.name, share.num_taken) for share in mixture.report.sources]
    [('a', 6), ('b', 2)]
    """
    shares = _shares(sources, ratios)
    if total is None:
        total = min(math.floor(len(sources[name]) / share) for name, share in shares.items() if share)
    if total < 0:
        raise ValueError(f"total is {total}, and has to be at least 0.")
    counts = apportion(total, shares)
    rows: list[T] = []
    report = []
    for name, count in counts.items():
        source = sources[name]
        if count > len(source) and not (oversample and source):
            raise ValueError(
                f"{name} has {len(source)} rows, and {count} are needed for a total of {total}: lower the total or its "
                "ratio, or oversample."
            )
        picked = _pick(len(source), count, _generator(seed, name))
        rows += [source[index] for index in picked]
        report.append(
            SourceShare(
                name=name,
                ratio=float(shares[name]),
                num_available=len(source),
                num_taken=count,
                num_distinct=min(count, len(source)),
            )
        )
    order = np.random.default_rng(seed).permutation(len(rows))
    return Mixture([rows[i] for i in order], MixtureReport(total=total, seed=seed, sources=tuple(report)))


def apportion(total: int, shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Return whole numbers that add up to the total, each within one of its exact share: the largest remainders are
    rounded up, equal ones in the order of the mapping.

    >>> apportion(10, {"a": Fraction(1, 3), "b": Fraction(2, 3)})
    {'a': 3, 'b': 7}
    """
    counts = {name: math.floor(total * share) for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: counts[name] - total * shares[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _shares(sources: Mapping[str, Sequence[T]], ratios: Mapping[str, float]) -> dict[str, Fraction]:
    """Return the ratios as shares of 1, by name, exactly as their decimals are written: 0.7 and 0.3 are 7 to 3."""
    if sources.keys() != ratios.keys():
        raise ValueError(f"sources are {sorted(sources)}, ratios are for {sorted(ratios)}; needs one for each.")
    if any(not math.isfinite(ratio) or ratio < 0 for ratio in ratios.values()) or not any(ratios.values()):
        raise ValueError(f"ratios are {dict(ratios)}; needs numbers of at least 0, and one above it.")
    exact = {name: Fraction(str(ratios[name])) for name in sorted(ratios)}
    whole = sum(exact.values())
    return {name: ratio / whole for name, ratio in exact.items()}


def _generator(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, int.from_bytes(sha256(name.encode()).digest()[:8], "little")])


def _pick(num_available: int, count: int, generator: np.random.Generator) -> list[int]:
    """Return row numbers: all rows as often as they fit, and a draw without replacement for the rest."""
    if not count:
        return []
    copies, rest = divmod(count, num_available)
    drawn: list[int] = generator.permutation(num_available)[:rest].tolist()
    return [*range(num_available)] * copies + drawn
