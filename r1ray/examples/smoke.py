"""The ``prepare`` stage of ``r1ray doctor --smoke``: an untrained model in a shape that engines can divide, and the
quickstart's questions. It takes a second.

The weights have a large variance. With the usual variance, every log-probability would be close to that of a uniform
choice, and the parity probe would not notice an engine with wrong weights.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import torch

from r1ray.examples.running_total.maker import write_prompts
from r1ray.examples.running_total.task import sample_expression
from r1ray.examples.running_total.tokenizer import make_tokenizer
from r1ray.types import Prompt, Response

HEAD = 64
"""Width of a head, which vLLM's attention kernels support on CPUs and on GPUs."""
LOGIT_STD = 1.0
"""Standard deviation of the untrained model's logits, nats."""


def make(
    out_dir: Path, *, seed: int, log: Callable[[str], None], num_heads: int, num_layers: int, num_prompts: int
) -> None:
    """Write ``model/``, ``train.parquet`` and ``heldout.parquet`` into ``out_dir``."""
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # not needed for a model of a megabyte
    tokenizer, hidden = make_tokenizer(), HEAD * num_heads
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=-(-len(tokenizer) // 32) * 32,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=num_layers,
            num_attention_heads=num_heads,
            num_key_value_heads=num_heads,
            head_dim=HEAD,
            max_position_embeddings=256,
            initializer_range=LOGIT_STD / math.sqrt(hidden),
            tie_word_embeddings=False,  # tied, it would repeat its last token again and again
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    log(f"  {sum(p.numel() for p in model.parameters()):,} parameters, untrained")
    model.save_pretrained(out_dir / "model")
    tokenizer.save_pretrained(out_dir / "model")
    rng = random.Random(seed)
    write_prompts(out_dir / "train.parquet", [sample_expression(rng, "train") for _ in range(num_prompts)])
    write_prompts(out_dir / "heldout.parquet", [sample_expression(rng, "eval")])


def digits(prompt: Prompt, response: Response) -> float:
    """Return the share of digits. It varies between the outputs of an untrained model, so that there is something to
    learn."""
    return sum(character.isdigit() for character in response.text) / max(1, len(response.text))
