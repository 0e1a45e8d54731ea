"""One rank of a learner group, for test_learner.py: trains with each of several settings, exports after each step.

The second step is then done again from a checkpoint of before it.

usage: python -m tests.real.learner_rank RANK WORLD_SIZE PORT JOBS.pickle
"""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from deepspeed.utils import safe_get_full_fp32_param
from torch.utils._pytree import tree_leaves

from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.errors import NonFiniteLoss, R1RayError
from r1ray.learner.grpo import GRPOLearner
from tests.learner.lending import by_id, train


def work(rank: int, world_size: int, port: int, out: Path, job: dict[str, Any]) -> None:
    """Do one job; its files go to ``out``."""
    out.mkdir(exist_ok=True)
    for name, settings in job["variants"].items():
        config = LearnerConfig(**job["learner"] | settings)
        learner = GRPOLearner(
            config,
            AlgoConfig(**job["algo"]),
            LearnerSpec(job["model"], seed=0, num_updates=10),
            RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 120.0),
        )
        start = masters(learner) if job["moved"] else None
        shard = rank // config.sequence_parallel_size
        stats: list[Any] = []
        saved = out / f"checkpoint-{name}"
        for step, (shards, rows, _) in enumerate(job["steps"], start=1):
            before: list[torch.Tensor] = []
            if step == 2 and job["spoilt"]:
                before = snapshot(learner)
                if rank == 1:
                    spoil(learner)
            if step == 2 and name in job["resume"]:
                saved.mkdir(exist_ok=True)
                learner.save(saved)
            try:
                stats.append(train(learner, shards[shard], by_id(rows)))
            except NonFiniteLoss as error:
                stats.append(error.group_ids)
            except R1RayError as error:
                same = zip(before, snapshot(learner), strict=True)
                stats.append((str(error), all(torch.equal(old, new) for old, new in same)))
            learner.export(out / f"{name}-step{step}")
        (out / f"{name}-learned{rank}.pickle").write_bytes(pickle.dumps(learner.learned()))
        if name in job["resume"]:
            learner.load(saved)
            stats.append(train(learner, shards[shard], by_id(rows)))
        if start is not None:
            stats.append(masters(learner) - start)
        probe = learner.logprobs([job["probe"]])
        if rank == 0:
            (out / f"{name}.pickle").write_bytes(pickle.dumps((stats, probe)))


def masters(learner: GRPOLearner) -> torch.Tensor:
    """All float32 master weights, end to end."""
    engine: Any = learner._engine
    return torch.cat([safe_get_full_fp32_param(p).flatten() for p in engine.module.parameters()])


def snapshot(learner: GRPOLearner) -> list[torch.Tensor]:
    """This rank's parameters, master weights and moments."""
    engine: Any = learner._engine
    parameters = [getattr(p, "ds_tensor", p).detach().clone() for p in engine.module.parameters()]
    state = [leaf.clone() for leaf in tree_leaves(engine.optimizer.state_dict()) if isinstance(leaf, torch.Tensor)]
    assert len(state) >= 2
    return parameters + state


def spoil(learner: GRPOLearner) -> None:
    """Make the gradient of one parameter infinite from now on, on this rank; the loss stays as it is."""
    norm = next(p for name, p in learner._model.named_parameters() if name.endswith("norm.weight"))
    norm.register_hook(lambda gradient: torch.full_like(gradient, float("inf")))


def main(rank: int, world_size: int, port: int, jobs: str) -> None:
    for out, job in pickle.loads(Path(jobs).read_bytes()):
        work(rank, world_size, port, out, job)
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
