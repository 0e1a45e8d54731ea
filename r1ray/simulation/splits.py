"""The best split of the same GPUs between learner and engines, by simulation.

Rooflines say where to begin for each staleness: at the split that looks best. From there its neighbours are simulated,
on the same work, for as long as a step becomes shorter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from r1ray.planning.plan import Plan
from r1ray.planning.ways import Way, num_shared, planned_as, way_of
from r1ray.simulation.result import Simulated, simulate

PARTS = 16
"""Splits that are looked at for each staleness."""
STEPS = 4
"""Steps that are simulated of each."""
HOPELESS = 1.5
"""A kind of split whose best roofline takes so many times the shortest step so far is not simulated: rooflines know of
no waiting, and rarely say too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One way to use the GPUs."""

    way: Way
    """Its ``step_s`` is the rooflines' estimate."""
    step_s: float
    """Simulated."""
    idle_learner: float
    """Share of a step in which the learner waits for groups."""
    busy_rollout: float


def splits_of(plan: Plan, *, models: Mapping[str, str] | None = None) -> list[Split]:
    """Return the plan's own split, and then others from the shortest step to the longest: in turn, apart, and apart
    with generation ahead. Those that do not fit are left out; of a run without GPUs there is none."""
    if not num_shared(plan) or not plan.num_gpus:
        return []
    found = [own := _simulated(plan)]
    by_kind: dict[tuple[str, int], list[Plan]] = {}
    for other in _candidates(plan, models or {}):
        way = way_of(other)
        if not other.problems and not _is_same(way, own.way):
            by_kind.setdefault((way.placement, way.max_staleness), []).append(other)
    for plans in sorted(by_kind.values(), key=lambda each: min(one.step.total for one in each)):
        if min(one.step.total for one in plans) < HOPELESS * min(split.step_s for split in found):
            found += _climbed(plans)
    return [own, *sorted(found[1:], key=lambda split: split.step_s)]


def _climbed(plans: Sequence[Plan]) -> list[Split]:
    """Simulate plans, which differ by their number of engines, from the one that looks best on, in the direction in
    which a step becomes shorter."""
    found = {}
    at = min(range(len(plans)), key=lambda index: plans[index].step.total)
    found[at] = _simulated(plans[at])
    for direction in (1, -1):
        while 0 <= (to := at + direction) < len(plans):
            if to not in found:
                found[to] = _simulated(plans[to])
            if found[to].step_s >= found[at].step_s:
                break
            at = to
    return list(found.values())


def _simulated(plan: Plan) -> Split:
    found: Simulated = simulate(plan, num_steps=STEPS)
    return Split(
        way=way_of(plan),
        step_s=found.step_s,
        idle_learner=min(1.0, found.idle_learner_s / found.step_s),
        busy_rollout=found.busy_rollout,
    )


def _is_same(way: Way, other: Way) -> bool:
    return replace(way, step_s=0.0) == replace(other, step_s=0.0)


def _candidates(plan: Plan, models: Mapping[str, str]) -> Iterator[Plan]:
    gpus, each = num_shared(plan), max(1, plan.config.rollout.num_gpus(True))
    in_turn = Way(placement="colocated", num_ranks=gpus, num_engines=gpus)
    yield from planned_as(plan, models, in_turn, gpus_per_actor=1)
    counts = {max(1, round(gpus * part / PARTS / each)) for part in range(1, PARTS)}
    for engines in sorted(count for count in counts if count * each < gpus):
        for staleness in sorted({0, 1, plan.config.algo.max_staleness}):
            way = Way(
                placement="separate",
                num_ranks=gpus - engines * each,
                num_engines=engines,
                max_staleness=staleness,
            )
            yield from planned_as(plan, models, way, gpus_per_actor=each)
