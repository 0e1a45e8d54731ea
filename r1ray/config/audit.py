"""Responses that ``r1ray audit`` puts to a reward."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.values import at_least


@dataclass
class AuditConfig:
    """The battery of wrong responses that ``r1ray audit`` puts to a reward. A run has no use for it."""

    num_prompts: int = 100
    """Prompts of ``data.train`` that are drawn; each gets some 100 responses."""
    seed: int = 0
    """Seed of which prompts are drawn, and which responses are made for each."""

    def __post_init__(self) -> None:
        at_least("audit.num_prompts", self.num_prompts, 1)
        at_least("audit.seed", self.seed, 0)
