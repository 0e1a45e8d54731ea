"""An entry of the table of layouts, which reads rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from r1ray.checks import Check, CodeTests, FormatOnly
from r1ray.config.environment import NO_WORLD
from r1ray.data.checks import LANGUAGES as PROGRAM_LANGUAGES
from r1ray.data.checks import MalformedRow, read_row
from r1ray.data.layouts.media import refuse_media
from r1ray.data.layouts.values import folded, kind_of, label_of, value_of
from r1ray.data.prompt_language import LANGUAGES as TOLD_LANGUAGES
from r1ray.data.prompt_language import prompt_language
from r1ray.data.template import Question

Row: TypeAlias = Mapping[str, Any]
IDS = ("id", "uuid", "problem_id", "task_id", "question_id", "unique_id", "conversation_id")
"""Columns that name a row, in most layouts."""
ENVIRONMENT = "environment"
"""The column that names a row's environment, in every layout."""
LANGUAGES = {"english": "en", "chinese": "zh"}
"""Codes of languages that columns spell out."""


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """A row before its template is applied."""

    id: str
    question: Question
    check: Check
    domain: str
    language: str
    columns: str = "{}"
    """The columns of :class:`r1ray.types.Prompt`, as a JSON object."""
    environment: str = ""
    """Name of the environment; empty: none."""
    difficulty: float | None = None
    """The number in ``data.difficulty.column``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Rules that turn the rows of a data set, or of a framework's data sets, into prompts.

    Columns are named in lower case, whatever their case in the file. ``a|b`` is either of the two, ``a.b`` a field in a
    column.
    """

    name: str
    """Data set or framework."""
    columns: tuple[str, ...]
    """A file with these is of this layout."""
    question: Callable[[Row], Question]
    check: Callable[[Row], Check]
    means: str
    """Condition of a response's reward, in the words of the README."""
    ids: tuple[str, ...] = IDS
    domains: tuple[str, ...] = ()
    default_domain: str = "math"
    """Domain if no column of ``domains`` gives one and the check is not of a program."""
    languages: Sequence[str] = TOLD_LANGUAGES
    """Possible languages of a question, if no column gives its language."""
    environment: str = ""
    """Environment of rows that name none."""
    has_references: bool = True
    """True if responses can be judged without an environment."""

    @property
    def title(self) -> str:
        """Return the name with the columns."""
        return f"{self.name} ({', '.join(column.replace('|', ' or ') for column in self.columns)})"

    def matches(self, columns: frozenset[str]) -> bool:
        """Return whether a file with these columns, in lower case, is of this layout."""
        return all(any(name in columns for name in column.split("|")) for column in self.columns)

    def read(self, row: Row, index: int) -> RawPrompt:
        """Return the prompt of a row. Raises MalformedRow and UnusableRow."""
        return read_row(self._read, row, index)

    def _read(self, given: Row, index: int) -> RawPrompt:
        row = folded(given)
        refuse_media(row)
        environment = self.environment_of(row)
        check = self.check(row) if not environment or self.has_reference(row) else FormatOnly()
        language = label_of(row, "language").lower()
        language = "" if language in PROGRAM_LANGUAGES else language
        question = self.question(row)
        return RawPrompt(
            id=label_of(row, *self.ids) or str(index),
            question=question,
            check=check,
            domain=label_of(row, *self.domains) or ("code" if isinstance(check, CodeTests) else self.default_domain),
            language=LANGUAGES.get(language, language) or prompt_language(asked_text(question), self.languages),
            environment=environment,
        )

    def environment_of(self, row: Row) -> str:
        """Return the name of a row's environment; empty if it has none or says so, or if the column is an object, which
        has another meaning. Raises MalformedRow for a value that is no name."""
        value, name = value_of(row, ENVIRONMENT), label_of(row, ENVIRONMENT) or self.environment
        if isinstance(value, bool | list | tuple):
            raise MalformedRow(f"{ENVIRONMENT} needs the name of an environment, found {kind_of(value)}")
        return "" if name == NO_WORLD else name

    def has_reference(self, row: Row) -> bool:
        """Return whether a row has a value in each of the layout's columns. Rows with an environment need none."""
        return self.has_references and self.matches(frozenset(name for name in row if value_of(row, name) is not None))


def asked_text(question: Question) -> str:
    """Return the user's messages, or the whole of a text."""
    if isinstance(question, str):
        return question
    return "\n".join(message["content"] for message in question if message["role"] == "user")
