"""With the vocabulary of real models, ranks whose rows are unlike make the same collectives, and one gradient."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.rollout.engine import one_segment
from r1ray.types import Minibatch, SampleRef, Shard, StepStats, Trajectory, VersionSpan
from tests.learner.lending import by_id, by_number
from tests.real.ranks import run_ranks

pytestmark = pytest.mark.real
VOCABULARY = 151_936
"""Qwen's: the logits of 110 tokens are a chunk."""
LENGTHS = [(50, 100), (20, 300), (5, 8)]
"""Prompt and completion of each sequence."""
ALGO = {"group_size": 3, "prompts_per_step": 1, "minibatches_per_step": 1, "max_completion_tokens": 300}
LEARNER = {"dtype": "float32", "num_ranks": 2, "zero_stage": 3, "max_tokens_per_microbatch": 1000}

Plan = list[list[list[int]]]
"""The rows of each micro-batch of each shard."""
UNLIKE: Plan = [[[0], [2]], [[1], []]]
"""100 completion tokens on one rank and 300 on the other; then 8 on one and no row at all on the other."""
TOGETHER: Plan = [[[0], [1], [2]]]
"""Each row on both ranks: the halves of the second have 140 and 160 of its 300 completion tokens, and the completion
of a last one of 8 lies on one rank alone."""


def model(folder: Path, *, tied: bool) -> Path:
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=4,
        initializer_range=0.5,
        tie_word_embeddings=tied,
    )
    return saved(Qwen3ForCausalLM(config), folder)


def saved(model: Any, folder: Path) -> Path:
    """Save a model with a tokenizer of two tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>").save_pretrained(folder)
    return folder


def completions(vocabulary: int) -> list[Trajectory]:
    rng = np.random.default_rng(0)
    return [
        one_segment(
            group_id=f"0/{index}",
            index=index,
            prompt_token_ids=rng.integers(0, vocabulary, prompt).astype(np.int32),
            token_ids=rng.integers(0, vocabulary, length).astype(np.int32),
            logprobs=np.full(length, -12.0, dtype=np.float32),
            text="",
            versions=(VersionSpan(0, 0, length),),
        )
        for index, (prompt, length) in enumerate(LENGTHS)
    ]


def examples(vocabulary: int) -> list[SFTExample]:
    return [
        SFTExample(
            id=row.group_id,
            token_ids=np.concatenate([row.prompt_token_ids, row.segments[0].token_ids]),
            loss_mask=np.arange(row.num_row_tokens) >= len(row.prompt_token_ids),
        )
        for row in completions(vocabulary)
    ]


def pairs(vocabulary: int) -> list[PreferencePair]:
    rows = examples(vocabulary)
    others = (*rows[1:], rows[0])
    return [PreferencePair(row, other, 0.0) for row, other in zip(rows, others, strict=True)]


ROWS: dict[str, Any] = {"grpo": completions, "sft": examples, "preference": pairs}
Jobs = dict[str, tuple[str, Plan, dict[str, Any]]]
JOBS: Jobs = {
    "grpo": ("grpo", UNLIKE, {}),
    "grpo checkpointed": ("grpo", UNLIKE, {"gradient_checkpointing": True}),
    "grpo ulysses": ("grpo", TOGETHER, {"sequence_parallel_size": 2}),
    "sft": ("sft", UNLIKE, {}),
    "preference": ("preference", UNLIKE, {}),
}


def by_name(kind: str, vocabulary: int) -> dict[str, Any]:
    """The rows, by what shards call them."""
    rows = ROWS[kind](vocabulary)
    return by_id(rows) if kind == "grpo" else by_number(rows)


def make_shards(kind: str, plan: Plan) -> list[Shard]:
    tokens = [prompt + completion for prompt, completion in LENGTHS]
    advantages = [1.0, -0.5, -0.7]
    names = list(by_name(kind, VOCABULARY))
    return [
        Shard(
            learner_version=0,
            minibatches=(
                Minibatch(
                    microbatches=tuple(
                        tuple(SampleRef(names[row], advantages[row], tokens[row]) for row in rows)
                        for rows in microbatches
                    ),
                    num_sequences=len(LENGTHS),
                    num_tokens=sum(length for _, length in LENGTHS),
                ),
            ),
        )
        for microbatches in plan
    ]


Found = dict[tuple[str, int], tuple[StepStats, dict[str, int]]]


def run(
    out: Path, models: dict[bool, Path], *, world_size: int, asked: Jobs, vocabulary: int, timeout_s: float = 200
) -> Found:
    """Every job by so many ranks; one rank has all rows, and no ZeRO."""
    out.mkdir()
    jobs = {}
    for name, (kind, plan, settings) in asked.items():
        alone: dict[str, Any] = {"num_ranks": 1, "zero_stage": 0, "sequence_parallel_size": 1}
        jobs[name] = {
            "kind": kind,
            "model": str(models[kind != "sft"]),
            "algo": ALGO,
            "learner": {**LEARNER, **settings, **({} if world_size > 1 else alone)},
            "shards": make_shards(kind, plan if world_size > 1 else [[[0], [1], [2]]]),
            "rows": by_name(kind, vocabulary),
        }
    path = out / "jobs.pickle"
    path.write_bytes(pickle.dumps(jobs))
    logs = [out / f"rank{rank}.log" for rank in range(world_size)]
    ended = run_ranks(
        "tests.real.collectives_rank",
        logs,
        lambda rank, port: [str(rank), str(world_size), str(port), str(path), str(out)],
        timeout_s=timeout_s,
    )
    assert ended == [0] * world_size, "\n".join(log.read_text()[-3000:] for log in logs)
    return {
        (name, rank): pickle.loads((out / f"{name}-rank{rank}.pickle").read_bytes())
        for name in asked
        for rank in range(world_size)
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[Found, Found]:
    """Of one rank, and of two."""
    folder = tmp_path_factory.mktemp("collectives")
    models = {tied: model(folder / f"tied-{tied}", tied=tied) for tied in (True, False)}
    one, two = (
        run(folder / str(ranks), models, world_size=ranks, asked=JOBS, vocabulary=VOCABULARY) for ranks in (1, 2)
    )
    return one, two


@pytest.mark.parametrize("name", JOBS)
def test_ranks_with_unlike_rows_make_the_same_collectives(found: tuple[Found, Found], name: str) -> None:
    counts = [found[1][name, rank][1] for rank in range(2)]
    assert counts[0] == counts[1] and sum(counts[0].values()) > 10


@pytest.mark.parametrize("name", JOBS)
def test_their_gradient_is_that_of_one_rank_without_zero(found: tuple[Found, Found], name: str) -> None:
    one, two = found[0][name, 0][0].metrics, found[1][name, 0][0].metrics
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5) and one["grad_norm"] > 1e-3
    assert two["loss/total"] == pytest.approx(one["loss/total"], rel=1e-5)
