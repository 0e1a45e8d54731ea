"""Learner tokens a second beside a bare PyTorch loop on the same packed batch, and the padding of both.

usage: python -m tests.benchmarks.bench_learner [ROUNDS]

The bare loop knows nothing of groups, ranks, clips or DeepSpeed: model, cross-entropy of all completion tokens from
whole logits, backward, AdamW. Both run on one core, take turns, and see the same micro-batches.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}

import numpy as np
import torch
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from r1ray.algo.batching import plan_shards
from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.learner.attention import PACKED
from r1ray.learner.grpo import GRPOLearner
from r1ray.learner.rows import make_rows
from r1ray.rollout.engine import one_segment
from r1ray.types import SampleRef, Shard, Trajectory, VersionSpan
from tests.learner.lending import by_id, train

VOCABULARY, COMPLETIONS, BUDGET = 4096, 64, 2048
CPU = torch.device("cpu")


def make_model(folder: Path) -> int:
    """A Qwen3 of 11 million parameters; returns how many."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=320,
        intermediate_size=960,
        num_hidden_layers=8,
        num_attention_heads=5,
        num_key_value_heads=5,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    model = Qwen3ForCausalLM(config)
    model.save_pretrained(folder)
    return int(sum(p.numel() for p in model.parameters()))


def make_batch(rng: np.random.Generator) -> tuple[Shard, dict[str, Trajectory]]:
    """Completions whose lengths are spread tenfold, as those of reasoning models are."""
    rows, samples = [], []
    for index in range(COMPLETIONS):
        length = int(np.exp(rng.uniform(np.log(40), np.log(400))))
        trajectory = one_segment(
            group_id=f"0/{index // 8}",
            index=index % 8,
            prompt_token_ids=rng.integers(3, VOCABULARY, 24).astype(np.int32),
            token_ids=rng.integers(3, VOCABULARY, length).astype(np.int32),
            logprobs=np.full(length, -np.log(VOCABULARY), dtype=np.float32),
            text="",
            versions=(VersionSpan(0, 0, length),),
        )
        rows.append(trajectory)
        samples.append(SampleRef(trajectory.id, float(rng.normal()), 24 + length))
    (shard,) = plan_shards(
        [samples],
        [[row.num_policy_tokens for row in rows]],
        num_minibatches=1,
        num_ranks=1,
        max_tokens_per_microbatch=BUDGET,
        learner_version=0,
        seed=0,
    )
    return shard, by_id(rows)


class BareLoop:
    """What anybody would write."""

    def __init__(self, folder: Path) -> None:
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=PACKED)
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6)

    def train(self, shard: Shard, trajectories: dict[str, Trajectory]) -> None:
        (minibatch,) = shard.minibatches
        for samples in minibatch.microbatches:
            packed = make_rows(samples, trajectories, learner_version=0, device=CPU).packed
            hidden = self.model.model(
                input_ids=packed.input_ids_N[None],
                position_ids=packed.position_ids_N[None],
                use_cache=False,
                layout=packed.layout,
            ).last_hidden_state[0]
            logits = self.model.lm_head(hidden[packed.predictor_C])
            targets = packed.target_C
            loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum") / minibatch.num_tokens
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def main(rounds: int) -> None:
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = make_model(folder)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        learner = GRPOLearner(
            LearnerConfig(dtype="float32", zero_stage=0, lr=1e-6, max_tokens_per_microbatch=BUDGET),
            AlgoConfig(kl_coefficient=0.0, group_size=8, prompts_per_step=8, minibatches_per_step=1),
            LearnerSpec(str(folder), seed=0, num_updates=1000),
            RankSpec(0, 1, "127.0.0.1", port, 0, 60.0),
        )
        bare = BareLoop(folder)
    shard, trajectories = make_batch(np.random.default_rng(0))
    seconds: dict[str, list[float]] = {"bare": [], "learner": []}
    stats = train(learner, shard, trajectories)
    bare.train(shard, trajectories)
    for _ in range(rounds):
        start = time.perf_counter()
        bare.train(shard, trajectories)
        middle = time.perf_counter()
        train(learner, shard, trajectories)
        seconds["bare"].append(middle - start)
        seconds["learner"].append(time.perf_counter() - middle)
    print(
        f"{size / 1e6:.1f} M parameters, {stats.trained_tokens} tokens in {COMPLETIONS} sequences, "
        f"{len(shard.minibatches[0].microbatches)} micro-batches of at most {BUDGET} tokens"
    )
    for who, values in seconds.items():
        print(f"{who:8} {stats.trained_tokens / statistics.median(values):8.0f} tokens/s")
    groups = [
        group
        for samples in shard.minibatches[0].microbatches
        for group in make_rows(samples, trajectories, learner_version=0, device=CPU).packed.layout.groups
    ]
    in_attention = 1 - stats.trained_tokens / sum(group.place_BT.numel() for group in groups)
    rows = sum(len(samples) * max(each.num_tokens for each in samples) for samples in shard.minibatches[0].microbatches)
    print(f"padding of the same micro-batches as padded rows: {1 - stats.trained_tokens / rows:.1%}")
    print(f"padding inside attention: {in_attention:.1%} of its rows")
    computed = stats.trained_tokens + stats.padding_tokens
    print(f"padding computed: {stats.padding_tokens / computed:.1%} (goal <= 3 %)")
    ratios = [b / o for b, o in zip(seconds["bare"], seconds["learner"], strict=True)]
    print(f"learner over bare loop: {statistics.median(ratios):.2f} (goal >= 0.90)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
