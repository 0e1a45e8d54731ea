"""Tasks of reasoning-gym, which ``data.train`` and ``data.eval`` name as ``reasoning_gym:SET+SET``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from r1ray.config.values import at_least, between


@dataclass
class ReasoningGymConfig:
    """Tasks of reasoning-gym's sets, made for the run: of ``data.train=reasoning_gym:SET+SET``, and ``data.eval``."""

    size: int = 500
    """Training tasks of each set."""
    eval_size: int = 100
    """Held-out tasks of each set. They are of other seeds, and none asks what a training task asks."""
    seed: int = 0
    """Seed of the tasks."""
    difficulty: int | None = None
    """Level of every set's own curriculum; 0 is the easiest, and a set's highest stands for those above. null: the
    sets' defaults."""
    sets: dict[str, Any] = field(default_factory=dict)
    """Options of a set, by its name: ``data.reasoning_gym.sets.countdown={max_numbers: 4}``."""
    threshold: float = 1.0
    """Least score, by a set's own checker, that is paid. Many checkers give 0.01 to 0.5 to wrong answers: 1 pays right
    ones alone, and 0 pays what they give. Unit: share."""

    def __post_init__(self) -> None:
        at_least("data.reasoning_gym.size", self.size, 1)
        at_least("data.reasoning_gym.eval_size", self.eval_size, 1)
        at_least("data.reasoning_gym.seed", self.seed, 0)
        if self.difficulty is not None:
            at_least("data.reasoning_gym.difficulty", self.difficulty, 0)
        between("data.reasoning_gym.threshold", self.threshold, 0, 1)
        for name, options in self.sets.items():
            if not isinstance(options, dict):
                raise ValueError(
                    f"data.reasoning_gym.sets.{name}={options}: needs an object of options, as in {{max_numbers: 4}}."
                )
