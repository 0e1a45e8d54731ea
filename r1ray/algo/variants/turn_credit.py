"""Credit by turn: a turn gets no credit for rewards of the turns before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeAlias

Rewards: TypeAlias = Sequence[Sequence[float | None]]
Advantages: TypeAlias = list[list[float | None]]
DIGITS = 12


def returns_of_turns(total: float, turn_rewards_T: Sequence[float]) -> list[float]:
    """Return R_t = r - sum_{s < t} r_s, the undiscounted reward-to-go of each turn: the turn's own reward, those of the
    turns after it, and the reward of the final state.

    Args:
        total: r, the reward of the trajectory, which includes those of its turns.
        turn_rewards_T: r_t of each turn; at least one.

    >>> returns_of_turns(1.5, [0.5, 0.0, 1.0])
    [1.5, 1.0, 1.0]
    """
    # Rounded, because returns that differ in the last bit alone would differ visibly once divided by a std.
    return [round(total - paid, DIGITS) if paid else total for paid in accumulate(turn_rewards_T[:-1], initial=0.0)]


def turn_advantages(
    rewards_PG: Rewards,
    turn_rewards_PGT: Sequence[Sequence[Sequence[float]]],
    advantages: Callable[[Rewards], Advantages],
) -> list[list[tuple[float, ...]]]:
    """Return A_{i,t} = (R_{i,t} - mean_j(R_{j,t})) / std_j(R_{j,t}) over the trajectories j of a group: the advantage
    of turn t relative to the same turn of the others (MT-GRPO: Zeng et al. 2025, arXiv 2505.11821, which has two
    turns). A trajectory that ended before turn t is represented by its last return. So without turn rewards all turns
    have the advantage of the trajectory, and the first turn always has it.

    Args:
        rewards_PG: r_i of each trajectory of each group of a step; None if it could not be scored.
        turn_rewards_PGT: rewards of each of its turns.
        advantages: function from one number per trajectory to advantages, such as
            :func:`r1ray.algo.advantage.step_advantages`.

    Returns:
        A_{i,t} of each turn of each trajectory; empty for a trajectory that could not be scored.
    """
    returns_PGT = [
        [[] if r is None else returns_of_turns(r, turns_T) for r, turns_T in zip(rewards_G, turns_GT, strict=True)]
        for rewards_G, turns_GT in zip(rewards_PG, turn_rewards_PGT, strict=True)
    ]
    longest = max((len(returns_T) for returns_GT in returns_PGT for returns_T in returns_GT), default=0)
    by_turn = [advantages(_at(returns_PGT, turn)) for turn in range(longest)]
    return [
        [
            tuple(a for turn in range(len(returns_T)) if (a := by_turn[turn][p][g]) is not None)
            for g, returns_T in enumerate(returns_GT)
        ]
        for p, returns_GT in enumerate(returns_PGT)
    ]


def _at(returns_PGT: Sequence[Sequence[Sequence[float]]], turn: int) -> list[list[float | None]]:
    """Return R_{i,t} of one turn, or the last return of a trajectory that ended before it."""
    return [
        [returns_T[min(turn, len(returns_T) - 1)] if returns_T else None for returns_T in returns_GT]
        for returns_GT in returns_PGT
    ]
