"""An environment of the user's own of two turns, for runs in which environment workers are lost."""

from __future__ import annotations

from r1ray.turns import Action, Done
from r1ray.types import Prompt


class TwoTurns:
    def reset(self, prompt: Prompt, seed: int) -> None:
        """Begin with the prompt."""

    def step(self, action: Action) -> str | Done:
        return "Again." if action.turn == 0 else Done(label="answered")
