"""Held-out prompts of a run, one table or several sets by name, and the groups with metrics of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from r1ray.config.environment import NO_WORLD
from r1ray.config.sources import DOMAIN, ENVIRONMENT
from r1ray.data.prompts import PromptTable
from r1ray.types import Prompt


@dataclass(frozen=True, slots=True)
class HeldOutPrompt:
    """A prompt, and the groups in whose metrics it counts, beside the metrics of all prompts.

    Example: ``HeldOutPrompt(prompt, ("aime", "domain/math", "environment/python"))``
    """

    prompt: Prompt
    groups: tuple[str, ...] = ()


class HeldOutPrompts:
    """Sets of held-out prompts, by name; a single table has the name ``""``."""

    def __init__(self, sets: Mapping[str, PromptTable]) -> None:
        self._sets = sets

    @property
    def tables(self) -> Mapping[str, PromptTable]:
        """Return the prompts of each set."""
        return self._sets

    @cached_property
    def _has_domains(self) -> bool:
        return len({domain for table in self._sets.values() for domain in table.rows_by("domain")}) > 1

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return every group that has metrics of its own: sets, domains if there are several, and environments."""
        domains = dict.fromkeys(domain for table in self._sets.values() for domain in table.rows_by("domain"))
        worlds = dict.fromkeys(name for table in self._sets.values() for name in table.rows_by("environment"))
        sets = [name for name in self._sets if name]
        return (
            *sets,
            *(f"{DOMAIN}/{name}" for name in domains if self._has_domains),
            *(f"{ENVIRONMENT}/{name}" for name in worlds if name != NO_WORLD),
        )

    def first(self, count: int) -> list[HeldOutPrompt]:
        """Return ``count`` prompts, the first ones of each set, equally many of each as far as the sets have enough."""
        shares = even_shares([len(table) for table in self._sets.values()], count)
        return [
            self._prompt(name, table[index])
            for (name, table), share in zip(self._sets.items(), shares, strict=True)
            for index in range(share)
        ]

    def _prompt(self, name: str, prompt: Prompt) -> HeldOutPrompt:
        groups: tuple[str, ...] = (f"{DOMAIN}/{prompt.domain}",) if self._has_domains else ()
        if prompt.environment:
            groups += (f"{ENVIRONMENT}/{prompt.environment}",)
        if not name:
            return HeldOutPrompt(prompt, groups)
        return HeldOutPrompt(replace(prompt, id=f"{name}/{prompt.id}"), (name, *groups))


def even_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Return how many to take of each set, ``total`` together, so that the smallest share is as large as possible.

    >>> even_shares([3, 100, 100], 23), even_shares([2, 2], 10)
    ([3, 10, 10], [2, 2])
    """
    shares = [0] * len(sizes)
    for num_done, index in enumerate(sorted(range(len(sizes)), key=lambda index: sizes[index])):  # small ones first
        left = total - sum(shares)
        shares[index] = min(sizes[index], left // (len(sizes) - num_done))
    return shares
