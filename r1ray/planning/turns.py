"""Engines and learner that take turns on the same devices: what is there in each phase, and what a hand-over costs.

    generation              the engine; of the learner what ``colocated.offload`` leaves there
    forward and backward,   the learner; the engine sleeps: it keeps its CUDA context, and gives up the cache
    update
    publish                 the learner's parameters beside the engine's weights; the cache is not back yet

Host memory has the rest meanwhile: the learner's state, an engine's weights at sleep level 1, its CUDA graphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, replace

from r1ray.config import RunConfig
from r1ray.planning.gpus import Gpu
from r1ray.planning.memory import CONTEXT, DTYPE_BYTES, TEACHERS_PASS, Actor, Item, published_bytes, with_fragments
from r1ray.planning.shapes import Shape

SECTION = "learner and rollout"
STATE = ("weights", "reference", "teachers", "gradients", "master weights", "moments")
"""Of a learner, between two steps."""
LEAVES = {"none": (), "optimizer": ("master weights", "moments"), "all": STATE}
"""Of it what is in host memory while the engines sample, by ``colocated.offload``."""
BUCKET_ITEM, FRAGMENTED = "gradient bucket", "lost to fragments"
GONE = {offload: {*names, *([BUCKET_ITEM] if offload == "all" else [])} for offload, names in LEAVES.items()}
"""What is not on the device then: DeepSpeed gives its bucket up with everything else."""
OF_GENERATION = ("key-value cache", "activations of a full batch")
"""What an engine has on its device only while it samples."""
CALL_S = 0.3
"""What moving something takes beside its bytes: mostly Python's garbage collection (measured on CPUs)."""
PASSES = 8
"""Times that a published byte is read or written in a device's memory: into a bucket and out of it, into a layer that
is loaded and from there to its place, and for fingerprints on both sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """What engines and learner do to hand their devices over, in every step."""

    offload: str
    """``colocated.offload``, decided."""
    sleep_level: int
    """``colocated.sleep_level``, decided."""
    moved: float
    """Bytes between a device and host memory, both ways together."""
    copied: float
    """Bytes that a publish reads and writes in a device's memory."""
    move_s: float
    """Seconds for what is moved, and for sleep, wake and offload themselves."""
    copy_s: float
    """Seconds for what is copied."""


def sends_adapters(config: RunConfig) -> bool:
    """Return whether adapters are published by themselves."""
    engine = config.rollout
    return config.learner.lora.is_native(has_gpus=engine.num_gpus(True) > 0, engine_dtype=engine.dtype)


def turns_of(config: RunConfig, shape: Shape, gpu: Gpu, *, learner: Actor, engine: Actor, offload: str) -> Turns:
    """Return what a hand-over moves, and how long it takes: bytes over the bandwidth of PCIe, or of the device's
    memory.

    Args:
        learner: one rank, as if it had its device to itself.
        engine: one engine, likewise.
        offload: ``colocated.offload``, decided.
    """
    level = config.colocated.level(sends_adapters=sends_adapters(config))
    out = sum(item.bytes for item in (*_away(learner, offload), *_kept_asleep(engine, level)))
    calls = 3 + 3 * (offload != "none")  # sleep and two wakes; the learner steps aside, leaves and comes back
    moved, copied = 2 * out, PASSES * published_bytes(config, shape)
    return Turns(
        offload=offload,
        sleep_level=level,
        moved=moved,
        copied=copied,
        move_s=moved / (gpu.host_link * config.plan.network_efficiency) + calls * CALL_S,
        copy_s=copied / gpu.bandwidth,
    )


def shared_device(config: RunConfig, shape: Shape, *, learner: Actor, engine: Actor, turns: Turns) -> Actor:
    """Return what is on a GPU that a rank and an engine share. A publish has one buffer there, which takes a bucket,
    and every tensor whole; the engine copies what it finds in it, until a layer is there."""
    asleep = Item("engine asleep: CUDA and NCCL", CONTEXT)
    passes = [name for name in ("forward and backward", TEACHERS_PASS, "update") if name in learner.moments]
    trains = {name: (*_of("learner", learner.moments[name]), asleep) for name in passes}
    left = _left(learner, "update", gone=_not_state(learner) | GONE[turns.offload])
    buffer, layer = _buffer_bytes(config, shape), shape.layer_parameters * DTYPE_BYTES[config.rollout.dtype]
    sender = _left(learner, "publish", gone=(GONE[turns.offload] - {"weights"}) | {"publish buckets"}, more=buffer)
    loaded = [item for item in engine.moments["generation"] if item.name not in OF_GENERATION]
    loaded.append(Item("copies of a bucket, and a layer that is loaded", buffer + layer))
    away, kept = _away(learner, turns.offload), _kept_asleep(engine, turns.sleep_level)
    return Actor(
        section=SECTION,
        count=max(learner.count, engine.count * engine.gpus),
        gpus=1,
        moments={
            "generation": (*_of("engine", engine.moments["generation"]), *_of("learner", left)),
            **trains,
            "publish": (*_of("engine", loaded), *_of("learner", sender)),
        },
        capacity=learner.capacity,
        host=(*learner.host, *_of("learner", away), *_of("engine", kept)),
        metrics=engine.metrics,
    )


def _of(whose: str, items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(replace(item, name=f"{whose}: {item.name}") for item in items)


def _buffer_bytes(config: RunConfig, shape: Shape) -> float:
    """Return the size of the buffer of a publish."""
    bucket, largest = config.weights.bucket_mib * 2.0**20, shape.largest_parameter * DTYPE_BYTES[config.learner.dtype]
    return bucket if sends_adapters(config) else max(bucket, largest)


def _left(learner: Actor, moment: str, *, gone: Set[str], more: float = 0.0) -> tuple[Item, ...]:
    """Return what is on a rank's device in a moment, without some of it, and with a publish's buffer."""
    items = tuple(item for item in learner.moments[moment] if item.name not in {*gone, FRAGMENTED})
    items = (*items, Item("publish buffer", more)) if more else items
    return with_fragments(items) if learner.gpus else items


def _not_state(learner: Actor) -> Set[str]:
    """Name what is on a rank's device only while it works."""
    return {item.name for item in learner.moments["update"]} - {*STATE, BUCKET_ITEM, "CUDA and NCCL"}


def _away(learner: Actor, offload: str) -> tuple[Item, ...]:
    """Return of a rank's state what is in host memory while the engines sample, and elsewhere on its device."""
    return tuple(item for item in learner.moments["update"] if item.name in LEAVES[offload] and item.bytes)


def _kept_asleep(engine: Actor, level: int) -> tuple[Item, ...]:
    """Return what an engine that sleeps has in host memory; on CPUs it keeps everything where it is."""
    names = {"CUDA graphs", "weights"} if level == 1 else {"CUDA graphs"}
    return tuple(item for item in engine.moments["generation"] if engine.gpus and item.name in names)
