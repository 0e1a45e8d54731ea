"""One rank of a learner group, for test_learner.py: trains two steps under each ZeRO stage and exports after each.

The second step is then done again from a checkpoint of before it.

usage: python -m tests.real.learner_rank RANK WORLD_SIZE PORT JOB.pickle OUT
"""

from __future__ import annotations

import pickle
import socket
import sys
from pathlib import Path

from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.learner.grpo import GRPOLearner
from r1ray.specs import LearnerSpec, RankSpec


def main(rank: int, world_size: int, port: int, job_path: str, out: str) -> None:
    job = pickle.loads(Path(job_path).read_bytes())
    for stage in job["stages"]:
        learner = GRPOLearner(
            LearnerConfig(**job["learner"], zero_stage=stage),
            AlgoConfig(**job["algo"]),
            LearnerSpec(job["model"], seed=0, num_updates=10),
            RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 120.0),
        )
        stats, saved = [], Path(out) / f"checkpoint-zero{stage}"
        for step, (shards, chunks) in enumerate(job["steps"], start=1):
            if step == 2 and stage in job["resume"]:
                saved.mkdir(exist_ok=True)
                learner.save(saved)
            stats.append(learner.train(shards[rank], *chunks))
            learner.export(Path(out) / f"zero{stage}-step{step}")
        if stage in job["resume"]:
            learner.load(saved)
            stats.append(learner.train(shards[rank], *chunks))
        if rank == 0:
            (Path(out) / f"stats-zero{stage}.pickle").write_bytes(pickle.dumps(stats))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
