"""The ways to place a run on the GPUs that it has: engines and learner in turn on all of them, or apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from r1ray.planning.placed import is_reinforcement, takes_turns
from r1ray.planning.plan import Plan, plan_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One placement, and how long its step takes."""

    placement: str
    num_ranks: int
    num_engines: int
    max_staleness: int = 0
    step_s: float = 0.0


def ways_of(plan: Plan, *, models: Mapping[str, str] | None = None) -> list[Way]:
    """Return the plan's own way, and of each other one the fastest that fits on the same GPUs: in turn, apart, and
    apart with generation one version ahead. None of a run that has no learner, no engines or no GPUs."""
    if not is_reinforcement(plan.config) or not num_shared(plan):
        return []
    best: dict[tuple[str, int], Way] = {}
    for other in _others(plan, models or {}):
        way = way_of(other)
        key = (way.placement, way.max_staleness)
        if not other.problems and (key not in best or way.step_s < best[key].step_s):
            best[key] = way
    own = way_of(plan)
    best.pop((own.placement, own.max_staleness), None)
    return [own, *best.values()]


def shortest(ways: list[Way]) -> Way:
    """Return the one with the shortest step."""
    return min(ways, key=lambda way: way.step_s)


def way_of(plan: Plan) -> Way:
    """Return how a plan is placed."""
    config = plan.config
    return Way(
        placement="colocated" if takes_turns(config) else "separate",
        num_ranks=config.learner.num_ranks,
        num_engines=config.rollout.num_actors,
        max_staleness=config.algo.max_staleness,
        step_s=plan.step.total,
    )


def num_shared(plan: Plan) -> int:
    """Count the GPUs of learner and engines; 0 where one of the two has none."""
    counts = [actor.count * actor.gpus for actor in plan.actors[: 1 if takes_turns(plan.config) else 2]]
    return sum(counts) if all(counts) else 0


def _others(plan: Plan, models: Mapping[str, str]) -> Iterator[Plan]:
    """Plan the same run with its GPUs divided in other ways."""
    gpus, each = num_shared(plan), plan.config.rollout.num_gpus(True)
    yield from planned_as(plan, models, Way(placement="colocated", num_ranks=gpus, num_engines=gpus), gpus_per_actor=1)
    for ranks in (2**power for power in range(gpus.bit_length()) if 2**power < gpus):
        engines = (gpus - ranks) // each
        for staleness in (0, 1) if ranks + engines * each == gpus and engines else ():
            way = Way(placement="separate", num_ranks=ranks, num_engines=engines, max_staleness=staleness)
            yield from planned_as(plan, models, way, gpus_per_actor=each)


def planned_as(plan: Plan, models: Mapping[str, str], way: Way, *, gpus_per_actor: int) -> Iterator[Plan]:
    """Yield the plan of a way; nothing where its numbers contradict others."""
    config = plan.config
    try:
        changed = replace(
            config,
            placement=way.placement,
            # It changes no time that an objective does not bound old tokens: the report names one that does.
            algo=replace(
                config.algo,
                max_staleness=way.max_staleness,
                allow_unbounded_staleness=True,
                allow_unweighted_staleness=True,
            ),
            learner=replace(config.learner, num_ranks=way.num_ranks),
            rollout=replace(
                config.rollout,
                num_actors=way.num_engines,
                gpus_per_actor=gpus_per_actor,
                min_actors=1,
                max_actors=None,
            ),
            weights=replace(config.weights, backend="auto"),
        )
    except ValueError:
        return
    yield plan_run(changed, name=plan.name, models=models)
