"""Where prompts and examples come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from r1ray.config.difficulty import DifficultyConfig
from r1ray.config.environment import WORLD_NAME
from r1ray.config.reasoning_gym import ReasoningGymConfig
from r1ray.config.sources import check_sets, check_source
from r1ray.config.values import at_least, between, check_sampling, one_of, share

TEMPLATES = ("r1_zero", "chat", "none")
OF_THE_CALL = ("conversation", "messages", "tools", "documents", "chat_template", "tokenize", "add_generation_prompt")
"""Arguments of ``apply_chat_template`` that r1ray gives itself, or not at all."""
COLUMN_NAMES = ("prompt", "answer", "check", "tests", "id", "domain", "language", "environment")
"""r1ray's own names of columns."""
ON_BAD_ROW = ("refuse", "skip")


@dataclass
class PrepareConfig:
    """An optional first stage that makes the model and the prompts; without it you bring yours."""

    maker: str | None = None
    """Function that makes the model and the prompts, ``package.module:function``. It is called as ``function(out_dir,
    seed=..., log=..., **options)`` and writes ``out_dir/model``, ``out_dir/train.parquet`` and
    ``out_dir/heldout.parquet``. null: you bring ``model`` and ``data.train``."""
    options: dict[str, Any] = field(default_factory=dict)
    """Further keyword arguments of the maker."""


@dataclass
class DataConfig:
    """The prompts, and the form in which the model sees them."""

    train: Any = None
    """Training prompts: a file (Parquet, JSON lines, a JSON array, CSV; also as .gz, .zst), a folder of files, a glob
    (``rows/*.jsonl``), an address below s3:// or gs://, ``hf://ORG/NAME@REVISION:CONFIG/SPLIT``, or tasks of
    reasoning-gym, ``reasoning_gym:chain_sum+countdown``; or a list of these."""
    eval: Any = None
    """Held-out prompts, in the same form, or several sets by name, ``{aime: a.jsonl, math: b.parquet}``, whose metrics
    are told apart. null: no evaluation."""
    on_bad_row: str = "refuse"
    """Answer to rows that cannot be read, are malformed, or that the template takes no prompt from: ``refuse`` the
    source, or ``skip`` these rows. Both count them and name the first five."""
    columns: Any = None
    """Columns of files that are in no layout of r1ray's, ``{prompt: question, answer: label}``: for each name of
    r1ray's (prompt, answer, check, tests, id, domain, language, environment) the file's. null: as in the file. All
    columns of a row, whatever they are called, reach functions of the user's as ``prompt.columns``."""
    check: str | None = None
    """Function that makes the check of a row, ``package.module:function``: called as ``function(row)``, it returns a
    check (``{type: math, answer: "29"}``); rows for which it returns nothing are left out. Called as ``function(row,
    response)``, it is the check itself, and returns the score. null: the row says it."""
    environment: str | None = None
    """Environment of prompts whose row has no column ``environment``: the name of one that ships, of
    ``environment.worlds``, or of an installed package. null: none, and a response of one turn."""
    template: str = "r1_zero"
    """Text around a prompt: ``r1_zero`` (the paper's Table 1), ``chat`` (the tokenizer's own template) or ``none`` (the
    prompt as it is)."""
    system_prompt: str | None = None
    """System message before every prompt that has none of its own. Needs ``template: chat``. null: none."""
    suffix: str | None = None
    """Instruction that is added to every prompt, on a line of its own below the last user message. null: none."""
    template_arguments: Any = None
    """Variables of the tokenizer's chat template, ``{enable_thinking: false}``. Needs ``template: chat``. null:
    none."""
    max_prompt_tokens: int = 1024
    """Longest prompt. Longer training prompts are dropped and counted; longer held-out prompts are refused at the
    start. Unit: tokens."""
    languages: list[str] | None = None
    """Languages that the prompts may be in, ``[en, it]``: those of rows without a column ``language`` are told by their
    words. null: en, zh, ja, ko, de, fr, es, pt, fi, ru, ar, hi."""
    mixture: Any = None
    """Ratio of each domain among the training prompts, ``{math: 3, general: 1}``. Other domains are left out, and a
    domain that is too small for its ratio starts over earlier than the others. null: as in the file."""
    difficulty: DifficultyConfig = field(default_factory=DifficultyConfig)
    reasoning_gym: ReasoningGymConfig = field(default_factory=ReasoningGymConfig)

    def __post_init__(self) -> None:
        one_of("data.template", self.template, TEMPLATES)
        one_of("data.on_bad_row", self.on_bad_row, ON_BAD_ROW)
        at_least("data.max_prompt_tokens", self.max_prompt_tokens, 1)
        self.columns = _columns(self.columns)
        self.template_arguments = _template_arguments(self.template_arguments)
        for key in ("system_prompt", "template_arguments"):
            if getattr(self, key) is not None and self.template != "chat":
                raise ValueError(
                    f"data.{key}={getattr(self, key)}: data.template={self.template} has no place for it; needs "
                    "data.template=chat."
                )
        if self.train is not None:
            check_source("data.train", self.train)
        if self.eval is not None:
            check_sets("data.eval", self.eval)
        if self.environment is not None and not WORLD_NAME.fullmatch(self.environment):
            raise ValueError(f"data.environment={self.environment}: needs a name of letters, digits, _ and -.")
        if self.languages is not None and not self.languages:
            raise ValueError("data.languages=[]: needs codes such as [en, zh].")
        if self.mixture is not None:
            self.mixture = _mixture(self.mixture)


def _columns(value: Any) -> dict[str, str] | None:
    example = "needs an object such as {prompt: question, answer: label}"
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise ValueError(f"data.columns={value}: {example}.")
    for name, column in value.items():
        if name not in COLUMN_NAMES:
            raise ValueError(f"data.columns.{name}: no such name of r1ray's; needs some of {', '.join(COLUMN_NAMES)}.")
        if not isinstance(column, str) or not column:
            raise ValueError(f"data.columns.{name}={column}: needs the name of a column; {example}.")
    return dict(value)


def _template_arguments(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not value:
        raise ValueError(f"data.template_arguments={value}: needs an object such as {{enable_thinking: false}}.")
    for name in value:
        if name in OF_THE_CALL or not str(name).isidentifier():
            raise ValueError(f"data.template_arguments.{name}: is no variable of a chat template's; leave it out.")
    return {str(name): each for name, each in value.items()}


def _mixture(value: Any) -> dict[str, float]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"data.mixture={value}: needs an object such as {{math: 3, general: 1}}.")
    for domain, ratio in value.items():
        if isinstance(ratio, bool) or not isinstance(ratio, int | float) or ratio <= 0:
            raise ValueError(f"data.mixture.{domain}={ratio}: needs a number above 0.")
    return {str(domain): ratio for domain, ratio in value.items()}


@dataclass
class SupervisedConfig:
    """Training on given answers, of recipe=sft (imitation) and recipe=reward_model (preferences)."""

    train: Any = None
    """Dialogues (sft) or pairs of answers (reward_model), in the same forms as ``data.train``."""
    eval: Any = None
    """Held-out rows, in the same forms. null: no evaluation."""
    epochs: int = 2
    """Times that every row is trained on. The paper trains twice (section 2.3.3)."""
    sequences_per_step: int = 128
    """Rows (dialogues, or pairs) of one optimizer update."""
    max_tokens: int = 32768
    """Longest dialogue. Rows with a longer one are left out and counted. Unit: tokens."""
    eval_every: int = 50
    """Steps between two evaluations during training. 0: only before the first and after the last step. Unit: steps."""
    eval_rows: int = 512
    """Held-out rows of one evaluation."""
    samples: int = 0
    """Answers to each held-out prompt of ``data.eval`` that rollout engines give with the model before and after
    recipe=sft: pass@1, parts of the reward, and texts in ``rollouts/``. How many prompts, and how they are sampled, is
    as in the last evaluation of ``eval``. 0: none."""

    def __post_init__(self) -> None:
        for key in ("epochs", "sequences_per_step", "eval_rows"):
            at_least(f"supervised.{key}", getattr(self, key), 1)
        at_least("supervised.max_tokens", self.max_tokens, 2)
        at_least("supervised.eval_every", self.eval_every, 0)
        at_least("supervised.samples", self.samples, 0)
        for key in ("train", "eval"):
            if getattr(self, key) is not None:
                check_source(f"supervised.{key}", getattr(self, key))


@dataclass
class SourceConfig:
    """One source of rows of your own that are mixed into a collected data set."""

    path: str = ""
    """File of dialogues, in any layout that recipe=sft reads."""
    ratio: float = 0.25
    """Share of this source in the whole data set. Unit: share."""
    domain: str = "general"
    """Domain of its rows."""
    language: str = "en"
    """Language of its rows. The instructions for their chains of thought are Chinese for ``zh``, else English."""
    licence: str = "unknown"
    """Licence of its rows, noted in the data set."""
    reasoning: float = 0.0
    """Share of its rows, trivial ones left out, that get a chain of thought before their answer. The model that is
    asked is prompted for it, and the row is written in ``collect.pattern`` (paper section 2.3.3); all other rows of the
    source are then written with an empty one. 0: rows are taken as they are. Unit: share."""
    trivial_words: int = 0
    """Longest request that counts as trivial, and so gets no chain of thought. A Chinese character counts as a word. 0:
    the length decides nothing. Unit: words."""
    trivial_patterns: list[str] | None = None
    """Regular expressions of requests that are trivial too, matched from end to end without case and surrounding
    punctuation. null: greetings, thanks and farewells in English and Chinese (``r1ray.curation.trivial``)."""
    trivial_column: str | None = None
    """Column of the file that is true in rows whose request is trivial. null: no such column."""

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
    """Ways in which the model is asked: ``plain``, ``few_shot``, ``direct``, ``rewrite``. ``plain``: the prompt as in
    training (rejection sampling). ``few_shot``: after some of ``examples``. ``direct``: with the request to reflect and
    verify. ``rewrite``: with the request to make one of ``responses`` readable."""
    examples: str | None = None
    """JSON lines with prompt, reasoning and summary, for ``few_shot``."""
    num_examples: int = 2
    """Examples that are shown before a prompt: the first of ``examples``."""
    responses: str | None = None
    """Folder of another recipe=collect, of R1-Zero, whose right responses are rewritten (``rewrite``)."""
    samples: int = 16
    """Number of samples of each prompt in each way."""
    keep: int = 4
    """Largest number of samples that are kept of a prompt: the shortest."""
    min_value: float = 1.0
    """Least accuracy of a sample that is kept, in environments without a part of that name the least reward. Prompts
    without a reference are judged by the filters alone."""
    temperature: float = 0.6
    """Sampling temperature."""
    top_p: float = 0.95
    """Probability mass that is sampled from (nucleus sampling)."""
    max_tokens: int = 32768
    """Longest response; longer ones are cut. Unit: tokens."""
    pattern: str = "cold_start"
    """Pattern in which an example is written: ``cold_start`` (|special_token|reasoning|special_token|summary) or the
    ``tags`` of R1-Zero."""
    filters: list[str] | None = None
    """Names of the filters that a sample has to pass: see ``r1ray.curation.filters``. null: those of rejection sampling
    if ``plain`` is the only way, else those of the cold start."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the filters: ``min_language_share``, ``max_paragraph_words``, ..."""
    similarity: float = 0.8
    """Similarity (Jaccard, word 5-grams) from which on a response is left out because one like it was kept before. 1:
    only equal ones are left out. Unit: share."""
    decontaminate: list[str] = field(default_factory=list)
    """Prompt files whose questions must not be in the data: those that are evaluated on."""
    sources: dict[str, Any] = field(default_factory=dict)
    """Rows of your own that are mixed in, by a name for each source: ``collect.sources.NAME={path: FILE}``."""
    licence: str = "unknown"
    """Licence of the prompts, noted in the data set."""
    judge_agreement: int = 128
    """Samples of prompts with a rule that the judge grades too, if there is one: how often the two agree is a metric of
    the data set."""

    def __post_init__(self) -> None:
        at_least("collect.judge_agreement", self.judge_agreement, 0)
        if not self.ways:
            raise ValueError(f"collect.ways=[]: needs some of {', '.join(WAYS)}.")
        for way in self.ways:
            one_of("collect.ways", way, WAYS)
        for way, key in (("few_shot", "examples"), ("rewrite", "responses")):
            if way in self.ways and getattr(self, key) is None:
                raise ValueError(f"collect.{key} is not set: collect.ways=[{way}] needs collect.{key}=PATH.")
        one_of("collect.pattern", self.pattern, PATTERNS)
        for key in ("num_examples", "samples", "keep", "max_tokens"):
            at_least(f"collect.{key}", getattr(self, key), 1)
        check_sampling("collect.", self.temperature, self.top_p)
        share("collect.similarity", self.similarity)
        between("collect.min_value", self.min_value, 0, 1)
        for name, source in self.sources.items():
            if not isinstance(source, SourceConfig):
                try:
                    self.sources[name] = SourceConfig(**source)
                except (TypeError, ValueError) as error:
                    raise ValueError(f"collect.sources.{name}: {error}") from error
        if sum(source.ratio for source in self.sources.values()) >= 1:
            raise ValueError("collect.sources: their ratios need to add up to less than 1.")
