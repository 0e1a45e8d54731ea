"""One recipe's plan: actors against memory, a step in seconds, files against the disk, and what cannot work."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from r1ray.config import OFFLOADS, Deadlines, RunConfig
from r1ray.planning.batch import (
    Batch,
    evaluation_batch,
    prompt_tokens,
    reinforcement_batch,
    sampling_batch,
    supervised_batch,
)
from r1ray.planning.deadlines import ending_seconds, planned_deadlines
from r1ray.planning.duration import Step, generation, reward_cores, step_seconds
from r1ray.planning.gpus import CPU, GIB, Gpu, gpu_of
from r1ray.planning.memory import (
    Actor,
    checkpoint_parts,
    engine_actor,
    export_bytes,
    learner_actor,
    reward_model_actor,
)
from r1ray.planning.placed import takes_turns, with_placement
from r1ray.planning.shapes import MADE, Shape, load_shape
from r1ray.planning.turns import SECTION, Turns, shared_device, turns_of

PARQUET_BYTES = 14.0
"""Bytes of the rollout log for each token, compressed: its text, its id, where it ends, and its log-probability by
engine and learner."""
DAY_S = 86400.0
ROOMY = 0.9
"""Share of a GPU that a choice which is left to the plan may fill, where another choice fills less."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a run cannot work, in a sentence, and the section of the configuration whose keys would help."""

    section: str
    text: str
    lacks_memory: bool = False
    """Of a device, or of a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """Bytes in the run folder."""

    checkpoint: Mapping[str, float]
    """Of one, by what is in it; of all ranks together."""
    kept: float
    """Of checkpoints, at most at a time: those that are kept, and one that is being written."""
    checkpoints_a_day: float
    rollouts_a_day: float
    export: float
    """One exported model."""
    num_exports: int
    """Kept at the end of the stage, or where there is none, after a day."""
    whole: float
    """At the end of the stage, or where there is none, after a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Of one stage."""

    name: str
    config: RunConfig
    shape: Shape
    gpu: Gpu
    batch: Batch
    actors: tuple[Actor, ...]
    step: Step
    steps: int | None
    """Of the whole stage, where that is known before the data are."""
    disk: Disk | None
    deadlines: Deadlines
    """With what is expected in the place of None."""
    ending_s: float
    """Seconds that a run needs to end by itself when it is asked to, at any time: what schedulers have to give it."""
    problems: tuple[Problem, ...]
    turns: Turns | None = None
    """Of engines and learner on the same devices, as far as ``colocated`` leaves it open decided."""
    teachers: tuple[Shape, ...] = ()
    """Shapes of the teachers that the learner reads with, each once."""

    @property
    def num_gpus(self) -> int:
        return sum(actor.count * actor.gpus for actor in self.actors)

    @property
    def hours(self) -> float | None:
        return None if self.steps is None else self.steps * self.step.total / 3600

    @property
    def cost_a_step(self) -> float | None:
        price = self.config.plan.price
        return None if price is None else price * self.num_gpus * self.step.total / 3600

    @property
    def tightest(self) -> Actor:
        """The actor that uses most of what it has."""
        return max(self.actors, key=lambda actor: actor.bytes / actor.capacity)


def gpu_name(config: RunConfig) -> str:
    """``plan.gpu`` with None decided."""
    if config.plan.gpu is not None:
        return config.plan.gpu
    has_none = config.learner.gpus_per_rank == 0 and (config.only_learner or config.rollout.gpus_per_actor == 0)
    return CPU.name if has_none or config.prepare.maker else "h100"


def shape_name(config: RunConfig, models: Mapping[str, str] | None = None) -> str:
    """Whose shape a stage's model has: of a reference (``@cold_start``), the model that it was made of."""
    made_of = _origin(config.model, models or {})
    return made_of or MADE.get(str(config.prepare.maker), "running_total")


def _origin(model: str | None, models: Mapping[str, str]) -> str | None:
    """Return the model that a reference's was made of; None of one that ``prepare`` makes."""
    seen: set[str] = set()
    while model is not None and model.startswith("@") and model not in seen:
        seen.add(model)
        model = models.get(model[1:].split("/")[0])
    return model


def plan_run(config: RunConfig, *, name: str = "", models: Mapping[str, str] | None = None) -> Plan:
    """The plan of a recipe of one stage. Raises UserError where the model's shape cannot be had.

    Args:
        name: of a stage of a graph.
        models: of the graph's stages, by name.
    """
    config, choices = _decided(config)
    return _best([_plan(config, offload, name, models or {}) for offload in choices])


def fits(config: RunConfig, *, name: str = "", models: Mapping[str, str] | None = None) -> bool:
    """Return whether that plan has no problem."""
    config, choices = _decided(config)
    for offload in reversed(choices):
        problems = _plan(config, offload, name, models or {}).problems
        if not problems or any(problem.section != "host" for problem in problems):
            return not problems  # what leaves more on a device needs less of the host's memory alone
    return False


def _decided(config: RunConfig) -> tuple[RunConfig, tuple[str, ...]]:
    """Return the configuration with ``placement`` decided, and what ``colocated.offload`` may be, the least first."""
    if gpu_name(config) != CPU.name and config.plan.num_nodes is not None:
        config = with_placement(config, num_gpus=config.plan.num_nodes * config.plan.gpus_per_node)
    most = config.colocated.offloaded(config.learner)
    is_open = takes_turns(config) and config.colocated.offload is None and gpu_name(config) != CPU.name
    return config, OFFLOADS[: OFFLOADS.index(most) + 1] if is_open else (most,)


def _best(plans: Sequence[Plan]) -> Plan:
    """Return the one with the shortest step of those that leave some room, else the last, which needs least memory."""
    roomy = [plan for plan in plans if not plan.problems and plan.tightest.bytes <= ROOMY * plan.tightest.capacity]
    return min(roomy, key=lambda plan: plan.step.total) if roomy else plans[-1]


def _plan(config: RunConfig, offload: str, name: str, models: Mapping[str, str]) -> Plan:
    shape = load_shape(shape_name(config, models))
    chosen = gpu_name(config)
    gpu = gpu_of(config.plan, chosen, machine_memory=machine_memory())
    is_cpu = chosen == CPU.name
    teachers = _teachers(config, models)
    actors = tuple(_actors(config, shape, gpu, models, teachers, is_cpu=is_cpu))
    engines = next((actor for actor in actors if actor.section == "rollout"), None)
    turns, shown = None, actors
    if takes_turns(config) and engines is not None:
        turns = turns_of(config, shape, gpu, learner=actors[0], engine=engines, offload=offload)
        if actors[0].gpus and engines.gpus:
            shown = (shared_device(config, shape, learner=actors[0], engine=engines, turns=turns), *actors[2:])
    if config.only_samples:
        batch = sampling_batch(config)
        assert engines is not None
        generate, sequences = generation(config.rollout, engines, shape, gpu, config.plan, batch)
        score = batch.completions * config.plan.score_s / reward_cores(config)
        total = max(generate, score)
        step = Step(
            generate=generate,
            score=score,
            total=total,
            bottleneck="generate" if generate >= score else "score",
            concurrency=sequences,
            tokens_per_s=batch.completions * batch.completion_tokens / generate,
        )
        steps: int | None = 1 if config.recipe == "evaluate" else None
        disk = None
    else:
        batch = supervised_batch(config) if config.only_learner else reinforcement_batch(config)
        step = step_seconds(config, shape, batch, gpu, engines=engines, turns=turns, teachers=teachers)
        steps = None if config.only_learner else config.steps
        disk = _disk(config, shape, batch, step, steps)
    problems = tuple(_problems(config, shape, gpu, actors, shown, is_cpu=is_cpu))
    checkpoint_bytes = 0.0 if disk is None else sum(disk.checkpoint.values())
    evaluation_s = 0.0
    if engines is not None and batch.updates and config.data.eval:
        asked = evaluation_batch(config, batch)
        evaluation_s, _ = generation(config.rollout, engines, shape, gpu, config.plan, asked)
    return Plan(
        name=name,
        config=config,
        shape=shape,
        gpu=gpu,
        batch=batch,
        actors=shown,
        step=step,
        steps=steps,
        disk=disk,
        deadlines=planned_deadlines(
            config,
            shape,
            batch,
            step,
            engines=engines,
            checkpoint_bytes=checkpoint_bytes,
        ),
        ending_s=ending_seconds(config, step, evaluation_s=evaluation_s, checkpoint_bytes=checkpoint_bytes),
        problems=problems,
        turns=turns,
        teachers=tuple(teachers),
    )


def machine_memory() -> float:
    """Bytes of this machine, for plans without GPUs."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def max_model_len(config: RunConfig) -> int:
    """Longest sequence of the engines."""
    if config.recipe == "collect":
        return config.collect.max_tokens + int(prompt_tokens(config))
    return config.max_model_len


def _teachers(config: RunConfig, models: Mapping[str, str]) -> list[Shape]:
    """Return the shapes of the models of ``algo.teacher``, each once."""
    if config.only_learner or not config.has_learner:
        return []
    keys = {path: key for key, path in config.algo.teacher.by_key.items()}
    made = shape_name(config, models)
    return [load_shape(_origin(path, models) or made, key=key) for path, key in keys.items()]


def _actors(
    config: RunConfig,
    shape: Shape,
    gpu: Gpu,
    models: Mapping[str, str],
    teachers: Sequence[Shape],
    *,
    is_cpu: bool,
) -> Iterator[Actor]:
    def gpus(own: int | None) -> int:
        return 0 if is_cpu else 1 if own is None else own

    if config.has_learner:
        of_rank = gpus(config.learner.gpus_per_rank)
        yield learner_actor(config, shape, gpus=of_rank, capacity=gpu.memory, teachers=teachers)
    if config.only_learner:
        return
    bucket = 0.0 if config.only_samples else config.weights.bucket_mib * 2.0**20
    engine = engine_actor(
        "rollout",
        config.rollout,
        shape,
        count=config.rollout.num_actors,
        gpus=0 if is_cpu else config.rollout.num_gpus(True),
        max_model_len=max_model_len(config),
        capacity=gpu.memory,
        bucket_bytes=bucket,
    )
    yield engine
    if config.has_learner and config.eval.num_actors:
        yield replace(engine, section="eval", count=config.eval.num_actors)
    if config.judge.is_served and config.only_samples:
        judge = config.judge
        yield engine_actor(
            "judge.engine",
            judge.engine,
            load_shape(shape_name(replace(config, model=judge.model), models), key="judge.model"),
            count=judge.engine.num_actors,
            gpus=0 if is_cpu else judge.engine.num_gpus(True),
            max_model_len=judge.max_model_len,
            capacity=gpu.memory,
        )
    for name, model in config.reward.models.items():
        if model.model is None:
            continue
        section = f"reward.models.{name}"
        own = shape_name(replace(config, model=model.model), models)
        yield reward_model_actor(
            section,
            model,
            load_shape(own, key=f"{section}.model"),
            gpus=gpus(model.gpus_per_actor),
            capacity=gpu.memory,
        )


def _disk(config: RunConfig, shape: Shape, batch: Batch, step: Step, steps: int | None) -> Disk:
    parts = checkpoint_parts(config, shape)
    reference = parts.get("reference", 0.0)
    each_time = sum(parts.values()) - reference
    settings, steps_a_day, kept, written = config.checkpoint, DAY_S / step.total, 0.0, 0.0
    if settings.every:
        # Between two refreshes all checkpoints have one file of the reference.
        refresh = config.algo.reference_refresh_updates or math.inf
        changes = min(1.0, settings.every * batch.updates / refresh)
        count = settings.keep + 1 + (settings.best is not None)
        kept = each_time * count + reference * min(count, 1 + math.ceil((count - 1) * changes))
        written = steps_a_day / settings.every * (each_time + reference * changes)
    each = 0.0 if config.only_learner else batch.trained_tokens * PARQUET_BYTES
    export = export_bytes(config, shape)
    num_steps = steps if steps is not None else int(steps_a_day)
    between = (num_steps - 1) // settings.export_every if settings.export_every else 0
    num_exports = 1 + max(0, between) + (settings.best is not None)
    return Disk(
        checkpoint=parts,
        kept=kept,
        checkpoints_a_day=written,
        rollouts_a_day=each * steps_a_day,
        export=export,
        num_exports=num_exports,
        whole=kept + num_exports * export + each * (steps if steps is not None else steps_a_day),
    )


# ---------------------------------------------------------------------- what cannot work


def _problems(
    config: RunConfig, shape: Shape, gpu: Gpu, actors: Sequence[Actor], shown: Sequence[Actor], *, is_cpu: bool
) -> Iterator[Problem]:
    """Say what cannot work.

    Args:
        actors: each as if it had its devices to itself.
        shown: those that share devices together.
    """
    yield from _wrong_sizes(config, shape, actors)
    yield from _not_together(config, actors)
    if is_cpu:
        needed = sum(actor.count * actor.bytes for actor in actors)
        if needed > gpu.memory:
            worst = max(actors, key=lambda actor: actor.count * actor.bytes)
            yield Problem(
                worst.section,
                f"all actors together need {gib(needed)} of the machine's {gib(gpu.memory)}, "
                f"{worst.section} {gib(worst.count * worst.bytes)} of it",
                lacks_memory=True,
            )
        return
    without_cache = (actor for actor in actors if actor.capacity < gpu.memory and actor not in shown)
    for actor in (*shown, *without_cache):
        if not actor.fits:
            items = sorted(actor.moments[actor.peak], key=lambda item: -item.bytes)
            most = ", ".join(f"{item.name} {gib(item.bytes)}" for item in items[:3])
            whose = "its share" if actor.capacity < gpu.memory else f"a {gpu.name}"
            yield Problem(
                actor.section,
                f"{actor.section}: {actor.peak} needs {gib(actor.bytes)} a GPU ({most}), and {whose} has "
                f"{gib(actor.capacity)}",
                lacks_memory=True,
            )
    yield from _too_few_nodes(config, shown)
    yield from _host(config, shape, shown)


def _wrong_sizes(config: RunConfig, shape: Shape, actors: Sequence[Actor]) -> Iterator[Problem]:
    """What learner, vLLM or the model's context refuse at the start of a run."""
    splits = config.learner.sequence_parallel_size
    trains = config.has_learner
    if trains and shape.kv_heads % splits:
        yield Problem(
            "learner",
            f"learner.sequence_parallel_size={splits} does not divide the {shape.kv_heads} key-value heads of "
            f"{shape.name}",
        )
    if trains and shape.linear_layers and splits > 1:
        yield Problem(
            "learner",
            f"learner.sequence_parallel_size={splits}: linear attention ({shape.name}) is not divided; needs 1",
        )
    if trains and config.sequences_per_row > 1 and splits > 1:
        yield Problem("learner", f"learner.sequence_parallel_size={splits}: a reward model's rows are not split")
    if trains and config.learner.lora.rank and not config.learner.lora.targets and shape.experts:
        yield Problem(
            "learner",
            f"learner.lora.targets=null: {shape.name} has experts, and their adapters cannot be published; needs names "
            "of linear layers, as [q_proj, k_proj, v_proj, o_proj]",
        )
    if trains and shape.is_fp8:
        yield Problem("model", f"model={shape.name}: its files are 8-bit, which the learner does not train")
    for actor in actors:
        if actor.section in ("rollout", "judge.engine") and actor.gpus:
            engine = config.rollout if actor.section == "rollout" else config.judge.engine
            tensor = engine.parallel_sizes(actor.gpus)["tensor_parallel_size"]
            served = shape if actor.section == "rollout" else load_shape(str(config.judge.model))
            if served.heads % tensor:
                yield Problem(
                    actor.section,
                    f"{actor.section}.gpus_per_actor={actor.gpus}: {tensor} tensor-parallel ranks do not divide the "
                    f"{served.heads} heads of {served.name}",
                )
            if actor.gpus > engine.nodes_per_actor * config.plan.gpus_per_node:
                yield Problem(
                    actor.section,
                    f"{actor.section}.gpus_per_actor={actor.gpus}: {actor.section}.nodes_per_actor="
                    f"{engine.nodes_per_actor} x plan.gpus_per_node={config.plan.gpus_per_node} are fewer",
                )
            if problem := engine.why_not(actor.section, actor.gpus):
                yield Problem(actor.section, problem)
        elif actor.section in ("rollout", "judge.engine"):
            engine = config.rollout if actor.section == "rollout" else config.judge.engine
            if engine.quantization is not None and (problem := engine.why_not(actor.section, 0)):
                yield Problem(actor.section, problem)
    if shape.context is None:
        return
    if config.only_learner and config.supervised.max_tokens > shape.context:
        yield Problem(
            "context",
            f"supervised.max_tokens={config.supervised.max_tokens}: the context of {shape.name} has {shape.context} "
            "tokens",
        )
    elif not config.only_learner and trains and config.max_model_len > shape.context:
        yield Problem(
            "context",
            f"the longest sequence has {config.max_model_len} tokens (data.max_prompt_tokens + "
            f"algo.max_completion_tokens), and the context of {shape.name} {shape.context}",
        )


def _not_together(config: RunConfig, actors: Sequence[Actor]) -> Iterator[Problem]:
    """Say where learner and engines are not one of each on every GPU that they share."""
    if not takes_turns(config):
        return
    learner, engines = actors[:2]
    found = f"learner.num_ranks={learner.count} x {learner.gpus}, rollout.num_actors={engines.count} x {engines.gpus}"
    if not (
        learner.gpus == engines.gpus == 0 or (learner.gpus == engines.gpus == 1 and learner.count == engines.count)
    ):
        yield Problem(
            SECTION,
            f"placement=colocated: {found} GPUs are not one rank and one engine on each; needs "
            f"rollout.gpus_per_actor=1 and as many actors as ranks",
        )


def _too_few_nodes(config: RunConfig, actors: Sequence[Actor]) -> Iterator[Problem]:
    plan = config.plan
    needed = sum(actor.count * actor.gpus for actor in actors)
    if plan.num_nodes is not None and needed > plan.num_nodes * plan.gpus_per_node:
        terms = " + ".join(f"{actor.section} {actor.count} x {actor.gpus}" for actor in actors if actor.gpus)
        yield Problem(
            "cluster",
            f"the run takes {needed} GPUs ({terms}), and there are {plan.num_nodes * plan.gpus_per_node} "
            f"(plan.num_nodes={plan.num_nodes} x plan.gpus_per_node={plan.gpus_per_node})",
        )


def _host(config: RunConfig, shape: Shape, actors: Sequence[Actor]) -> Iterator[Problem]:
    for actor in actors:
        if not actor.host:
            continue
        needed, on_a_node = host_of_node(config, shape, actor)
        available = config.plan.host_memory_gib * GIB
        if needed > available:
            items = ", ".join(f"{item.name} {gib(item.bytes)}" for item in actor.host)
            yield Problem(
                "host",
                f"{actor.section}: {on_a_node} ranks on a node need {gib(needed)} of its memory (each: {items}), and "
                f"it has {gib(available)} (plan.host_memory_gib)",
                lacks_memory=True,
            )


def host_of_node(config: RunConfig, shape: Shape, actor: Actor) -> tuple[float, int]:
    """Bytes in the memory of a node that is full of this actor, with the model's files once, and how many it holds."""
    on_a_node = min(actor.count, max(1, config.plan.gpus_per_node // max(actor.gpus, 1)))
    return on_a_node * sum(item.bytes for item in actor.host), on_a_node


def gib(size: float) -> str:
    """A number of bytes, for people.

    >>> gib(3 * 2**30), gib(5 * 2**20), gib(2**41)
    ('3.0 GiB', '5.0 MiB', '2.0 TiB')
    """
    for unit, name in ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB")):
        if abs(size) >= unit or unit == 2.0**20:
            return f"{size / unit:.1f} {name}"
    raise AssertionError
