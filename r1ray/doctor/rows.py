"""The first rows of a data set, through layout, template and check."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from r1ray.checks import CodeTests, MathAnswer
from r1ray.config import RewardConfig, RewardPart, RunConfig, SandboxConfig
from r1ray.conversation import ConversationEncoder, ConversationSettings
from r1ray.data import dialogues
from r1ray.data.bad_rows import MAX_SHOWN, BadRows
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.layouts import RawPrompt, unknown_columns
from r1ray.data.own_columns import carried
from r1ray.data.prompts import untemplated
from r1ray.data.sft_examples import PreferencePair, SFTExample
from r1ray.data.spool import read_rows
from r1ray.data.template import Form, Renderer
from r1ray.doctor.findings import DRIVER, Finding
from r1ray.doctor.judging import green, red, yellow
from r1ray.doctor.worlds import check_worlds
from r1ray.errors import R1RayError, UserError
from r1ray.reward.check_problems import problem_finder
from r1ray.stages.first_examples import MARKED, example_lines
from r1ray.stages.first_rows import NUM_SHOWN, first_rows, not_called
from r1ray.stages.own_functions import own_columns_of
from r1ray.stages.worlds import RunWorlds
from r1ray.types import BoolArray, Int32Array, Response, Scored

LAYOUT = "the columns of a layout of r1ray/data/README.md"
FIRST = 64
"""Rows that are looked at; the run looks at all of them."""
NUM_ANSWERS = 8
"""Known answers that are scored."""
SHOWN = 400
"""Characters of the rendered prompt that are shown."""


@dataclass(slots=True)
class RowsCheck:
    """What the first rows of a file are."""

    findings: list[Finding]
    programs: set[str] = field(default_factory=set)
    """Languages in which programs are asked for."""


@dataclass(slots=True)
class _Read:
    """The first rows of a file, sorted."""

    layout: str
    unusable_means: str = "without a usable reference"
    is_skipped: bool = False
    """Malformed rows are left out (``data.on_bad_row``)."""
    good: list[Any] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    @property
    def num_rows(self) -> int:
        return len(self.good) + len(self.malformed) + len(self.unusable)

    def finding(self, name: str) -> Finding:
        found = f"{name}: layout {self.layout}; of the first {self.num_rows} rows {len(self.good)} usable"
        found += f", {len(self.malformed)} malformed" if self.malformed else ""
        found += f", {len(self.unusable)} {self.unusable_means}" if self.unusable else ""
        needed = "rows of one layout, none malformed"
        shown = "; ".join((self.malformed or self.unusable)[:MAX_SHOWN])
        if self.malformed and not self.is_skipped:
            advice = "mend these rows: a run refuses them; or leave them out: data.on_bad_row=skip."
            return red("rows", DRIVER, f"{found}: {shown}", needed, advice)
        if not self.good:
            return red("rows", DRIVER, f"{found}: {shown}", needed, "give rows that can be judged, or learned from.")
        if self.malformed or self.unusable:
            return yellow("rows", DRIVER, f"{found}: {shown}", needed, "they are left out; look at them.")
        return green("rows", DRIVER, found, needed)


def check_prompts(config: RunConfig, key: str, path: str, tokenizer: Any) -> RowsCheck:
    """A file of prompts.

    Args:
        tokenizer: of the model that is asked; None: it is not there, and nothing is rendered.
    """
    name, form = f"{key}={path}", Form.of(config.data)
    try:
        bad = BadRows(name, on_bad_row=config.data.on_bad_row)
        first, rows = _first_rows(path, key, bad)
        layout = own_columns_of(config.data).layout_of(frozenset(first), key=key, named=name)
        if layout is None:
            found = f"{name}: {unknown_columns(first)}"
            return RowsCheck([red("rows", DRIVER, found, LAYOUT, "set data.columns, or rename columns.")])
        read = _Read(layout.name, is_skipped=config.data.on_bad_row == "skip")
        problem, worlds = problem_finder(config.reward), RunWorlds(config.environment, config.sandbox, form)
        for number, row, file in rows:
            try:
                raw = layout.read(row, number - 1)
            except MalformedRow as error:
                read.malformed.append(f"row {number}: {error}")
                continue
            except UnusableRow as error:
                read.unusable.append(f"row {number} ({error})")
                continue
            raw = replace(raw, columns=carried(row, file=file if raw.environment else None)[0])
            reason = problem(raw.check, raw.language) or (worlds.problem(raw) if raw.environment else None)
            if reason is None:
                read.good.append(raw)
            else:
                read.unusable.append(f"{raw.id} ({reason})")
    except UserError as error:
        return RowsCheck([red("rows", DRIVER, str(error), "a file of prompts that can be read", "see left.")])
    read.malformed = [*bad.first, *read.malformed]
    findings = [read.finding(name)]
    if read.good and tokenizer is not None:
        findings.append(_rendered(config, key, read.good, tokenizer))
        findings += _examples(config, name, read.good[:NUM_SHOWN], tokenizer)
    if read.good:
        findings += _answered(config, name, read.good)
        findings += check_worlds(config, name, worlds, [(raw, untemplated(raw, form)) for raw in read.good], tokenizer)
    programs = {raw.check.language for raw in read.good if isinstance(raw.check, CodeTests)}
    return RowsCheck(findings, programs)


def _first_rows(
    path: str, key: str, bad: BadRows
) -> tuple[Mapping[str, Any], Iterator[tuple[int, Mapping[str, Any], str]]]:
    """The first row, and the first ``FIRST`` rows with their numbers and files; ``bad`` is told of rows that cannot be
    read. Raises UserError."""
    rows = itertools.islice(((row.index + 1, row.values, row.file) for row in read_rows(path, key=key, bad=bad)), FIRST)
    first = next(rows, None)
    if first is None:
        raise UserError(f"{key}={path}: {bad.first[0] if bad.first else 'the file has no rows'}.")
    return first[1], itertools.chain([first], rows)


def _rendered(config: RunConfig, key: str, prompts: Sequence[RawPrompt], tokenizer: Any) -> Finding:
    """One prompt as the model gets it, and whether all fit."""
    needed = f"{key} rendered by data.template={config.data.template}, at most {config.data.max_prompt_tokens} tokens"
    try:
        render = Renderer(tokenizer, Form.of(config.data))
        texts = [render(raw.question) for raw in prompts]
    except Exception as error:  # a chat template is a program of the model's maker
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        return red("prompt", DRIVER, found, needed, "another data.template, or prompts that this one takes.")
    has_own = config.data.template == "chat"
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=not has_own)["input_ids"]]
    long = sum(length > config.data.max_prompt_tokens for length in lengths)
    shown = texts[0] if len(texts[0]) <= SHOWN else f"{texts[0][:SHOWN]}..."
    found = f"{shown!r}; {_span(lengths)} tokens" + (f", {long} of {len(texts)} too long" if long else "")
    back = tokenizer.decode(tokenizer(texts[0], add_special_tokens=False)["input_ids"])
    is_kept = "".join(back.split()) == "".join(texts[0].split())
    if long == len(texts):
        return red("prompt", DRIVER, found, needed, "raise data.max_prompt_tokens.")
    if not is_kept:
        found = f"{found}; the model reads {back[:SHOWN]!r}"
        advice = "look for unknown characters: is the tokenizer made for such text?"
        return yellow("prompt", DRIVER, found, f"{needed}, and nothing of it lost", advice)
    if long:
        advice = "raise data.max_prompt_tokens: too long ones are dropped, and held-out ones refused."
        return yellow("prompt", DRIVER, found, needed, advice)
    return green("prompt", DRIVER, found, needed)


def _examples(config: RunConfig, name: str, prompts: Sequence[RawPrompt], tokenizer: Any) -> list[Finding]:
    """The first prompts as the model reads them, and what a right and a wrong answer are paid."""
    needed = f"that a right answer to a prompt of {name} is paid more than a wrong one"
    try:
        render = Renderer(tokenizer, Form.of(config.data))
        rendered = [replace(untemplated(raw, None), text=render(raw.question)) for raw in prompts]
        shown = first_rows(config, rendered, max_tokens=config.algo.max_completion_tokens)
    except R1RayError as error:  # a template that takes no such prompt has a finding of its own
        return [yellow("example", DRIVER, str(error), needed, "see left.")]
    found = "\n".join(line for each in shown for line in each.lines())
    left = not_called(config)
    found += f"\nwithout {', '.join(left)}, which only a run asks" if left else ""
    if not left and any(each.is_odd for each in shown):
        return [yellow("example", DRIVER, found, needed, "look at these references, and at the parts of the reward.")]
    return [green("example", DRIVER, found, needed)]


def _span(lengths: Sequence[int]) -> str:
    low, high = min(lengths), max(lengths)
    return f"{low}" if low == high else f"{low} to {high}"


def _answered(config: RunConfig, name: str, prompts: Sequence[RawPrompt]) -> list[Finding]:
    """Whether reference answers of mathematics, given as the model would give them, count as right."""
    part = config.reward.parts.get("accuracy")
    known = [raw for raw in prompts if isinstance(raw.check, MathAnswer)][:NUM_ANSWERS]
    if part is None or part.function is not None or not known:
        return []
    needed = f"accuracy 1 for each reference answer of {name}"
    try:
        wrong = asyncio.run(_wrong(config.reward, known))
    except R1RayError as error:
        return [red("answer", DRIVER, str(error), needed, "see left.")]
    if not wrong:
        example = known[0].check
        assert isinstance(example, MathAnswer)
        found = f"{len(known)} of {len(known)} right, the first is {example.answer!r}"
        return [green("answer", DRIVER, found, needed)]
    found = f"{len(wrong)} of {len(known)} are not: {'; '.join(wrong[:MAX_SHOWN])}"
    advice = "look at these references: no answer of the model could be right."
    return [(red if len(wrong) == len(known) else yellow)("answer", DRIVER, found, needed, advice)]


async def _wrong(config: RewardConfig, prompts: Sequence[RawPrompt]) -> list[str]:
    from r1ray.reward.scorer import RewardScorer

    scorer = RewardScorer(RewardConfig(parts={"accuracy": RewardPart()}, verifier=config.verifier), SandboxConfig())
    wrong = []
    try:
        for raw in prompts:
            assert isinstance(raw.check, MathAnswer)
            response = Response(f"<think></think><answer>{raw.check.answer}</answer>", finished=True)
            outcome, _ = await scorer.outcome(untemplated(raw, None), response)
            if not isinstance(outcome, Scored) or outcome.parts["accuracy"] < 1.0:
                wrong.append(f"{raw.id} ({raw.check.answer!r})")
    finally:
        scorer.close()
    return wrong


def check_dialogues(
    config: RunConfig, key: str, path: str, tokenizer: Any, *, layouts: Sequence[dialogues.Layout]
) -> RowsCheck:
    """A file of given answers: dialogues, or pairs."""
    name = f"{key}={path}"
    try:
        bad = BadRows(name, on_bad_row=config.data.on_bad_row)
        first, rows = _first_rows(path, key, bad)
        layout = dialogues.recognise(frozenset(first), layouts)
        if layout is None:
            found = f"{name}: {dialogues.unknown_columns(frozenset(first), layouts)}"
            return RowsCheck([red("rows", DRIVER, found, LAYOUT, "rename columns.")])
        read = _Read(layout.name, "with nothing to learn from", config.data.on_bad_row == "skip")
        encoder = None
        if tokenizer is not None:
            form = Form.of(config.data)
            conversation = ConversationSettings.of(config.environment, form, model=str(config.model))
            encoder = ConversationEncoder(tokenizer, form=form, settings=conversation)
        for number, row in dialogues.joined(((number, row) for number, row, _ in rows), layout):
            try:
                examples = layout.read(row, number)
                read.good.append([(raw, [encoder.pieces(d) for d in raw.dialogues]) for raw in examples if encoder])
            except MalformedRow as error:
                read.malformed.append(f"row {number}: {error}")
            except UnusableRow as error:
                read.unusable.append(f"row {number}: {error}")
    except UserError as error:
        return RowsCheck([red("rows", DRIVER, str(error), "a file of dialogues that can be read", "see left.")])
    read.malformed = [*bad.first, *read.malformed]
    findings = [read.finding(name)]
    if read.good and encoder is not None:
        limit = config.supervised.max_tokens
        encoded = [[_example(raw, encoder.encode(pieces)) for raw, pieces in row] for row in read.good]
        lengths = [max(map(_longest, row)) for row in encoded]
        long = sum(length > limit for length in lengths)
        (_, (pieces, *_)), *_ = read.good[0]
        text = "".join(piece.text if not piece.is_answer else f"[[{piece.text}]]" for piece in pieces)
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
        found = f"{shown!r}; {_span(lengths)} tokens"
        needed = f"{key} rendered by data.template={config.data.template} ([[in the loss]]), at most {limit} tokens"
        if long:
            advice = "raise supervised.max_tokens: longer rows are left out."
            is_all = long == len(lengths)
            findings.append((red if is_all else yellow)("prompt", DRIVER, f"{found}, {long} too long", needed, advice))
        else:
            findings.append(green("prompt", DRIVER, found, needed))
        firsts = [example for row in encoded for example in row][:NUM_SHOWN]
        lines = [line for example in firsts for line in example_lines(example, tokenizer)]
        read_as = f"the first rows of {name} as the learner reads them, with {MARKED}"
        findings.append(green("example", DRIVER, "\n".join(lines), read_as))
    return RowsCheck(findings)


def _example(raw: dialogues.RawExample, encoded: Sequence[tuple[Int32Array, BoolArray]]) -> SFTExample | PreferencePair:
    """Return a row as the learner is given it."""
    first, *second = [SFTExample(raw.id, ids, mask) for ids, mask in encoded]
    return PreferencePair(first, second[0], raw.margin) if second else first


def _longest(example: SFTExample | PreferencePair) -> int:
    both = [example.chosen, example.rejected] if isinstance(example, PreferencePair) else [example]
    return max(each.num_tokens for each in both)
