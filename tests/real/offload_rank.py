"""One rank of a learner group that leaves its device between two steps, for test_offload.py.

Each variant is trained twice, without and with turns; what is saved while the state is away is loaded at the end.

usage: python -m tests.real.offload_rank RANK WORLD_SIZE PORT JOBS.pickle
"""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.learner.deepspeed_engine import ParameterStream
from r1ray.learner.grpo import GRPOLearner
from r1ray.learner.offload import own_part
from tests.learner.lending import by_id, train


def places(learner: GRPOLearner) -> dict[str, list[int]]:
    """Where this rank's tensors are, kind by kind."""
    engine: Any = learner._engine
    is_stage_3 = engine.zero_optimization_stage() == 3
    masters = "fp32_partitioned_groups_flat" if is_stage_3 else "single_partition_of_fp32_groups"
    beside = [own_part(each) for module in learner._reference.modules for each in module.parameters()]
    of_kind = {
        "trained": [own_part(each) for each in learner._model.parameters() if each.requires_grad],
        "frozen": beside + [own_part(each) for each in learner._model.parameters() if not each.requires_grad],
        "masters": getattr(engine.optimizer, masters),
    }
    return {kind: [each.data_ptr() for each in tensors if each.numel()] for kind, tensors in of_kind.items()}


def moved(before: list[int], after: list[int]) -> bool:
    """Every tensor is elsewhere."""
    return bool(before) and all(one != other for one, other in zip(before, after, strict=True))


def run(learner: GRPOLearner, job: dict[str, Any], shard: int, saved: Path | None) -> list[Any]:
    """Train on each step, in turns where there is a place to save to. Returns metrics, and what is published."""
    found: list[Any] = []
    for index, (shards, rows, _) in enumerate(job["steps"]):
        stats = train(learner, shards[shard], by_id(rows)).metrics
        if index == 1:
            learner.refresh_reference()
        if saved is not None:
            before = places(learner)
            learner.step_aside()
        published = [(name, tensor.clone()) for name, tensor in ParameterStream(learner._model)]
        found.append((stats, published))
        if saved is not None:
            learner.leave()
            learner.leave()
            found[-1] += ({kind: moved(where, places(learner)[kind]) for kind, where in before.items()},)
            if index == 1:
                saved.mkdir(parents=True, exist_ok=True)
                learner.save(saved)
            learner.come_back()
            learner.come_back()
    return found


def work(rank: RankSpec, out: Path, job: dict[str, Any]) -> None:
    """Do one job; what was found goes to ``out``."""
    out.mkdir(exist_ok=True)
    for name, (settings, what) in job["variants"].items():
        config = LearnerConfig(**job["learner"] | settings)
        learners = [
            GRPOLearner(config, AlgoConfig(**job["algo"]), LearnerSpec(job["models"][name], 0, 10, offload=each), rank)
            for each in ("none", what)
        ]
        shard, saved = rank.rank, out / f"saved-{name}"
        straight, in_turns = run(learners[0], job, shard, None), run(learners[1], job, shard, saved)
        learners[0].load(saved)  # what the state was after the second step
        shards, rows, _ = job["steps"][2]
        again = train(learners[0], shards[shard], by_id(rows)).metrics
        if rank.rank == 0:
            (out / f"{name}.pickle").write_bytes(pickle.dumps((straight, in_turns, again)))


def main(rank: int, world_size: int, port: int, jobs: str) -> None:
    own = RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 120.0)
    for out, job in pickle.loads(Path(jobs).read_bytes()):
        work(own, out, job)
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
