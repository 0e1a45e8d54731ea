"""Base models of the examples: a word-level tokenizer, a small Qwen3, and pretraining in plain PyTorch with Muon for
the matrices and AdamW for the rest."""

from __future__ import annotations

import math
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from r1ray.runtime.advance import counted

SPECIAL = ("<pad>", "<bos>", "<eos>")
IGNORED = -100
WARMUP, FLOOR = 50, 0.05
POOL = 64
"""Batches whose documents are sorted by length together, so that rows of a batch have similar lengths."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text of a corpus; the prompt's tokens have no loss."""

    prompt: str
    completion: str


Corpus = Callable[[random.Random], Document]
"""A function that draws a document."""


def word_tokenizer(words: Sequence[str]) -> Any:
    """Return a transformers tokenizer of whole words, which matches the longest first, with three special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    table = {word: index for index, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(models.WordLevel(table, unk_token="<pad>"))
    longest_first = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(longest_first), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: Any, *, seed: int, num_heads: int = 3, spare_rows: int = 0) -> Any:
    """Return an untrained Qwen3, of 0.36 million parameters with 262 words; the embedding has a multiple of 32 rows.

    (Not Qwen2: transformers 5 gives that model type its own tokenizer class, whatever the model folder says.)

    Args:
        num_heads: number of heads, each of width 32.
        spare_rows: least number of unused rows of the embedding.
    """
    from transformers import Qwen3Config, Qwen3ForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # not needed for a model of a megabyte
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=-(-(len(tokenizer) + spare_rows) // 32) * 32,
            hidden_size=32 * num_heads,
            intermediate_size=-(-4 * num_heads // 3) * 64,
            num_hidden_layers=3,
            num_attention_heads=num_heads,
            num_key_value_heads=num_heads,
            head_dim=32,
            max_position_embeddings=256,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _batches(
    tokenizer: Any, corpus: Corpus, rng: random.Random, *, tokens: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (input_ids, labels) without end, each [B, T] int64 with B * T about ``tokens``; prompts and padding are
    ignored."""
    while True:
        documents = [corpus(rng) for _ in range(POOL * tokens // 24)]
        encoded = tokenizer([d.prompt for d in documents], add_special_tokens=False)["input_ids"]
        completions = tokenizer([d.completion for d in documents], add_special_tokens=False)["input_ids"]
        rows = [(p, [*c, tokenizer.eos_token_id]) for p, c in zip(encoded, completions, strict=True)]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        batches: list[list[tuple[list[int], list[int]]]] = [[]]
        for row in rows:
            if batches[-1] and (len(batches[-1]) + 1) * (len(row[0]) + len(row[1])) > tokens:
                batches.append([])
            batches[-1].append(row)
        rng.shuffle(batches)
        for batch in batches:
            width = max(len(p) + len(c) for p, c in batch)
            ids = torch.full((len(batch), width), tokenizer.pad_token_id)
            labels = torch.full((len(batch), width), IGNORED)
            for index, (p, c) in enumerate(batch):
                ids[index, : len(p) + len(c)] = torch.tensor(p + c)
                labels[index, len(p) : len(p) + len(c)] = torch.tensor(c)
            yield ids, labels


def pretrain(
    model: Any,
    tokenizer: Any,
    corpus: Corpus,
    *,
    seed: int,
    steps: int,
    tokens_per_step: int,
    log: Callable[[str], None],
) -> None:
    """Train ``model`` in place on fresh documents."""
    hidden = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = (
        torch.optim.Muon(hidden, lr=0.02, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01),
    )
    peaks = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    batches = _batches(tokenizer, corpus, random.Random(seed), tokens=tokens_per_step)
    model.train()
    start, every, losses = time.monotonic(), steps // 6 or 1, list[float]()
    for step in counted("pretraining the base model", range(1, steps + 1)):
        cosine = 0.5 * (1 + math.cos(math.pi * step / steps))
        scale = min(1.0, step / WARMUP) * (FLOOR + (1 - FLOOR) * cosine)
        for optimizer, peak in zip(optimizers, peaks, strict=True):
            optimizer.param_groups[0]["lr"] = peak * scale
        ids, labels = next(batches)
        hidden_states = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        targets = labels[:, 1:]
        logits = model.lm_head(hidden_states[targets != IGNORED])
        loss = torch.nn.functional.cross_entropy(logits, targets[targets != IGNORED])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.item())
        if step % every == 0:
            elapsed = time.monotonic() - start
            left, mean = elapsed / step * (steps - step), sum(losses) / len(losses)
            log(
                f"  pretraining step {step}/{steps}  loss {mean:.3f} (mean of {len(losses)} steps)  {elapsed:.0f} s, "
                f"{left:.0f} s left"
            )
            losses.clear()
    model.eval()
