"""One rank of learner groups, for test_collectives.py: one step of each job, and the collectives that it took.

usage: python -m tests.real.collectives_rank RANK WORLD_SIZE PORT JOBS.pickle OUT
"""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile

from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.learner.grpo import GRPOLearner
from r1ray.learner.preference import PreferenceLearner
from r1ray.learner.sft import SFTLearner
from tests.learner.lending import train


def main(rank: int, world_size: int, port: int, jobs: str, out: str) -> None:
    spec = RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 60.0)
    for name, job in pickle.loads(Path(jobs).read_bytes()).items():
        config, where = LearnerConfig(**job["learner"]), LearnerSpec(job["model"], seed=0, num_updates=10)
        learner: Any
        if job["kind"] == "grpo":
            learner = GRPOLearner(config, AlgoConfig(**job["algo"]), where, spec)
        else:
            learner = {"sft": SFTLearner, "preference": PreferenceLearner}[job["kind"]](config, where, spec)
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            stats = train(learner, job["shards"][rank // config.sequence_parallel_size], job["rows"])
        counts = {each.key: each.count for each in profiler.key_averages() if each.key.startswith("c10d::")}
        (Path(out) / f"{name}-rank{rank}.pickle").write_bytes(pickle.dumps((stats, counts)))
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
