"""Groups of trajectories as a simulation draws them: lengths, turns, answers.

A length is log-normal, cut at the limit; its mean, cut, is what the plan says. Half of its spread is the prompt's: the
outputs of one group are alike. Groups are drawn by their number and the seed alone, so that two simulations of other
machines have the same work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from r1ray.planning.plan import Plan

BLOCK = 256
"""Groups that are drawn at a time."""
PROMPT_SHARE = 0.5
"""Share of the variance of a length's logarithm that the prompt has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One group."""

    tokens: tuple[int, ...]
    """Policy tokens of each trajectory, in all turns."""
    turns: tuple[int, ...]
    """Turns of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """The groups that are generated."""

    group_size: int
    prompt_tokens: float
    mean_tokens: float
    """Policy tokens of a trajectory, in all turns."""
    longest: int
    """Policy tokens of a trajectory; longer ones are cut."""
    spread: float
    """Standard deviation over mean, before they are cut."""
    mean_turns: float = 1.0
    max_turns: int = 1
    answer_tokens: float = 0.0
    """Tokens of an environment's answer to one turn."""
    seed: int = 0
    _blocks: dict[int, list[Drawn]] = field(default_factory=dict, compare=False, repr=False)

    def group(self, number: int) -> Drawn:
        """Return a group by its number, from 0 on."""
        block, place = divmod(number, BLOCK)
        if block not in self._blocks:
            self._blocks[block] = self._draw(block)
        return self._blocks[block][place]

    def _draw(self, block: int) -> list[Drawn]:
        rng, shape = np.random.default_rng([self.seed, block]), (BLOCK, self.group_size)
        of_prompt, own = rng.standard_normal((BLOCK, 1)), rng.standard_normal(shape)
        sigma = math.sqrt(math.log1p(self.spread**2))
        normal = math.sqrt(PROMPT_SHARE) * of_prompt + math.sqrt(1 - PROMPT_SHARE) * own
        scale = _scale(self.mean_tokens, self.longest, sigma)
        tokens = np.clip(np.rint(scale * np.exp(sigma * normal)), 1, self.longest).astype(int)
        turns = np.minimum(1 + rng.poisson(max(0.0, self.mean_turns - 1), shape), self.max_turns)
        turns = np.minimum(turns, tokens)  # a turn has a token
        return [Drawn(tokens=tuple(a), turns=tuple(b)) for a, b in zip(tokens.tolist(), turns.tolist(), strict=True)]


def work_of(plan: Plan) -> Work:
    """Return what a planned stage generates."""
    config, batch = plan.config, plan.batch
    answers = max(1.0, batch.turns - 1)
    return Work(
        group_size=config.algo.group_size,
        prompt_tokens=batch.prompt_tokens,
        mean_tokens=batch.completion_tokens,
        longest=batch.longest_completion,
        spread=config.plan.length_spread,
        mean_turns=batch.turns,
        max_turns=config.environment.max_turns if batch.turns > 1 else 1,
        answer_tokens=batch.context_tokens / answers,
        seed=config.seed,
    )


def _scale(mean: float, longest: int, sigma: float) -> float:
    """Return the median of a log-normal whose mean is ``mean`` once it is cut at ``longest``."""
    if sigma == 0 or mean >= longest:
        return float(mean)
    low, high = 1e-9, float(longest) * 1e3
    for _ in range(80):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _cut_mean(middle, longest, sigma) < mean else (low, middle)
    return math.sqrt(low * high)


def _cut_mean(median: float, longest: int, sigma: float) -> float:
    """Return E[min(X, longest)] of a log-normal X."""
    z = math.log(longest / median) / sigma
    below = median * math.exp(sigma**2 / 2) * _normal(z - sigma)
    return below + longest * (1 - _normal(z))


def _normal(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
