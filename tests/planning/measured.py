"""One rank of a real learner, for test_measured.py: what its tensors and files weigh, as JSON.

usage: python -m tests.planning.measured PORT MODEL OUT
"""

from __future__ import annotations

import gc
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from r1ray.algo.batching import plan_shards
from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.learner.grpo import GRPOLearner
from r1ray.rollout.engine import one_segment
from r1ray.types import SampleRef, Trajectory, VersionSpan
from tests.learner.lending import by_id, train
from tests.planning.live import LiveBytes
from tests.planning.variants import LENGTH, ROWS, VARIANTS


def trajectory(index: int) -> Trajectory:
    return one_segment(
        group_id="0/0",
        index=index,
        prompt_token_ids=np.asarray([3], dtype=np.int32),
        token_ids=np.arange(LENGTH - 1, dtype=np.int32),
        logprobs=np.full(LENGTH - 1, -5.0, dtype=np.float32),
        text="",
        versions=(VersionSpan(0, 0, LENGTH - 1),),
    )


def measure(settings: dict[str, Any], port: int, model: str, out: Path) -> dict[str, Any]:
    learner = GRPOLearner(
        LearnerConfig(max_tokens_per_microbatch=ROWS * LENGTH, **settings),
        AlgoConfig(group_size=ROWS, prompts_per_step=1, minibatches_per_step=1, max_completion_tokens=LENGTH - 1),
        LearnerSpec(model, seed=0, num_updates=10),
        RankSpec(0, 1, "127.0.0.1", port, 0, 60.0),
    )
    rows = list(map(trajectory, range(ROWS)))
    (shard,) = plan_shards(
        [[SampleRef(row.id, (-1.0) ** row.index, row.num_row_tokens) for row in rows]],
        [[LENGTH - 1] * ROWS],
        num_minibatches=1,
        num_ranks=1,
        max_tokens_per_microbatch=ROWS * LENGTH,
        learner_version=0,
        seed=0,
    )
    train(learner, shard, by_id(rows))  # the first step makes the moments, and DeepSpeed's buffers
    live, found = LiveBytes(), {}
    live.ignore(*(thing for thing in gc.get_objects() if issubclass(type(thing), torch.Tensor)))
    backward, adam = learner._backward, learner._engine.optimizer.optimizer
    update = adam.step

    def watched_backward(loss: torch.Tensor) -> None:
        live.peak = live.now
        backward(loss)
        found["passes"] = live.peak

    def watched_update() -> None:
        gradients = [p.grad for group in adam.param_groups for p in group["params"] if p.grad is not None]
        live.peak = before = live.now
        update()
        found["update"] = live.peak - before + sum(grad.numel() * grad.element_size() for grad in gradients)

    learner._backward, adam.step = watched_backward, watched_update  # type: ignore[method-assign]
    with live:
        train(learner, shard, by_id(rows))
    learner.save(out / "checkpoint")
    learner.export(out / "export")
    sizes = {path.name: path.stat().st_size for path in out.rglob("*") if path.is_file()}
    optimizer = sum(
        value.numel() * value.element_size()
        for state in learner._engine.optimizer.optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor) and value.numel() > 1
    )
    return found | {"files": sizes, "moments": optimizer}


def main(port: int, model: str, out: Path) -> None:
    found = {}
    for name, settings in VARIANTS.items():
        folder = out / name.replace(" ", "-")
        (folder / "checkpoint").mkdir(parents=True)
        found[name] = measure(settings, port, model, folder)
    (out / "measured.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
