"""From a completion to its outcome: every part by name, and their weighted sum."""

from __future__ import annotations

import importlib
import math
from typing import cast

from r1ray.config import RewardConfig
from r1ray.errors import InfrastructureError, UserError
from r1ray.interfaces import RewardFn
from r1ray.reward.accuracy import accuracy_reward, extract_answer
from r1ray.reward.format import format_reward
from r1ray.types import Completion, Outcome, Prompt, Response, Scored, ScoringFailed, Unscorable, Verdict

BUILT_IN: dict[str, RewardFn] = {"accuracy": accuracy_reward, "format": format_reward}


def load_function(key: str, path: str) -> RewardFn:
    """The function that ``package.module:function`` names. Raises UserError."""
    module, _, name = path.partition(":")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{key}={path}: needs package.module:function of an importable function: {error}.") from error
    if not callable(function):
        raise UserError(f"{key}={path}: {name} is not a function.")
    return cast(RewardFn, function)


def resolve_parts(config: RewardConfig) -> dict[str, tuple[float, RewardFn]]:
    """Weight and function of each part. Raises UserError for a name that is none of ours and has no function."""
    parts: dict[str, tuple[float, RewardFn]] = {}
    for name, part in config.parts.items():
        if part.function is not None:
            parts[name] = (part.weight, load_function(f"reward.parts.{name}.function", part.function))
        elif name in BUILT_IN:
            parts[name] = (part.weight, BUILT_IN[name])
        else:
            raise UserError(
                f"reward.parts.{name}: no such reward; needs one of {', '.join(sorted(BUILT_IN))}, or "
                f"reward.parts.{name}.function=package.module:function."
            )
    return parts


class RewardScorer:
    """The Scorer role: applies the configured parts to completions, one after the other."""

    def __init__(self, config: RewardConfig) -> None:
        self._parts = resolve_parts(config)

    async def score(self, prompt: Prompt, chunk: tuple[Completion, ...]) -> tuple[Verdict, ...]:
        """See :class:`r1ray.interfaces.Scorer`."""
        return tuple(self._verdict(prompt, completion) for completion in chunk)

    def _verdict(self, prompt: Prompt, completion: Completion) -> Verdict:
        outcome = self.outcome(prompt, Response(completion.text, completion.finish_reason == "stop"))
        return Verdict.of(completion, outcome, extracted=extract_answer(completion.text))

    def outcome(self, prompt: Prompt, response: Response) -> Outcome:
        """The weighted sum of the parts (the paper adds them up)."""
        if not prompt.check.answer.strip():
            return Unscorable("the reference answer is empty")
        parts: dict[str, float] = {}
        failed: list[str] = []
        for name, (_, function) in self._parts.items():
            # What the model wrote must never stop training, whatever it does to a reward function: this is the one
            # place with a broad except. The part counts 0 and the failure is counted. An error of the machine, or of
            # a service that the function asks, is not the model's.
            try:
                parts[name] = float(function(prompt, response))
            except (MemoryError, OSError, InfrastructureError) as error:
                return ScoringFailed(f"reward part {name}: {type(error).__name__}: {error}")
            except Exception:
                parts[name] = math.nan
            if not math.isfinite(parts[name]):
                parts[name] = 0.0
                failed.append(name)
        total = sum(weight * parts[name] for name, (weight, _) in self._parts.items())
        return Scored(total, parts, tuple(failed))
