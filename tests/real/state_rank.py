"""One rank of a learner group that saves and loads states, for test_state.py.

save     train each variant for three steps, save while a fourth is trained, train on
one      load with another number of ranks, save, train on; then be killed while a checkpoint is written
resume   load both, train on; load what has to be refused

usage: python -m tests.real.state_rank RANK WORLD_SIZE PORT OUT ACTION
"""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

from r1ray.config import LearnerConfig
from r1ray.config.specs import RankSpec
from r1ray.data.position import Position
from r1ray.errors import UserError
from r1ray.learner.deepspeed_engine import build_engine, gathered, join_group
from r1ray.learner.lora import add_adapters
from r1ray.learner.parts import load_parts, num_parts, own_parts, part_file
from r1ray.learner.state import load_state, save_state
from r1ray.learner.writer import StateWriter
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from tests.real.state_variants import ROWS, SAVED_AT, STEPS, VARIANTS


class Model(torch.nn.Module):
    """Tied embeddings, and sizes that two ranks cannot halve."""

    def __init__(self, config: LearnerConfig, *, vocabulary: int = 37) -> None:
        super().__init__()
        torch.manual_seed(0)
        settings = Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=18,
            intermediate_size=23,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            tie_word_embeddings=True,
        )
        self.model = Qwen2ForCausalLM(settings)
        if config.lora.rank:
            add_adapters(self.model, config.lora)
        self.to(getattr(torch, config.dtype))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        loss: torch.Tensor = self.model(input_ids=ids, labels=ids).loss
        return loss


class HeldWriter(StateWriter):
    """Writes nothing before it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def run(self, action: Callable[[], None]) -> None:
        def later() -> None:
            assert self.go_on.wait(60)
            action()

        super().run(later)


def make_engine(config: LearnerConfig, *, vocabulary: int = 37) -> Any:
    return build_engine(
        Model(config, vocabulary=vocabulary), config, world_size=dist.get_world_size(), num_updates=2 * STEPS
    )


def make_config(name: str) -> LearnerConfig:
    return LearnerConfig(**{"dtype": "float32", "lr": 1e-2, "schedule": "linear", "grad_clip": 0.5} | VARIANTS[name])


def train(engine: Any, steps: range) -> list[float]:
    """The loss of each step over the rows of all ranks."""
    losses = []
    share = ROWS // dist.get_world_size()
    for step in steps:
        rows = torch.randint(0, 37, (ROWS, 9), generator=torch.Generator().manual_seed(step))
        loss = engine(rows[dist.get_rank() * share :][:share])
        engine.backward(loss)
        engine.step()
        total = loss.detach().clone().float()
        dist.all_reduce(total)
        losses.append(total.item() / dist.get_world_size())
    return losses


def draw() -> list[float]:
    """What this rank's random states give next."""
    return [random.random(), float(np.random.random()), torch.rand(()).item()]


def end_of(engine: Any) -> dict[str, Any]:
    """Where training stands: the learning rate, and all parameters."""
    parameters = []
    for parameter in engine.module.parameters():
        with gathered([parameter]):
            parameters.append(parameter.detach().clone().flatten())
    return {"lr": engine.get_lr(), "parameters": torch.cat(parameters)}


def save(out: Path) -> dict[str, Any]:
    found = {}
    for name in VARIANTS:
        engine = make_engine(make_config(name))
        losses = train(engine, range(SAVED_AT))
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(7 + dist.get_rank())
        writer = HeldWriter()
        save_state(engine, out / name / "two", model="tiny", writer=writer)
        drawn = draw()
        losses += train(engine, range(SAVED_AT, SAVED_AT + 1))
        assert not writer.is_done(), "the step was done before a file was written"
        writer.go_on.set()
        writer.wait()
        losses += train(engine, range(SAVED_AT + 1, STEPS))
        parts = num_parts(engine.module, world_size=2)
        if dist.get_rank() < parts:
            file = part_file(out / name, "whole", part=dist.get_rank(), parts=parts)
            save_file(own_parts(engine.module, rank=dist.get_rank()), file)
        found[name] = {"losses": losses, "drawn": drawn, **end_of(engine)}
    return found


def one(out: Path) -> dict[str, Any]:
    found = {}
    for name in VARIANTS:
        engine = make_engine(make_config(name))
        load_state(engine, out / name / "two", model="tiny")
        save_state(engine, out / name / "one", model="tiny")
        losses = train(engine, range(SAVED_AT, STEPS))
        found[name] = {"losses": losses, **end_of(engine)}
        if not make_config(name).lora.rank:
            load_parts(engine.module, out / name, "whole", rank=0)
            found[name]["whole"] = end_of(engine)["parameters"]
    engine = make_engine(make_config("zero2"))
    found["other stage of the family"] = go_on_from(engine, out / "zero1" / "one")
    return found


def resume(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in VARIANTS:
        engine = make_engine(make_config(name))
        load_state(engine, out / name / "two", model="tiny")
        found[name] = {"drawn": draw(), "losses": train(engine, range(SAVED_AT, STEPS)), **end_of(engine)}
        engine = make_engine(make_config(name))
        found[f"{name} of one"] = go_on_from(engine, out / name / "one")
    config = make_config("zero2")
    found["refused"] = {
        "model": refusal(lambda: load_state(make_engine(config, vocabulary=41), out / "zero2" / "two", model="other")),
        "adapters": refusal(lambda: load_state(make_engine(config), out / "adapters_zero2" / "two", model="tiny")),
        "stage": refusal(lambda: load_state(make_engine(config), out / "zero3" / "two", model="tiny")),
        "dtype": refusal(
            lambda: load_state(make_engine(replace(config, dtype="bfloat16")), out / "zero2" / "two", model="tiny")
        ),
    }
    (out / "torn" / "engine").mkdir(parents=True, exist_ok=True)
    (out / "torn" / "state.json").write_bytes((out / "zero2" / "one" / "state.json").read_bytes())
    found["refused"]["conversion"] = refusal(lambda: load_state(make_engine(config), out / "torn", model="tiny"))
    return found


def go_on_from(engine: Any, folder: Path) -> dict[str, Any]:
    load_state(engine, folder, model="tiny")
    return {"losses": train(engine, range(SAVED_AT, STEPS)), **end_of(engine)}


def refusal(action: Callable[[], None]) -> str:
    try:
        action()
    except Exception as error:
        return f"{'UserError' if isinstance(error, UserError) else type(error).__name__}: {error}"
    return "nothing was refused"


def be_killed(out: Path) -> None:
    """A checkpoint is whole, the next one is half written, and the process goes."""
    checkpoints = Checkpoints(out / "checkpoints", keep=2)
    engine = make_engine(make_config("zero2"))
    for version in (1, 2):
        train(engine, range(version))
        aside = checkpoints.begin(version)
        writer = StateWriter()
        save_state(engine, aside / "learner", model="tiny", writer=writer)
        if version == 2:
            writer.run(lambda: os.kill(os.getpid(), signal.SIGKILL))
            writer.write(torch.zeros(8), aside / "learner" / "never.pt")
        writer.wait()
        checkpoints.commit(aside, LoopState(version, version, version, Position(), Ledger().state()))


def main(rank: int, world_size: int, port: int, out: Path, action: str) -> None:
    torch.set_num_threads(1)
    join_group(RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 60.0))
    found = {"save": save, "one": one, "resume": resume}[action](out)
    torch.save(found, out / f"{action}-{rank}.pt")
    if action == "one":
        be_killed(out)
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), sys.argv[5])
