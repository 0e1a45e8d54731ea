"""An entry of the table of layouts, and how a row is read by it."""

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
"""Names of languages that columns have in the place of a code."""


@dataclass(frozen=True, slots=True)
class RawPrompt:
    """A row before its template is applied."""

    id: str
    question: Question
    check: Check
    domain: str
    language: str
    columns: str = "{}"
    """Those of :class:`r1ray.types.Prompt`, a JSON object."""
    environment: str = ""
    """The name of one; empty: none."""
    difficulty: float | None = None
    """The number in ``data.difficulty.column``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Rules by which the rows of a data set, or of those that a framework reads, become prompts.

    Columns are named in lower case, whatever the file has; ``a|b`` is either of the two, ``a.b`` a field in a column.
    """

    name: str
    """Data set or framework."""
    columns: tuple[str, ...]
    """A file with these is of this layout."""
    question: Callable[[Row], Question]
    check: Callable[[Row], Check]
    means: str
    """Condition of a response's reward, as the README says it."""
    ids: tuple[str, ...] = IDS
    domains: tuple[str, ...] = ()
    default_domain: str = "math"
    """Where no column of ``domains`` says it, and the check is not of a program."""
    languages: Sequence[str] = TOLD_LANGUAGES
    """Languages of which a question is in one, where no column says which."""
    environment: str = ""
    """The one of rows that name none themselves."""
    has_references: bool = True
    """Responses can be judged without an environment."""

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
        """Return the name of a row's environment; empty where it has none, or says so, or where the column is an object
        and so about something else. Raises MalformedRow for what is no name."""
        value, name = value_of(row, ENVIRONMENT), label_of(row, ENVIRONMENT) or self.environment
        if isinstance(value, bool | list | tuple):
            raise MalformedRow(f"{ENVIRONMENT} needs the name of an environment, found {kind_of(value)}")
        return "" if name == NO_WORLD else name

    def has_reference(self, row: Row) -> bool:
        """Return whether a row has a value in each of the layout's columns: its environment may do without."""
        return self.has_references and self.matches(frozenset(name for name in row if value_of(row, name) is not None))


def asked_text(question: Question) -> str:
    """Return what the user says, or all of a text."""
    if isinstance(question, str):
        return question
    return "\n".join(message["content"] for message in question if message["role"] == "user")
