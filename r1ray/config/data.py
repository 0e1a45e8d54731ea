"""Where prompts and examples come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from r1ray.config.values import at_least, check_sampling, one_of

TEMPLATES = ("r1_zero", "chat", "none")


@dataclass
class PrepareConfig:
    """An optional first stage that makes the model and the prompts instead of taking the user's."""

    maker: str | None = None
    """``package.module:function``, called as ``function(out_dir, seed=..., log=..., **options)``. It writes
    ``out_dir/model``, ``out_dir/train.parquet`` and ``out_dir/heldout.parquet``."""
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class DataConfig:
    """Where prompts come from and how they are shown to the model."""

    train: str | None = None
    """Parquet or JSON lines; a local path, or s3:// or gs://."""
    eval: str | None = None
    """Held-out prompts in the same form; None turns evaluation off."""
    template: str = "r1_zero"
    """``r1_zero`` (the paper's Table 1), ``chat`` (the tokenizer's own), or ``none`` (the prompt as it stands)."""
    max_prompt_tokens: int = 1024
    mixture: Any = None
    """Ratio of each domain among the training prompts, ``{math: 3, general: 1}``; other domains are left out. A domain
    too small for its ratio starts over earlier than the others. None: as the file has them."""

    def __post_init__(self) -> None:
        one_of("data.template", self.template, TEMPLATES)
        at_least("data.max_prompt_tokens", self.max_prompt_tokens, 1)
        if self.mixture is not None:
            self.mixture = _mixture(self.mixture)


def _mixture(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"data.mixture={value}: needs an object such as {{math: 3, general: 1}}.")
    for domain, ratio in value.items():
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or ratio <= 0:
            raise ValueError(f"data.mixture.{domain}={ratio}: needs a number above 0.")
    return {str(domain): ratio for domain, ratio in value.items()}


@dataclass
class SupervisedConfig:
    """Training on given answers: of recipe=sft (imitation) and recipe=reward_model (preferences)."""

    train: str | None = None
    """Dialogues, or pairs of answers; Parquet or JSON lines; a local path, or s3:// or gs://."""
    eval: str | None = None
    """Held-out rows in the same form; None turns evaluation off."""
    epochs: int = 2
    """Times that every row is trained on; the paper's two (2.3.3)."""
    sequences_per_step: int = 128
    """Rows (dialogues, or pairs) of one optimizer update."""
    max_tokens: int = 32768
    """Rows with a longer dialogue are left out, and counted."""
    eval_every: int = 50
    """Steps between two evaluations during training; 0 leaves only the first and the last."""
    eval_rows: int = 512
    """Held-out rows of an evaluation."""

    def __post_init__(self) -> None:
        for key in ("epochs", "sequences_per_step", "eval_rows"):
            at_least(f"supervised.{key}", getattr(self, key), 1)
        at_least("supervised.max_tokens", self.max_tokens, 2)
        at_least("supervised.eval_every", self.eval_every, 0)


@dataclass
class SourceConfig:
    """Rows of the user's that are mixed into a collected data set: dialogues in any layout of recipe=sft."""

    path: str = ""
    ratio: float = 0.25
    """Their share of the whole."""
    domain: str = "general"
    language: str = "en"
    licence: str = "unknown"
    reasoning: float = 0.0
    """Share of its rows, trivial ones left out, that get a chain of thought before their answer: the model that is
    asked is prompted for it, and the row is written in ``collect.pattern`` (paper section 2.3.3). All other rows of the
    source are then written with an empty one. 0: rows are taken as they are."""
    trivial_words: int = 0
    """Requests of at most so many words (a Chinese character is one) are trivial: they get no chain of thought."""
    trivial_patterns: list[str] | None = None
    """So are requests that match one of these regular expressions from end to end, punctuation around it and case
    aside. None: greetings, thanks and farewells in English and Chinese (:mod:`r1ray.curation.trivial`)."""
    trivial_column: str | None = None
    """So are rows in which this column of the file is true."""

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("path is not set: needs a file of dialogues.")
        if not 0 < self.ratio < 1:
            raise ValueError(f"ratio={self.ratio}: needs to be above 0 and below 1.")
        if not 0 <= self.reasoning <= 1:
            raise ValueError(f"reasoning={self.reasoning}: needs to be at least 0 and at most 1.")
        if self.trivial_words < 0:
            raise ValueError(f"trivial_words={self.trivial_words}: needs at least 0.")
        for pattern in self.trivial_patterns or ():
            try:
                re.compile(pattern)
            except (re.error, TypeError) as error:
                raise ValueError(f"trivial_patterns: {pattern!r} is no regular expression: {error}.") from error


WAYS = ("plain", "few_shot", "direct", "rewrite")
PATTERNS = ("cold_start", "tags")


@dataclass
class CollectConfig:
    """Examples to learn from, sampled from a model (recipe=collect; paper sections 2.3.1 and 2.3.3)."""

    ways: list[str] = field(default_factory=lambda: ["plain"])
    """How the model is asked. ``plain``: the prompt as in training (rejection sampling). ``few_shot``: after some of
    ``examples``. ``direct``: asked to reflect and verify. ``rewrite``: the responses in ``responses`` are to be
    made readable."""
    examples: str | None = None
    """JSON lines with prompt, reasoning and summary; for ``few_shot``."""
    num_examples: int = 2
    responses: str | None = None
    """For ``rewrite``: the folder of another recipe=collect, of R1-Zero, whose right responses are rewritten."""
    samples: int = 16
    """Of each prompt, and each way."""
    keep: int = 4
    """Most that are kept of a prompt: the shortest."""
    min_value: float = 1.0
    """What is kept has at least this accuracy; prompts without a reference are kept by the filters alone."""
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 32768
    pattern: str = "cold_start"
    """How an example is written: ``cold_start`` (|special_token|reasoning|special_token|summary), or the ``tags`` of
    R1-Zero."""
    filters: list[str] | None = None
    """By name, see :mod:`r1ray.curation.filters`; None: those of rejection sampling where the only way is ``plain``,
    else those of the cold start."""
    options: dict[str, Any] = field(default_factory=dict)
    """Of the filters: ``min_language_share``, ``max_paragraph_words``, ..."""
    similarity: float = 0.8
    """Responses that are at least so similar (Jaccard, word 5-grams) to one kept before are left out; 1: only equal
    ones."""
    decontaminate: list[str] = field(default_factory=list)
    """Prompt files whose questions must not be in the data: those that are evaluated on."""
    sources: dict[str, Any] = field(default_factory=dict)
    """Rows of the user's that are mixed in, by name: see :class:`SourceConfig`."""
    licence: str = "unknown"
    """Of the prompts."""
    judge_agreement: int = 128
    """Samples of prompts with a rule that the judge grades too, where there is one: how often the two agree is a metric
    of the data set."""

    def __post_init__(self) -> None:
        at_least("collect.judge_agreement", self.judge_agreement, 0)
        for way in self.ways:
            one_of("collect.ways", way, WAYS)
        for way, key in (("few_shot", "examples"), ("rewrite", "responses")):
            if way in self.ways and getattr(self, key) is None:
                raise ValueError(f"collect.{key} is not set: collect.ways=[{way}] needs collect.{key}=PATH.")
        one_of("collect.pattern", self.pattern, PATTERNS)
        for key in ("num_examples", "samples", "keep", "max_tokens"):
            at_least(f"collect.{key}", getattr(self, key), 1)
        check_sampling("collect.", self.temperature, self.top_p)
        if not 0 < self.similarity <= 1:
            raise ValueError(f"collect.similarity={self.similarity}: needs to be above 0 and at most 1.")
        for name, source in self.sources.items():
            if not isinstance(source, SourceConfig):
                try:
                    self.sources[name] = SourceConfig(**source)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"collect.sources.{name}: {error}") from error
        if sum(source.ratio for source in self.sources.values()) >= 1:
            raise ValueError("collect.sources: their ratios need to add up to less than 1.")
