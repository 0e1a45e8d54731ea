"""Rows of the user's in a collected data set, and the chains of thought that a model is prompted for before their
answers (paper section 2.3.3, non-reasoning data).

    collect.sources --rows--> trivial? has one? drawn? --requests--> thoughts --readable?--> rows in the pattern

Trivial requests ("hello") are written with an empty chain of thought, as are those of which only a share gets one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from r1ray.checks import FormatOnly
from r1ray.config import CollectConfig, SourceConfig
from r1ray.curation.card import Thinking
from r1ray.curation.filters import Example, Filter, FilterOptions, apply_filters
from r1ray.curation.rows import DatasetRow
from r1ray.curation.trivial import is_trivial
from r1ray.curation.writing import asked_to_think, keeps_apart, thoughts, written
from r1ray.data.checks import MalformedRow, UnusableRow
from r1ray.data.dialogues import recognise
from r1ray.data.messages import flat
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.data.spool import rows_of
from r1ray.data.template import Message, Question, messages_in
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.types import Prompt

PROMPTED, OWN, TRIVIAL, NOT_DRAWN = "prompted", "own", "trivial", "not_drawn"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A row of the user's."""

    row: DatasetRow
    status: str
    """Where the source asks for chains of thought: whether this row gets one, has its ``OWN``, or why it has none."""


@dataclass(frozen=True, slots=True)
class _Request:
    source: str
    row: int
    prompt: Prompt


class Sources:
    """The rows of all sources, and what a model is to be asked for them."""

    def __init__(
        self,
        settings: CollectConfig,
        *,
        seed: int,
        stage: str,
        render: Callable[[Question], str],
        tokenizer: Any,
        context: int | None,
        filters: Sequence[Filter],
        options: FilterOptions,
    ) -> None:
        """
        Args:
            seed: decides, with the names of rows, which are drawn.
            stage: that the rows are said to be of.
            render: a question as the model is given it.
            context: tokens that the model can read at a time; None where it does not say.
            filters: that a chain of thought has to pass, as sampled responses do.

        Raises:
            UserError: a file that is not there, is of no known layout, or lacks a column.
        """
        self._settings, self._filters, self._options = settings, filters, options
        self._rows = {
            name: list(_rows(name, source, seed=seed, stage=stage)) for name, source in settings.sources.items()
        }
        # The user's rows may be long: half of the context, at least, is theirs, and what needs more is left out.
        self.max_new_tokens = settings.max_tokens if context is None else min(context // 2, settings.max_tokens)
        self._requests: list[_Request] = []
        self._too_long: Counter[str] = Counter()
        self.max_model_len = 0
        """Tokens of the longest request and its thoughts; 0 where nothing is asked."""
        asked = list(self._asked(render))
        lengths = tokenizer([request.prompt.text for request in asked])["input_ids"] if asked else []
        for request, ids in zip(asked, lengths, strict=True):
            needed = len(ids) + self.max_new_tokens
            if context is not None and needed > context:
                self._too_long[request.source] += 1
            else:
                self._requests.append(request)
                self.max_model_len = max(self.max_model_len, needed)

    @property
    def prompts(self) -> dict[int, Prompt]:
        """What the model is asked, by number."""
        return {number: request.prompt for number, request in enumerate(self._requests)}

    def _asked(self, render: Callable[[Question], str]) -> Iterator[_Request]:
        for name, rows in self._rows.items():
            language = self._settings.sources[name].language
            for index, each in enumerate(rows):
                if each.status == PROMPTED:
                    *before, answer = each.row.messages
                    text = render(asked_to_think(request_of(before), answer["content"], language=language))
                    prompt = Prompt(
                        id=f"{each.row.id}/{index}",
                        text=text,
                        check=FormatOnly(),
                        domain=each.row.domain,
                        language=language,
                    )
                    yield _Request(name, index, prompt)

    def written(self, answered: Mapping[int, Answered]) -> tuple[dict[str, list[DatasetRow]], dict[str, Thinking]]:
        """The rows of every source, and what became of those of sources that ask for chains of thought.

        Args:
            answered: what was thought, by the number of the prompt.
        """
        found: dict[str, dict[int, Sample]] = {}
        for number, question in answered.items():
            request = self._requests[number]
            found.setdefault(request.source, {})[request.row] = question.samples[0]
        rows, thinking = {}, {}
        for name, each in self._rows.items():
            if self._settings.sources[name].reasoning:
                rows[name], thinking[name] = self._in_pattern(name, found.get(name, {}))
            else:
                rows[name] = [row.row for row in each]
        return rows, thinking

    def _in_pattern(self, name: str, found: Mapping[int, Sample]) -> tuple[list[DatasetRow], Thinking]:
        statuses: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        if self._too_long[name]:
            left_out["too_long_to_ask"] = self._too_long[name]
        made = []
        for index, each in enumerate(self._rows[name]):
            statuses[each.status] += 1
            if each.status == OWN:
                made.append(each.row)
                continue
            reasoning = ""
            if each.status == PROMPTED:
                if index not in found:  # too long
                    continue
                reasoning, fault = self._thoughts(each.row, found[index])
                if fault is not None:
                    left_out[fault] += 1
                    continue
            made.append(_with_reasoning(each.row, reasoning, pattern=self._settings.pattern))
        return made, Thinking(
            num_rows=len(self._rows[name]),
            num_prompted=statuses[PROMPTED] - sum(left_out.values()),
            num_own=statuses[OWN],
            num_trivial=statuses[TRIVIAL],
            num_not_drawn=statuses[NOT_DRAWN],
            left_out=left_out,
        )

    def _thoughts(self, row: DatasetRow, sample: Sample) -> tuple[str, str | None]:
        """What was thought before an answer, and why it is not fit to learn from; None where it is."""
        reasoning = thoughts(sample.text)
        if reasoning is None:
            return "", "no_thoughts"
        *before, answer = row.messages
        example = Example(
            prompt=request_of(before),
            reasoning=reasoning,
            summary=answer["content"],
            language=row.language,
            response=sample.text,
            is_cut=sample.is_truncated,
            num_tokens=sample.num_tokens,
        )
        rejection = apply_filters(example, self._filters, self._options)
        if rejection is not None:
            return reasoning, rejection.filter
        is_whole = keeps_apart(reasoning, answer["content"], pattern=self._settings.pattern)
        return reasoning, None if is_whole else "broken_pattern"


def _rows(name: str, source: SourceConfig, *, seed: int, stage: str) -> Iterator[SourceRow]:
    layout, column = None, source.trivial_column
    for number, row in rows_of(source.path, key=f"collect.sources.{name}.path"):
        layout = layout or recognise(frozenset(row), EXAMPLES)
        if layout is None:
            known = "; ".join(each.name for each in EXAMPLES)
            raise UserError(f"collect.sources.{name}.path={source.path}: needs the columns of one of: {known}.")
        if column is not None and column not in row:
            raise UserError(
                f"collect.sources.{name}.trivial_column={column}: row {number} of {source.path} has no such column."
            )
        try:
            (raw,) = layout.read(row, number)
            (dialogue,) = raw.dialogues
            if dialogue.tools:  # a row of the data set has no place for them
                continue
            messages, replies = list(map(flat, messages_in(dialogue.question))), list(map(flat, dialogue.replies))
        except UnusableRow:  # no answer, or one that is no text
            continue
        except MalformedRow as error:
            raise UserError(f"collect.sources.{name}.path={source.path}: row {number}: {error}.") from error
        made = DatasetRow(
            id=f"{name}/{raw.id}",
            messages=(*messages, *replies),
            source=name,
            domain=source.domain,
            language=source.language,
            licence=source.licence,
            stage=stage,
            reward=None,
            num_tokens=sum(len(reply["content"].split()) for reply in replies),
            prompt_id=raw.id,
        )
        yield SourceRow(made, _fate(made, source, seed=seed, is_marked=column is not None and bool(row[column])))


def _fate(row: DatasetRow, source: SourceConfig, *, seed: int, is_marked: bool) -> str:
    """Whether a row gets a chain of thought. Which ones are drawn is a function of the seed and their names."""
    *_, request, answer = (message["content"] for message in row.messages)
    if SPECIAL_TOKEN in answer or "</think>" in answer:
        return OWN
    if is_marked or is_trivial(request, max_words=source.trivial_words, patterns=source.trivial_patterns):
        return TRIVIAL
    digest = sha256(f"{seed}/{row.id}".encode()).digest()
    return PROMPTED if int.from_bytes(digest[:8], "little") < source.reasoning * 2**64 else NOT_DRAWN


def _with_reasoning(row: DatasetRow, reasoning: str, *, pattern: str) -> DatasetRow:
    *before, answer = row.messages
    last = {**answer, "content": written(reasoning, answer["content"], pattern=pattern)}
    return replace(row, messages=(*before, last), num_tokens=row.num_tokens + len(reasoning.split()))


def request_of(messages: Sequence[Message]) -> str:
    """What was said before an answer, as one text."""
    if len(messages) == 1:
        return messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
