"""The result of a planned stage's simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from r1ray.planning.plan import Plan
from r1ray.simulation.costs import Costs, costs_of
from r1ray.simulation.loop import SimulatedStep, Simulation
from r1ray.simulation.work import Work, work_of

WARM_UP = 2
"""Steps that are not counted, beside one for each version of staleness: all groups of the first begin at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Means over the steps that count."""

    num_steps: int
    step_s: float
    """Mean of the steps that were not made again."""
    longest_step_s: float
    learn_s: float
    idle_learner_s: float
    publish_s: float
    bound_s: float
    """Below which no order of the same work comes: what the learner needs, or the engines at their best."""
    busy_rollout: float
    """Share of the engines' time in which they have something to do and may."""
    trained_tokens: float
    """Mean of a step."""
    tokens_per_s: float
    """Policy tokens that are trained on, by all engines."""
    staleness_mean: float
    staleness_max: int
    dropped: int
    """Groups, with those of the first steps."""
    engine_faults: int
    learner_faults: int
    repeated_steps: int

    @property
    def bottleneck(self) -> str:
        """Part that most of the learner's time goes to."""
        return "generate" if self.idle_learner_s > self.learn_s + self.publish_s else "learn"


def simulate(plan: Plan, *, num_steps: int | None = None) -> Simulated:
    """Simulate a planned stage that learns by sampling.

    Args:
        num_steps: that count; None: ``plan.simulated_steps``.
    """
    config = plan.config
    count = config.plan.simulated_steps if num_steps is None else num_steps
    first = config.algo.max_staleness + WARM_UP
    costs, work = costs_of(plan), work_of(plan)
    simulation = Simulation(config.algo, costs, work, seed=config.seed)
    simulation.run(first)
    busy_before, repeated_before = _busy(simulation), simulation.repeated_steps
    steps = simulation.run(first + count)[first:]
    seconds = steps[-1].at - steps[0].at + steps[0].seconds
    repeated = simulation.repeated_steps - repeated_before
    useful = max(1, len(steps) - repeated)
    return Simulated(
        num_steps=len(steps),
        step_s=seconds / useful,
        longest_step_s=max(step.seconds for step in steps),
        learn_s=_mean([step.learn_s for step in steps]),
        idle_learner_s=_mean([step.idle_learner_s for step in steps]),
        publish_s=_mean([step.publish_s for step in steps]),
        bound_s=bound(steps, costs, work) / len(steps),
        busy_rollout=(_busy(simulation) - busy_before) / (costs.num_engines * seconds),
        trained_tokens=_mean([step.trained_tokens for step in steps]),
        tokens_per_s=sum(step.policy_tokens for step in steps) * useful / len(steps) / seconds,
        staleness_mean=_mean([step.staleness_mean for step in steps]),
        staleness_max=max(step.staleness_max for step in steps),
        dropped=simulation.account().dropped,
        engine_faults=simulation.num_engine_faults,
        learner_faults=simulation.num_learner_faults,
        repeated_steps=repeated,
    )


def bound(steps: Sequence[SimulatedStep], costs: Costs, work: Work) -> float:
    """Return the seconds below which these steps cannot be: all updates and publishes one after the other; or all
    tokens at the best number of sequences on every engine, with nothing but prompts in the cache."""
    learner = sum(step.learn_s + step.publish_s for step in steps)
    best = max(n / costs.decode_s(n, n * work.prompt_tokens) for n in range(1, costs.places + 1))
    return max(learner, sum(step.policy_tokens for step in steps) / (best * costs.num_engines))


def _busy(simulation: Simulation) -> float:
    return sum(engine.busy_s for engine in simulation.engines)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
