"""What values have to be. Everything raises ``ValueError`` with the key, the value found and the value needed."""

from __future__ import annotations


def one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}={value}: needs one of {', '.join(allowed)}.")


def at_least(key: str, value: float, least: float) -> None:
    if value < least:
        raise ValueError(f"{key}={value}: needs at least {least:g}.")


def above(key: str, value: float, bound: float) -> None:
    if value <= bound:
        raise ValueError(f"{key}={value}: needs to be above {bound:g}.")


def check_sampling(section: str, temperature: float | None, top_p: float | None) -> None:
    if temperature is not None:
        at_least(f"{section}temperature", temperature, 0)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{section}top_p={top_p}: needs to be above 0 and at most 1.")


def divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]
