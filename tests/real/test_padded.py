"""Rows that are not packed: ranks with unequal work make the same collectives, and one gradient, under ZeRO 3."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.config import LoraConfig
from tests.real.test_collectives import Found, Jobs, Plan, run, saved

pytestmark = [pytest.mark.real, pytest.mark.long]
VOCABULARY = 300
UNLIKE: Plan = [[[0, 2], []], [[], [1]]]
"""Two rows of unlike length on one rank, which are two batches, while the other has none; then the other way round."""
JOBS: Jobs = {
    "grpo": ("grpo", UNLIKE, {}),
    "grpo checkpointed": ("grpo", UNLIKE, {"gradient_checkpointing": True}),
    "grpo adapters": ("grpo", UNLIKE, {"lora": LoraConfig(rank=2)}),
    "grpo adapters checkpointed": ("grpo", UNLIKE, {"lora": LoraConfig(rank=2), "gradient_checkpointing": True}),
    "sft": ("sft", UNLIKE, {}),
}


def hybrid(folder: Path) -> Path:
    """A model with a convolution and with attention."""
    import torch
    from transformers import Lfm2Config, Lfm2ForCausalLM

    torch.manual_seed(0)
    config = Lfm2Config(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
        initializer_range=0.5,
    )
    return saved(Lfm2ForCausalLM(config), folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """Of one rank, and of two."""
    folder = tmp_path_factory.mktemp("padded")
    model = hybrid(folder / "model")
    models = {True: model, False: model}
    return [
        run(folder / str(ranks), models, world_size=ranks, asked=JOBS, vocabulary=VOCABULARY, timeout_s=600)
        for ranks in (1, 2)
    ]


@pytest.mark.parametrize("name", JOBS)
def test_ranks_with_unlike_rows_make_the_same_collectives(found: list[Found], name: str) -> None:
    counts = [found[1][name, rank][1] for rank in range(2)]
    assert counts[0] == counts[1] and sum(counts[0].values()) > 10


@pytest.mark.parametrize("name", JOBS)
def test_their_gradient_is_that_of_one_rank_without_zero(found: list[Found], name: str) -> None:
    one, two = found[0][name, 0][0].metrics, found[1][name, 0][0].metrics
    assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5) and one["grad_norm"] > 0
    assert two["loss/total"] == pytest.approx(one["loss/total"], rel=1e-5)
