"""One rank of a learner group that trains mixtures of experts with unequal work, for tests/real/test_mixtures.py.

usage: python -m tests.learner.mixture_rank RANK WORLD_SIZE PORT OUT MODELS KIND STAGE...
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from r1ray.config import LearnerConfig
from r1ray.config.router import RouterConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.data.sft_examples import SFTExample
from r1ray.learner.sft import SFTLearner
from r1ray.types import Minibatch, SampleRef, Shard
from tests.learner.export_rank import probe
from tests.learner.lending import by_number, train

LENGTHS = (30, 24, 3)
WORK = {1: (((0,), (1, 2)),), 2: (((0,), (1,)), ((2,), ()))}
"""By the number of ranks, the rows of each rank's micro-batches: the second of two has three tokens, and then none."""
ROUTER = {
    "deepseek_v3": RouterConfig(loss_coefficient=0.5, bias_speed=0.01),
    "glm4_moe": RouterConfig(loss_coefficient=0.5, bias_speed=0.01),
}
"""Of softmax routers the loss is one of each micro-batch, and those are others on two ranks."""


def examples() -> list[SFTExample]:
    """Rows of random tokens."""
    rng = np.random.default_rng(0)
    rows = [rng.integers(2, 64, length).astype(np.int32) for length in LENGTHS]
    return [SFTExample(str(index), ids, np.arange(len(ids)) > 0) for index, ids in enumerate(rows)]


def shard_of(rank: int, world_size: int) -> Shard:
    """Return the work of a rank."""
    micro = tuple(tuple(SampleRef(str(row), 1.0, LENGTHS[row]) for row in rows) for rows in WORK[world_size][rank])
    return Shard(
        (Minibatch(microbatches=micro, num_sequences=len(LENGTHS), num_tokens=sum(LENGTHS) - len(LENGTHS)),), 0
    )


def work(rank: int, world_size: int, port: int, out: Path, models: Path, kind: str, stage: int) -> None:
    """Train, save, export; then train on, go back to what was saved, and export again."""
    config = LearnerConfig(
        dtype="float32",
        lr=1e6,  # with this epsilon AdamW moves parameters by the gradient
        epsilon=1e6,
        betas=[0.0, 0.9],
        grad_clip=1e9,
        num_ranks=world_size,
        zero_stage=stage,
        router=ROUTER.get(kind, RouterConfig()),
    )
    place = RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 60.0)
    learner: Any = SFTLearner(config, LearnerSpec(str(models / kind), seed=0, num_updates=4), place)
    folder = out / f"{kind}-{world_size}-{stage}"
    used: list[torch.Tensor] = []
    router = next(m for m in learner._model.modules() if hasattr(m, "top_k") and "weight" in m._parameters)
    hook = router.register_forward_hook(lambda module, inputs, output: used.append(output[2].unique()))
    train(learner, shard_of(rank, world_size), by_number(examples()))
    hook.remove()
    learner.save(folder / "checkpoint")
    found = probe(learner)
    learner.export(folder / "export")
    train(learner, shard_of(rank, world_size), by_number(examples()))
    learner.load(folder / "checkpoint")
    learner.export(folder / "again")
    torch.save((found, [len(each) for each in used]), folder / f"rank-{rank}.pt")
    if world_size == 1 and stage:
        learner.load(out / f"{kind}-2-{stage}" / "checkpoint")
        learner.export(folder / "converted")


def main(rank: int, world_size: int, port: int, out: Path, models: Path, kind: str, stages: list[str]) -> None:
    for stage in stages:
        (out / f"{kind}-{world_size}-{stage}").mkdir(exist_ok=True)
        work(rank, world_size, port, out, models, kind, int(stage))
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *map(Path, sys.argv[4:6]), sys.argv[6], sys.argv[7:])
