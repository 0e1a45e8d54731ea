"""Rewards r_i of a group, in the step that trains on it, and what makes a group useless.

The scorer knows of no steps: it says what every part of the reward is. Which parts count, and how they add up to one
number, is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from r1ray.algo.compose import normalised_rewards, total_reward
from r1ray.algo.variants.dynamic_sampling import is_uniform
from r1ray.algo.variants.overlong import OVERLONG, overlong_penalty
from r1ray.config import AlgoConfig, RewardConfig
from r1ray.types import Scored, ScoredGroup, ScoredTrajectory, Unscorable


def weigh(group: ScoredGroup, config: RewardConfig, *, step: int) -> ScoredGroup:
    """Return the group with the totals that it has in ``step``: of the parts that count by then."""
    weights = config.weights_at(step)
    if len(weights) == len(config.parts):
        return group
    gate = _gate_of(config, weights)

    def weigh_one(scored: ScoredTrajectory) -> ScoredTrajectory:
        if not isinstance(scored.outcome, Scored):
            return scored
        parts = {name: value for name, value in scored.outcome.parts.items() if name != OVERLONG}
        total = total_reward(parts, weights, gate=gate)
        return replace(scored, outcome=replace(scored.outcome, total=total, parts=parts))

    return replace(group, trajectories=tuple(map(weigh_one, group.trajectories)))


def punish_overlong(group: ScoredGroup, algo: AlgoConfig) -> ScoredGroup:
    """Return a weighed group with the part ``overlong`` in its totals (``algo.overlong_share``): in an environment for
    the longest turn, which the limit is of. A group that is read from the rollout log has it already."""
    if not algo.overlong_share:
        return group
    limit = algo.max_completion_tokens
    cache = max(1, round(algo.overlong_share * limit))

    def punish_one(scored: ScoredTrajectory) -> ScoredTrajectory:
        if not isinstance(scored.outcome, Scored):
            return scored
        before = scored.outcome.parts.get(OVERLONG, 0.0)
        longest = max(scored.world.turn_tokens, default=0) if scored.world is not None else scored.num_policy_tokens
        penalty = overlong_penalty(longest, max_tokens=limit, cache_tokens=cache)
        total, parts = scored.outcome.total + penalty - before, scored.outcome.parts | {OVERLONG: penalty}
        return replace(scored, outcome=replace(scored.outcome, total=total, parts=parts))

    return replace(group, trajectories=tuple(map(punish_one, group.trajectories)))


def rewards_of(
    trajectories: Sequence[ScoredTrajectory], config: RewardConfig, *, step: int, epsilon: float
) -> list[float | None]:
    """Return r_i of each trajectory of a weighed and punished group; None if it could not be scored.

    Args:
        epsilon: beside the std of each part, for rewards that are normalised.
    """
    outcomes = [one.outcome if isinstance(one.outcome, Scored) else None for one in trajectories]
    if config.combine != "normalised":
        return [None if outcome is None else outcome.total for outcome in outcomes]
    parts = [None if outcome is None else outcome.parts for outcome in outcomes]
    rewards = normalised_rewards(parts, config.weights_at(step), epsilon=epsilon)
    return [
        None if reward is None or outcome is None else reward + outcome.parts.get(OVERLONG, 0.0)
        for reward, outcome in zip(rewards, outcomes, strict=True)
    ]


def turn_rewards_of(scored: ScoredTrajectory, config: RewardConfig, *, step: int) -> list[float]:
    """Return what the total of a weighed trajectory has of each turn: the weighted parts that its environment gave for
    the turn. 0 for all where the gate is closed, as the total is; and for the one turn of a trajectory without an
    environment."""
    turns = scored.world.turn_rewards if scored.world is not None else ()
    if not isinstance(scored.outcome, Scored) or not turns:
        return [0.0] * max(1, scored.num_turns)
    weights, parts = config.weights_at(step), scored.outcome.parts
    gate = _gate_of(config, weights)
    if gate is not None and parts.get(gate, 1.0) < 1.0:
        return [0.0] * len(turns)
    paying = {name: weight for name, weight in weights.items() if config.parts[name].from_environment and name in parts}
    return [total_reward(rewards, paying) for rewards in turns]


def _gate_of(config: RewardConfig, weights: Mapping[str, float]) -> str | None:
    """Return the part that the others count behind, of those with a weight; None where there is none."""
    return config.gate if config.combine == "gated" and config.gate in weights else None


def is_uniform_group(group: ScoredGroup, algo: AlgoConfig, reward: RewardConfig, *, step: int) -> bool:
    """Return whether all rewards of a group are equal, so that it teaches nothing: the values of ``algo.uniform_part``
    where the group has that part, else the totals."""
    trajectories = punish_overlong(weigh(group, reward, step=step), algo).trajectories
    judged = [one.outcome.parts.get(algo.uniform_part or "") for one in trajectories if isinstance(one.outcome, Scored)]
    if any(value is not None for value in judged):
        return is_uniform(judged)
    rewards = rewards_of(trajectories, reward, step=step, epsilon=algo.advantage_epsilon)
    if algo.credit == "turn" and any(any(turn_rewards_of(each, reward, step=step)) for each in trajectories):
        return False  # turns may differ where totals do not
    return is_uniform(rewards)


def reason_to_drop(group: ScoredGroup, algo: AlgoConfig, reward: RewardConfig, *, step: int) -> str | None:
    """Return why nothing can be learned from a group; None if something can. Rewards are compared with each other, and
    a teacher in their place has something to say of a single trajectory, and of equal ones."""
    outcomes = [one.outcome for one in group.trajectories]
    if any(isinstance(outcome, Unscorable) for outcome in outcomes):
        return "unscorable"
    needed = 1 if algo.teacher.is_alone else 2
    if sum(isinstance(outcome, Scored) for outcome in outcomes) < needed:
        return group.removed[0].reason if len(outcomes) < needed and group.removed else "unscored"
    if algo.teacher.is_alone:
        return None
    return "uniform" if algo.drop_uniform and is_uniform_group(group, algo, reward, step=step) else None
