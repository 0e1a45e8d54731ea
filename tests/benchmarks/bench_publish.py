"""A verified publish to real engines beside one flat Gloo broadcast of the same bytes that is cloned into new tensors.

    python -m tests.benchmarks.bench_publish [--layers 8] [--engines 1] [--rounds 3]

Both sides are measured in one call, in turns: a publish through the snapshot in shared memory, one over Gloo
(``weights.snapshot=false``), and the plain broadcast between two processes. Printed are minimum, median and maximum in
milliseconds, and the ratios of the medians last (goals: at most 1.3 through shared memory, 2 over Gloo).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.multiprocessing as mp
from torch.distributed import ProcessGroupGloo, Store, TCPStore

PUBLISHES = 5
WORDS = 32_000


def make_folder(folder: Path, *, layers: int) -> list[int]:
    """Write an untrained Qwen3 of 512 channels; return the numbers of elements of its tensors."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from r1ray.examples.calculator_agent.tokenizer import make_tokenizer

    torch.manual_seed(0)
    sizes = {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": layers, "vocab_size": WORDS}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 64, "tie_word_embeddings": True}
    model = Qwen3ForCausalLM(Qwen3Config(**sizes, **heads, max_position_embeddings=256))
    model.save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return [parameter.numel() for parameter in model.parameters()]


def broadcast(rank: int, port: int, sizes: Sequence[int], times: Any) -> None:
    """Send one flat tensor to the other process, which clones it into new ones; put the seconds into a queue."""
    torch.set_num_threads(1)
    store: Store = TCPStore("127.0.0.1", port, 2, rank == 0)
    group = ProcessGroupGloo(store, rank, 2, timedelta(seconds=60))
    flat = torch.randn(sum(sizes)) if rank == 0 else torch.empty(sum(sizes))
    for _ in range(PUBLISHES + 1):
        group.barrier().wait()
        start = time.monotonic()
        group.broadcast(flat, root=0).wait()
        if rank == 1:
            _kept = [part.clone() for part in flat.split(list(sizes))]
        group.barrier().wait()
        if rank == 0:
            times.put(time.monotonic() - start)


def plain(sizes: Sequence[int], port: int) -> list[float]:
    """Return the seconds of plain broadcasts, without the first."""
    context = mp.get_context("spawn")
    times = context.SimpleQueue()
    mp.spawn(broadcast, (port, sizes, times), nprocs=2)  # type: ignore[no-untyped-call]
    return [times.get() for _ in range(PUBLISHES + 1)][1:]


def publishes(folder: Path, *, engines: int, snapshot: bool) -> list[float]:
    """Return the seconds of a run's publishes, without the first two (one makes the group, one the second file)."""
    from r1ray.cluster.launch import launch
    from r1ray.config import (
        AlgoConfig,
        DataConfig,
        LearnerConfig,
        RewardConfig,
        RolloutConfig,
        RunConfig,
        WeightsConfig,
    )

    settings = RunConfig(
        reward=RewardConfig(parts={"accuracy": {}}),
        model=str(folder),
        data=DataConfig(train="unused", template="none", max_prompt_tokens=32),
        algo=AlgoConfig(
            group_size=4, prompts_per_step=2, minibatches_per_step=1, max_completion_tokens=32, kl_coefficient=0.0
        ),
        rollout=RolloutConfig(dtype="float32", max_num_seqs=32, num_actors=engines),
        learner=LearnerConfig(dtype="float32", zero_stage=1, max_tokens_per_microbatch=256),
        weights=WeightsConfig(probe_every=10**6, snapshot=snapshot),
    )
    probe, found = [np.arange(3, 35, dtype=np.int32)], list[float]()
    with asyncio.Runner() as runner:
        running = runner.run(
            launch(
                *(settings,),
                model=str(folder),
                rollouts=folder / "rollouts",
                probe=probe,
                programs=frozenset(),
                worlds={},
            )
        )
        try:
            for version in range(PUBLISHES + 8):
                stats = runner.run(running.roles.weights.publish(version))
                if version > 1 and not stats.probe_s:
                    found.append(stats.seconds)
        finally:
            running.shutdown()
    return found


def report(name: str, seconds: Sequence[float]) -> float:
    """Print minimum, median and maximum; return the median."""
    least, median, most = (1e3 * each for each in (min(seconds), statistics.median(seconds), max(seconds)))
    print(f"{name}: {least:.0f} / {median:.0f} / {most:.0f} ms", flush=True)
    return median


def main() -> None:
    import ray

    parser = argparse.ArgumentParser()
    parser.add_argument("--layers", type=int, default=10, help="of 3.4 million parameters, beside 16 million words")
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    os.environ |= {"RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    found: dict[str, list[float]] = {"shared memory": [], "Gloo": [], "plain": []}
    with tempfile.TemporaryDirectory() as name:
        sizes = make_folder(Path(name), layers=arguments.layers)
        print(f"{sum(sizes) / 1e6:.0f} million parameters, {arguments.engines} engines, float32")
        for number in range(arguments.rounds):
            found["plain"] += plain(sizes, 29_500 + number)
            for way in ("shared memory", "Gloo"):
                found[way] += publishes(Path(name), engines=arguments.engines, snapshot=way == "shared memory")
    medians = {way: report(way, seconds) for way, seconds in found.items()}
    for way, goal in (("Gloo", 2.0), ("shared memory", 1.3)):
        print(f"{way} over plain: {medians[way] / medians['plain']:.2f} (goal: at most {goal:g})")


if __name__ == "__main__":
    main()
