"""The model, the questions and the reward of ``doctor --smoke``."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM

from r1ray.checks import FormatOnly
from r1ray.examples.running_total.task import prompt_of, sample_expression
from r1ray.examples.smoke import digits, make
from r1ray.runtime.model_files import load_tokenizer
from r1ray.types import Prompt, Response


@pytest.mark.parametrize(("num_heads", "num_layers"), [(2, 2), (6, 3)])
def test_a_model_of_the_asked_shape_is_far_from_a_uniform_choice(
    tmp_path: Path, num_heads: int, num_layers: int
) -> None:
    make(tmp_path, seed=0, log=lambda text: None, num_heads=num_heads, num_layers=num_layers, num_prompts=5)
    tokenizer = load_tokenizer(str(tmp_path / "model"), template="none", max_model_len=64)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    shape = model.config
    assert (shape.num_attention_heads, shape.num_key_value_heads, shape.num_hidden_layers) == (
        *(num_heads, num_heads, num_layers),
    )
    ids = tokenizer(prompt_of(sample_expression(random.Random(0), "train")), return_tensors="pt")["input_ids"]
    assert ids.shape[1] <= 16
    with torch.no_grad():
        spread = model(input_ids=ids).logits.std(dim=-1)
    assert 0.5 < float(spread.mean()) < 2.0, "nats, whatever its width"
    assert pq.read_table(tmp_path / "train.parquet").num_rows == 5


def test_the_reward_differs_between_what_is_said_at_random() -> None:
    prompt = Prompt(id="p", text="", check=FormatOnly(), domain="math", language="en")
    said = [Response(text=text, finished=True) for text in ("12ab", "so", "", "7")]
    assert [digits(prompt, response) for response in said] == [0.5, 0.0, 0.0, 1.0]
