"""A learner's state on disk: parameters, optimizer, schedule and random states, for any number of ranks.

    save_state  --> state.json, rng-<rank>.pt, engine/ (DeepSpeed's own files, one set of each rank)
    load_state  <-- the same; for another number of ranks, universal/, which DeepSpeed converts from engine/ once
    saved_state <-- state.json and engine/: the whole model in one process, from any number of ranks, without a group

If as many ranks load the state as saved it, it is the same to the last bit. Every function has to be called on every
rank, in the same order.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from deepspeed.checkpoint import ds_to_universal
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint, get_model_state_file

from r1ray.errors import DeadlineExceeded, InfrastructureError, UserError
from r1ray.learner.writer import StateWriter, write_state
from r1ray.runtime.files import written_aside

ORIGIN, ENGINE, UNIVERSAL, SETTINGS = "state.json", "engine", "universal", "hf"
FAMILIES = {0: "0", 1: "1 or 2", 2: "1 or 2", 3: "3"}
"""ZeRO stages that read each other's files."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Facts about the learner that saved a state."""

    model: str
    """Name of the model as the user gave it."""
    parameters: dict[str, list[int]]
    """Shape of each whole parameter."""
    world_size: int
    zero_stage: int
    dtype: str

    @property
    def digest(self) -> str:
        """Return the digest of the names and shapes of all parameters."""
        return hashlib.blake2b(json.dumps(self.parameters).encode(), digest_size=4).hexdigest()

    @classmethod
    def of(cls, engine: Any, *, model: str) -> Origin:
        shapes = {name: getattr(p, "ds_shape", p.shape) for name, p in engine.module.named_parameters()}
        return cls(
            model=model,
            parameters={name: list(shape) for name, shape in shapes.items()},
            world_size=dist.get_world_size(),
            zero_stage=int(engine.zero_optimization_stage()),
            dtype="bfloat16" if engine.bfloat16_enabled() else "float32",
        )


def save_state(engine: Any, folder: Path, *, model: str, writer: StateWriter | None = None) -> None:
    """Save the state from which training can be resumed.

    Args:
        model: the user's name of the model, for messages.
        writer: writes the files while training continues, one state at a time; None: they are written on return.
    """
    if writer is not None:
        writer.wait()
    write = write_state if writer is None else writer.write
    rank = dist.get_rank()
    folder.mkdir(parents=True, exist_ok=True)
    if rank == 0:
        write(json.dumps(asdict(Origin.of(engine, model=model))), folder / ORIGIN)
    write(_random_states(), folder / f"rng-{rank}.pt")
    own = engine.checkpoint_engine
    if writer is not None:
        engine.checkpoint_engine = writer.for_deepspeed()
    try:
        engine.save_checkpoint(str(folder), tag=ENGINE, save_latest=False)
    finally:
        engine.checkpoint_engine = own


def load_state(engine: Any, folder: Path, *, model: str) -> None:
    """Load the state that :func:`save_state` wrote, possibly with another number of ranks.

    With another number, parameters, moments and schedule are restored, but not the random states, which belong to
    ranks; a warning says so. Untrained parameters then keep the values that the engine was built with. Raises UserError
    on every rank if the state is of another model, ZeRO stage or dtype.
    """
    saved = Origin(**json.loads((folder / ORIGIN).read_text()))
    ours = Origin.of(engine, model=model)
    check_fits(saved, ours, folder=folder)
    tag = UNIVERSAL if needs_conversion(saved, ours) else ENGINE
    if tag == UNIVERSAL:
        _on_rank_0(lambda: _convert(folder), what=f"to convert {folder / ENGINE} with DeepSpeed")
    engine._config.load_universal_checkpoint = tag == UNIVERSAL
    try:
        found, _ = engine.load_checkpoint(str(folder), tag=tag)
    finally:
        engine._config.load_universal_checkpoint = False
    if found is None:
        raise InfrastructureError(f"DeepSpeed found nothing to load in {folder / tag}")
    if saved.world_size == ours.world_size:
        _set_random_states(torch.load(folder / f"rng-{dist.get_rank()}.pt", weights_only=False))
    elif dist.get_rank() == 0:
        logger.warning(
            "%s was saved by %d ranks and is loaded by %d: random states start over, and the rest equals an "
            "uninterrupted run up to rounding, not to the last bit",
            *(folder, saved.world_size, ours.world_size),
        )


def saved_state(folder: Path) -> dict[str, torch.Tensor]:
    """Return the saved parameters and buffers as the learner held them: names without the prefix of the module that
    DeepSpeed trained, in the learner's dtype, tied weights in the same memory. Needs no GPU."""
    origin = Origin(**json.loads((folder / ORIGIN).read_text()))
    path = get_model_state_file(str(folder / ENGINE), origin.zero_stage)
    saved = torch.load(path, map_location="cpu", mmap=True, weights_only=False)
    state: dict[str, torch.Tensor] = saved["module"]
    if origin.zero_stage == 3:
        # Each rank has a part of the float32 master weights, which round to the learner's weights.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            parts = get_fp32_state_dict_from_zero_checkpoint(str(folder), tag=ENGINE, lazy_mode=True)
        dtype, buffers = getattr(torch, origin.dtype), set(saved["buffer_names"])
        whole = {id(part): part.contiguous().to(dtype) for name, part in parts.items() if name not in buffers}
        state = {name: state[name] if name in buffers else whole[id(part)] for name, part in parts.items()}
    return {name.partition(".")[2]: tensor for name, tensor in state.items()}


def check_fits(saved: Origin, ours: Origin, *, folder: Path) -> None:
    """Raise UserError, with both sides named, if ``ours`` cannot be resumed from ``saved``."""
    if saved.parameters != ours.parameters:
        name = _first_difference(saved.parameters, ours.parameters)
        raise UserError(
            f"checkpoint {folder} is of another model: {name} is {_shape(saved, name)} in model={saved.model} (digest "
            f"{saved.digest}), which it was made of, and {_shape(ours, name)} in model={ours.model} (digest "
            f"{ours.digest}). Set model={saved.model} to go on, or another name for a run of its own."
        )
    if FAMILIES[saved.zero_stage] != FAMILIES[ours.zero_stage]:
        raise UserError(
            f"learner.zero_stage={ours.zero_stage}: checkpoint {folder} was saved under stage {saved.zero_stage}, and "
            f"DeepSpeed converts between ranks but not between these stages; needs {FAMILIES[saved.zero_stage]}."
        )
    if saved.dtype != ours.dtype:
        raise UserError(f"learner.dtype={ours.dtype}: checkpoint {folder} was saved in {saved.dtype}; needs that.")


def needs_conversion(saved: Origin, ours: Origin) -> bool:
    """Return whether optimizer states are divided differently now; without ZeRO every rank has all of them."""
    return saved.world_size != ours.world_size and ours.zero_stage > 0


def _convert(folder: Path) -> None:
    """Write DeepSpeed's universal checkpoint, once. A killed process leaves nothing that looks complete."""
    if (folder / UNIVERSAL).is_dir():
        return
    settings = SimpleNamespace(
        input_folder=str(folder / ENGINE),
        # In this process, one shard in memory at a time: forking a process with GPUs and sockets is not safe.
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        # Only tensor parallelism writes the metadata that the converter reads; an empty entry means none.
        inject_missing_state=True,
    )
    printed = io.StringIO()  # the converter prints its progress
    with (
        written_aside(folder / UNIVERSAL) as aside,
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        settings.output_folder = str(aside)
        ds_to_universal.main(settings)
    # The converter also records the temporary name of its folder, which nothing reads.
    (folder / "latest_universal").unlink(missing_ok=True)


def _on_rank_0(action: Callable[[], None], *, what: str) -> None:
    """Run the action on rank 0 while the others wait, up to the process group's deadline (deadlines.learn_s)."""
    failure: list[str | None] = [None]
    if dist.get_rank() == 0:
        try:
            action()
        except Exception as error:  # the others have to be told, whatever it is
            failure = [f"{type(error).__name__}: {error}"]
    try:
        dist.broadcast_object_list(failure, src=0)
    except RuntimeError as error:
        raise DeadlineExceeded(
            f"rank {dist.get_rank()} of the learner waited for rank 0 {what}: {error}. If that takes long here, raise "
            "deadlines.learn_s; otherwise look at the log of rank 0."
        ) from error
    if failure[0] is not None:
        raise InfrastructureError(f"rank 0 failed {what}: {failure[0]}")


def _random_states() -> dict[str, Any]:
    states = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": np.random.get_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _set_random_states(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def _first_difference(saved: dict[str, list[int]], ours: dict[str, list[int]]) -> str:
    return next(name for name in (*saved, *ours) if saved.get(name) != ours.get(name))


def _shape(origin: Origin, name: str) -> str:
    shape = origin.parameters.get(name)
    return "missing" if shape is None else "x".join(map(str, shape))
