"""A plan as text, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from r1ray.config import AlgoConfig
from r1ray.planning.advice import Change
from r1ray.planning.agents import agent_lines, commands_of
from r1ray.planning.memory import Actor
from r1ray.planning.plan import Plan, gib, host_of_node
from r1ray.planning.remarks import remarks_of, remarks_of_stages
from r1ray.planning.turns import SECTION, Turns
from r1ray.planning.ways import Way, shortest
from r1ray.planning.words import seconds_of

GB = 1e9


def report(plan: Plan, ways: Sequence[Way] = ()) -> str:
    """One stage, written out.

    Args:
        ways: to place it on the same GPUs.
    """
    return "\n".join(_lines(plan, ways))


def _lines(plan: Plan, ways: Sequence[Way]) -> Iterator[str]:
    config, shape = plan.config, plan.shape
    experts = f", {shape.active_parameters / 1e9:.3g}e9 of them for each token" if shape.experts else ""
    yield f"{plan.name or config.recipe}: {shape.name}, {_count(shape.parameters)} parameters{experts}"
    where = f"{plan.num_gpus} GPUs ({plan.gpu.name}, {gib(plan.gpu.memory)} each)"
    yield f"  on {where if plan.num_gpus else f'CPUs, {gib(plan.gpu.memory)} of memory'}"
    yield "batch"
    yield from (f"  {line}" for line in plan.batch.lines)
    yield from (f"  {line}" for line in agent_lines(config))
    for actor in plan.actors:
        yield from _actor_lines(plan, actor)
    yield from _time_lines(plan)
    yield from _placement_lines(plan, ways)
    yield from _disk_lines(plan)
    given = plan.config.deadlines.given
    yield "deadlines: " + ", ".join(
        f"{key.removesuffix('_s')} {seconds_of(seconds)}{' (set)' if key in given else ''}"
        for key, seconds in asdict(plan.deadlines).items()
    )
    if plan.batch.updates:
        yield f"asked to end (SIGTERM), it may take up to {seconds_of(plan.ending_s)}: what a scheduler has to leave it"
    yield from remarks_of(plan)
    for problem in plan.problems:
        yield f"cannot work: {problem.text}"


def _actor_lines(plan: Plan, actor: Actor) -> Iterator[str]:
    one = f"{actor.gpus} GPUs each" if actor.gpus > 1 else "1 GPU each" if actor.gpus else "no GPU"
    one = "1 GPU, which they use in turn" if actor.section == SECTION else one
    learner = plan.config.learner
    if actor.section in ("learner", SECTION) and learner.stage_in_use != learner.zero_stage:
        one += f", ZeRO {learner.stage_in_use} (as which zero_stage={learner.zero_stage} is run in {learner.dtype})"
    share = actor.bytes / actor.capacity
    yield (
        f"memory of {actor.section}: {actor.count} x {one}; most at {actor.peak}, {gib(actor.bytes)} of "
        f"{gib(actor.capacity)} ({share:.0%})"
    )
    for item in actor.moments[actor.peak]:
        if item.bytes:
            yield f"  {gib(item.bytes):>10}  {item.name}" + (f": {item.how}" if item.how else "")
    others = {name: sum(item.bytes for item in items) for name, items in actor.moments.items() if name != actor.peak}
    if others:
        yield "  at other times: " + ", ".join(f"{name} {gib(size)}" for name, size in others.items())
    if actor.host:
        needed, ranks = host_of_node(plan.config, plan.shape, actor)
        items = ", ".join(f"{item.name} {gib(item.bytes)}" for item in actor.host)
        yield f"  host memory of a node with {ranks} of them: {gib(needed)} (each: {items})"
    if "cache_tokens" in actor.metrics:
        held = actor.metrics["cache_tokens"] / max(plan.batch.tokens_per_sequence + plan.shape.state_tokens, 1)
        yield f"  the cache holds {actor.metrics['cache_tokens']:,.0f} tokens: {held:,.0f} average sequences at a time"


def _time_lines(plan: Plan) -> Iterator[str]:
    step = plan.step
    parts = [("generate", step.generate), ("score", step.score), ("learn", step.learn), ("publish", step.publish)]
    parts.append(("hand over", step.hand_over))
    shown = ", ".join(f"{name} {seconds_of(value)}" for name, value in parts if value)
    staleness = plan.config.algo.max_staleness
    if plan.config.only_learner:
        what = "an update"
    elif not plan.batch.updates:
        what = "all of it"
    elif staleness:
        what = "a step (generation and learning overlap)"
    else:
        what = "a step (one after the other: algo.max_staleness=0)"
    yield f"time of {what}: {seconds_of(step.total)}; bottleneck: {step.bottleneck}"
    yield f"  {shown}"
    if step.tokens_per_s:
        yield (
            f"  generation: {step.concurrency:,.0f} sequences at a time on an engine, {step.tokens_per_s:,.0f} "
            "tokens/s together"
        )
    if plan.batch.updates and step.learn:
        yield f"  learning: {plan.batch.trained_tokens / step.learn:,.0f} tokens/s"
    if plan.turns:
        yield from _turns_lines(plan, plan.turns)
    if plan.hours is not None and plan.steps and plan.steps > 1:
        yield f"  {plan.steps:,} steps: {plan.hours:,.0f} hours"
    if plan.cost_a_step is not None:
        whole = "" if plan.steps is None else f", {plan.cost_a_step * plan.steps:,.0f} in all"
        yield f"cost: {plan.cost_a_step:,.2f} {'an update' if plan.config.only_learner else 'a step'}{whole}"


def _turns_lines(plan: Plan, turns: Turns) -> Iterator[str]:
    gpu, config = plan.gpu, plan.config
    given = {"colocated.offload": config.colocated.offload, "colocated.sleep_level": config.colocated.sleep_level}
    chosen = {"colocated.offload": turns.offload, "colocated.sleep_level": turns.sleep_level}
    words = ", ".join(f"{key}={value}{'' if given[key] else ' (chosen)'}" for key, value in chosen.items())
    link = gpu.host_link * config.plan.network_efficiency / GB
    yield f"  in turn: {words}"
    yield (
        f"    to host memory and back {gib(turns.moved)} at {link:.0f} GB/s: {seconds_of(turns.move_s)}; weights in "
        f"device memory {gib(turns.copied)} at {gpu.bandwidth / GB:,.0f} GB/s: {seconds_of(turns.copy_s)}"
    )


def _placement_lines(plan: Plan, ways: Sequence[Way]) -> Iterator[str]:
    if not ways:
        return
    known = list(ways)
    yield "placement of learner and engines on the same GPUs, and the time of a step:"
    for way in known:
        later = f", {ahead(plan.config.algo, way.max_staleness)}" if way.max_staleness else ""
        mark = "  (this plan)" if way is known[0] else ""
        mark += "  shortest" if way is shortest(known) else ""
        numbers = f"learner.num_ranks={way.num_ranks} rollout.num_actors={way.num_engines}"
        yield f"  {seconds_of(way.step_s):>9}  {way.placement}, {numbers}{later}{mark}"
    if len(known) == 1:
        other = "separate" if known[0].placement == "colocated" else "colocated"
        yield f"             {other}: none fits on them"


def ahead(algo: AlgoConfig, max_staleness: int) -> str:
    """Return what has generation go ahead, with an objective that is fit for it."""
    try:
        replace(algo, max_staleness=max_staleness)
    except ValueError:
        return "algo=async"
    return f"algo.max_staleness={max_staleness}"


def _disk_lines(plan: Plan) -> Iterator[str]:
    disk = plan.disk
    if disk is None:
        return
    parts = ", ".join(f"{name} {gib(size)}" for name, size in disk.checkpoint.items() if size)
    settings = plan.config.checkpoint
    if settings.every:
        yield (
            f"disk: a checkpoint {gib(sum(disk.checkpoint.values()))} ({parts}), every {settings.every} steps "
            f"({seconds_of(settings.every * plan.step.total)}); "
            f"checkpoint.keep={settings.keep}, with the one being written {gib(disk.kept)}; "
            f"written in a day {gib(disk.checkpoints_a_day)}"
        )
    else:
        yield "disk: no checkpoints (checkpoint.every=0)"
    rollouts = f"rollouts {gib(disk.rollouts_a_day)} a day, " if disk.rollouts_a_day else ""
    until = "at the end" if plan.steps else "beside the data"
    times = f"{disk.num_exports} x " if disk.num_exports > 1 else ""
    yield f"  {rollouts}the exported model {times}{gib(disk.export)}; {until} {gib(disk.whole)}"


def stages_table(plans: Sequence[Plan]) -> str:
    """One row a stage, and what is to be said of them."""
    header = f"{'stage':<22} {'recipe':<13} {'GPUs':>5} {'tightest':<19} {'memory':>20} {'one step':>10} {'steps':>7}"
    rows = [header]
    for plan in plans:
        actor = plan.tightest
        memory = f"{gib(actor.bytes)} / {gib(actor.capacity)}"
        mark = "  cannot work" if plan.problems else ""
        rows.append(
            f"{plan.name:<22} {plan.config.recipe:<13} {plan.num_gpus:>5} {actor.section:<19} {memory:>20} "
            f"{seconds_of(plan.step.total):>10} {plan.steps or '-':>7}{mark}"
        )
    remarks = remarks_of_stages(plans)
    return "\n".join([*rows, *(["", *remarks] if remarks else [])])


def as_json(plan: Plan, advice: Sequence[Change] | None = None, ways: Sequence[Way] = ()) -> dict[str, Any]:
    """All that :func:`report` shows; sizes in bytes, times in seconds."""
    return {
        "stage": plan.name or plan.config.recipe,
        "model": plan.shape.name,
        "parameters": plan.shape.parameters,
        "gpu": plan.gpu.name,
        "gpus": plan.num_gpus,
        "batch": {key: value for key, value in asdict(plan.batch).items() if key != "lines"},
        "actors": [
            {
                "section": actor.section,
                "count": actor.count,
                "gpus": actor.gpus,
                "bytes": actor.bytes,
                "capacity": actor.capacity,
                "peak": actor.peak,
                "moments": {name: {item.name: item.bytes for item in items} for name, items in actor.moments.items()},
                "host": {item.name: item.bytes for item in actor.host},
                **actor.metrics,
            }
            for actor in plan.actors
        ],
        "time": asdict(plan.step),
        "agents": commands_of(plan.config),
        "turns": None if plan.turns is None else asdict(plan.turns),
        "placements": [asdict(way) for way in ways],
        "steps": plan.steps,
        "cost_a_step": plan.cost_a_step,
        "disk": None if plan.disk is None else asdict(plan.disk) | {"checkpoint": dict(plan.disk.checkpoint)},
        "deadlines": asdict(plan.deadlines),
        "ending_s": plan.ending_s,
        "remarks": remarks_of(plan),
        "problems": [problem.text for problem in plan.problems],
        "would_fit_with": None if advice is None else [f"{key}={_value(value)}" for key, value in advice],
    }


def refusal(plan: Plan, advice: Sequence[Change] | None) -> str:
    """Why a plan cannot work, and what would."""
    first = plan.problems[0].text + (f" (and {len(plan.problems) - 1} more)" if len(plan.problems) > 1 else "")
    prefix = f"graph.{plan.name}." if plan.name else ""
    if advice is None:
        return f"{first}. No change of three keys makes it fit: needs other machines or another model."
    wanted = " ".join(f"{'' if key.startswith('plan.') else prefix}{key}={_value(value)}" for key, value in advice)
    return f"{first}. It would fit with {wanted}."


def _value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.4g}e9" if parameters >= 1e8 else f"{parameters:,}"
