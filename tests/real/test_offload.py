"""A learner that leaves its device between two steps learns what one does that stays: every ZeRO stage, two ranks."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.config import LoraConfig
from tests.learner.image_models import IMAGES
from tests.real.ranks import run_ranks
from tests.real.test_learner import ALGO, job_step

pytestmark = [pytest.mark.real, pytest.mark.long]
ADAPTERS = {"lora": LoraConfig(rank=4)}
VARIANTS: dict[str, tuple[dict[str, Any], str]] = {
    "zero1": ({"zero_stage": 1}, "all"),
    "zero2_bfloat16": ({"zero_stage": 2, "dtype": "bfloat16"}, "all"),
    "zero3": ({"zero_stage": 3}, "all"),
    "optimizer_zero2": ({"zero_stage": 2}, "optimizer"),
    "optimizer_zero3": ({"zero_stage": 3}, "optimizer"),
    "offloaded_for_good": ({"zero_stage": 2, "offload_optimizer": True}, "all"),
    "offloaded_for_good_zero3": ({"zero_stage": 3, "offload_optimizer": True}, "all"),
    "adapters_zero2": ({"zero_stage": 2, **ADAPTERS}, "all"),
    "adapters_zero3": ({"zero_stage": 3, **ADAPTERS}, "all"),
    "reads_images_zero2": ({"zero_stage": 2}, "all"),
    "reads_images_zero3": ({"zero_stage": 3}, "all"),
}
LEARNER = {"dtype": "float32", "lr": 1e-2, "num_ranks": 2, "max_tokens_per_microbatch": 32}


def model_that_reads_images(folder: Path) -> Path:
    """Make a model of which a part is not trained, although it has no adapters."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    settings = IMAGES["gemma3"] | {"image_token_index": 290}  # the completions' tokens are below
    config = AutoConfig.for_model("gemma3", **settings | {"text_config": settings["text_config"] | {"vocab_size": 300}})
    torch.manual_seed(0)
    AutoModelForImageTextToText.from_config(config, dtype=torch.float32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def found(qwen_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of each variant: without turns, in turns, and the third step made again from what was saved after the second."""
    folder = tmp_path_factory.mktemp("offload")
    steps = [job_step(seed, advantage=1.0) for seed in range(3)]
    images = model_that_reads_images(folder / "images")
    models = {name: str(images if name.startswith("reads_images") else qwen_folder) for name in VARIANTS}
    job = {"variants": VARIANTS, "learner": LEARNER, "algo": ALGO, "models": models, "steps": steps}
    (folder / "jobs.pickle").write_bytes(pickle.dumps([(folder / "out", job)]))
    run_ranks(
        "tests.real.offload_rank",
        [folder / f"{rank}.log" for rank in range(2)],
        lambda rank, port: [str(rank), "2", str(port), str(folder / "jobs.pickle")],
        timeout_s=1200,
    )
    return {name: pickle.loads((folder / "out" / f"{name}.pickle").read_bytes()) for name in VARIANTS}


@pytest.mark.parametrize("name", VARIANTS)
def test_turns_change_no_bit_of_what_is_learned_and_published(found: dict[str, Any], name: str) -> None:
    straight, in_turns, _ = found[name]
    for (stats, published), (stats_in_turns, published_in_turns, _) in zip(straight, in_turns, strict=True):
        assert stats_in_turns == stats and stats["grad_norm"] > 0
        pairs = zip(published, published_in_turns, strict=True)
        assert all(one == other and torch.equal(a, b) for (one, a), (other, b) in pairs)
    assert not torch.equal(straight[0][1][0][1], straight[2][1][0][1]) or "adapters" in name, "it has learned"


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_to_leave_leaves_after_every_step(found: dict[str, Any], name: str) -> None:
    settings, what = VARIANTS[name]
    for *_, has_left in found[name][1]:
        assert has_left["trained"] == (what == "all")
        assert has_left["masters"] == (not settings.get("offload_optimizer"))
        assert has_left["frozen"] == (what == "all")


@pytest.mark.parametrize("name", VARIANTS)
def test_what_is_saved_while_it_is_away_is_the_state(found: dict[str, Any], name: str) -> None:
    straight, _, again = found[name]
    assert again == straight[2][0]
