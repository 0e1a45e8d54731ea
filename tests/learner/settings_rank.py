"""One rank with engines of several settings, for test_deepspeed_engine.py.

usage: python -m tests.learner.settings_rank PORT FOLDER
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from r1ray.config import LearnerConfig
from r1ray.config.specs import RankSpec
from r1ray.errors import UserError
from r1ray.learner.deepspeed_engine import build_engine, check_settings, join_group
from tests.learner.test_deepspeed_engine import GIVEN, REFUSED


def main(port: int, folder: Path) -> None:
    join_group(RankSpec(0, 1, socket.gethostbyname("localhost"), port, 0, 60.0))
    config = LearnerConfig(zero_stage=3, lr=0.5, deepspeed=GIVEN)
    check_settings(config, world_size=1)
    engine = build_engine(torch.nn.Linear(2, 3, dtype=torch.bfloat16), config, world_size=1, num_updates=4)
    zero = engine.zero_overlap_comm(), engine.zero_reduce_bucket_size(), engine.zero_optimization_stage()
    found = {"zero": zero, "clip": engine.gradient_clipping(), "lr": engine.get_lr(), "said": {}}
    found["amsgrad"] = engine.optimizer.optimizer.defaults["amsgrad"]
    for name, settings in REFUSED.items():
        try:
            check_settings(LearnerConfig(zero_stage=3, deepspeed=settings[0]), world_size=1)
        except UserError as error:
            found["said"][name] = str(error)
    (folder / "found.json").write_text(json.dumps(found))
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
