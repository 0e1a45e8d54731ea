"""One rank of a learner group that trains a step, saves its state and exports, for test_export.py.

usage: python -m tests.learner.export_rank RANK WORLD_SIZE PORT OUT MODELS NAME...
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
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.learner.packed import pack_sequences
from r1ray.learner.preference import PreferenceLearner
from r1ray.learner.sft import SFTLearner
from r1ray.loop.supervised_loop import plan_step
from tests.learner.export_variants import IDS, VARIANTS, model_of
from tests.learner.lending import by_number, train


def example(index: int, *, length: int) -> SFTExample:
    ids = np.random.default_rng(index).integers(2, 64, length).astype(np.int32)
    return SFTExample(str(index), ids, np.arange(length) > 1)


def probe(learner: Any) -> torch.Tensor:
    """Log-probabilities of ``IDS``, or its score, as the learner computes them."""
    ids = torch.tensor(IDS)
    packed = pack_sequences([(ids, torch.arange(len(ids)) > 0)], device=torch.device("cpu"))
    with torch.no_grad():
        if isinstance(learner, PreferenceLearner):
            return learner._engine(packed).float()
        return learner._engine(packed, 1.0)[0].float()


def work(rank: int, world_size: int, port: int, out: Path, models: Path, name: str) -> None:
    config = LearnerConfig(
        **{"dtype": "float32", "lr": 1e-2, "num_ranks": world_size, "max_tokens_per_microbatch": 64} | VARIANTS[name]
    )
    spec = LearnerSpec(str(models / model_of(name)), seed=0, num_updates=4)
    place = RankSpec(rank, world_size, socket.gethostbyname("localhost"), port, 0, 60.0)
    is_reward = name.startswith("reward")
    learner: Any = (PreferenceLearner if is_reward else SFTLearner)(config, spec, place)
    examples = [example(index, length=6 + index) for index in range(4)]
    rows: Any = [PreferencePair(a, b, 0.0) for a, b in zip(examples[::2], examples[1::2], strict=True)]
    rows = rows if is_reward else examples
    shards = plan_step(rows, num_ranks=world_size, max_tokens_per_microbatch=64, step=0, seed=0)
    train(learner, shards[rank], by_number(rows))
    folder = out / name
    learner.save(folder / "checkpoint", asynchronous=True)
    found = probe(learner)
    learner._writer.wait()
    learner.export(folder / "export")
    if rank == 0:
        torch.save(found, folder / "probe.pt")


def main(rank: int, world_size: int, port: int, out: Path, models: Path, names: list[str]) -> None:
    for name in names:
        work(rank, world_size, port, out, models, name)
    dist.barrier()
    dist.destroy_process_group()  # else Gloo's threads may abort the process at its end


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), Path(sys.argv[5]), sys.argv[6:])
