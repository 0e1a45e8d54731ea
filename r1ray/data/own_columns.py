"""Columns of the user's own: the ones that r1ray reads, and the ones that travel with a prompt.

row --data.columns--> r1ray's names --data.check, or a reference column--> RawPrompt
                                    --no reference is named: a layout----> RawPrompt
row --carried--> JSON in the spool --> Prompt.columns
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from r1ray.checks import Check, CodeTests, FormatOnly, MathAnswer
from r1ray.data.checks import MalformedRow, UnusableRow, is_absent, parse_check, read_row
from r1ray.data.json_text import parse
from r1ray.data.layouts import RawPrompt, Row, recognise
from r1ray.data.layouts.layout import ENVIRONMENT
from r1ray.data.layouts.media import ShownMedia, media_columns
from r1ray.data.layouts.references import reference
from r1ray.data.layouts.values import label_of
from r1ray.data.layouts.worlds import WORLDS
from r1ray.data.prompt_language import LANGUAGES
from r1ray.errors import UserError

REFERENCES = ("check", "tests", "answer")
"""Names of columns by which a response is judged. If a row has several, the first counts."""
FILE, NOT_CARRIED = "_file", "_not_carried"
"""Columns of prompts with an environment, besides their own: the path of their data file, for files that rows name
relative to it, and the names of columns that do not travel with them."""
MAX_CARRIED = 65_536
"""Most characters of a column's JSON; longer columns do not travel with each trajectory."""
RowCheck = Callable[[Mapping[str, Any]], Check | None]
"""Function that makes the check of a row, named by ``data.check``; it returns None if nothing can be judged."""


class RowLayout(Protocol):
    """Reader of the rows of a file."""

    @property
    def name(self) -> str: ...

    def read(self, row: Row, index: int) -> RawPrompt:
        """Return the prompt of a row. Raises MalformedRow and UnusableRow."""
        ...


@dataclass(frozen=True, slots=True)
class OwnColumns:
    """``data.columns`` and ``data.check``. Without both, files are read by their layouts."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Columns of the file by r1ray's names for them."""
    check: RowCheck | None = None
    languages: Sequence[str] = LANGUAGES
    """Possible languages of a question, if no column gives its language."""
    environment: str = ""
    """``data.environment``, the environment of rows that name none."""

    def layout_of(self, columns: frozenset[str], *, key: str, named: str) -> RowLayout | None:
        """Return the reader of a file with these columns; None if its layout is not known. Raises UserError.

        A file of held-out prompts that has none of the named columns is read by its own layout, since benchmarks often
        have another one.

        Args:
            key: configuration key that names the file, ``data.train``.
            named: name of the file in messages, ``data.train=PATH``.
        """
        if not self.names and self.check is None:
            return self.recognised(columns)
        if key != "data.train" and self.names and not set(self.names.values()) & columns:
            return self.recognised(columns)
        found = f"found the columns {', '.join(sorted(columns))}"
        missing = [name for name, column in self.names.items() if column not in columns]
        if missing:
            raise UserError(
                f"data.columns={{{missing[0]}: {self.names[missing[0]]}}}: {named} has no such column; {found}."
            )
        renamed = frozenset(self.renamed(dict.fromkeys(columns)))
        if self.check is None and not set(REFERENCES) & set(self.names):
            layout = self.recognised(renamed)
            return layout and _Renamed(self, layout)
        if "prompt" not in renamed:
            raise UserError(
                f"{named}: {found}; needs data.columns={{prompt: COLUMN}} to name the column of the prompts."
            )
        return _Own(self)

    def recognised(self, columns: frozenset[str]) -> RowLayout | None:
        """Return the layout of a file with these columns; None if it is not known."""
        layout = recognise(columns)
        if layout is None and (self.environment or ENVIRONMENT in {name.lower() for name in columns}):
            layout = WORLDS if WORLDS.matches(frozenset(name.lower() for name in columns)) else None
        return layout and replace(layout, languages=self.languages, environment=self.environment)

    def not_shown(self, row: Row) -> list[str]:
        """Return the columns of a row with images, video or sound that have no name of r1ray's, which the model is not
        shown. Files of a known layout with such columns are refused."""
        if not self.names and self.check is None:
            return []
        return [name for name in media_columns(row) if name not in self.names.values()]

    def read_by(self, layout: RowLayout, given: Row, row: Row, index: int) -> RawPrompt:
        """Return the prompt that a layout reads from ``given``, its part of a row. Raises UnusableRow, and MalformedRow
        also if the question refers to a column that is not shown."""
        left = self.not_shown(row)
        try:
            return layout.read({name: value for name, value in given.items() if name not in left}, index)
        except ShownMedia as error:
            if not left:
                raise
            raise MalformedRow(f"{error}, and the column {left[0]} holds it: r1ray asks by text alone") from error

    def renamed(self, row: Row) -> dict[str, Any]:
        """Return a row under r1ray's names. Other columns keep their own."""
        taken = set(self.names.values())
        kept = {column: value for column, value in row.items() if column not in taken}
        return kept | {name: row.get(column) for name, column in self.names.items()}


@dataclass(frozen=True, slots=True)
class _Renamed:
    """A known layout, whose other column names ``data.columns`` has translated."""

    columns: OwnColumns
    layout: RowLayout

    @property
    def name(self) -> str:
        return self.layout.name

    def read(self, row: Row, index: int) -> RawPrompt:
        renamed = self.columns.renamed(row)
        raw = self.columns.read_by(self.layout, renamed, row, index)
        named = {name: renamed[name] for name in self.columns.names if not is_absent(renamed[name])}
        return replace(
            raw,
            id=str(named.get("id", raw.id)),
            domain=str(named.get("domain", raw.domain)),
            language=str(named.get("language", raw.language)),
        )


@dataclass(frozen=True, slots=True)
class _Own:
    """Reader of rows without a layout, which only ``data.columns`` and ``data.check`` describe."""

    columns: OwnColumns
    name: str = "data.columns"

    def read(self, row: Row, index: int) -> RawPrompt:
        renamed = self.columns.renamed(row)
        check = read_row(lambda renamed, index: self._check(row, renamed), renamed, index)
        domain = renamed.get("domain")
        own = {
            "id": renamed.get("id"),
            "prompt": renamed["prompt"],
            "check": {"type": "format"},  # replaced by the actual check below
            "domain": ("code" if isinstance(check, CodeTests) else "math") if is_absent(domain) else domain,
            "language": renamed.get("language"),
            ENVIRONMENT: renamed.get(ENVIRONMENT),
        }
        layout = self.columns.recognised(frozenset(own))
        assert layout is not None, "the layout of r1ray's own names"
        return replace(self.columns.read_by(layout, own, row, index), check=check)

    def _check(self, row: Row, renamed: Row) -> Check:
        if self.columns.check is not None:
            check = self.columns.check(dict(row))
            if check is None:
                raise UnusableRow("data.check returned None for it")
            return check
        name = next((name for name in REFERENCES if name in self.columns.names), "answer")
        if is_absent(renamed[name]) and (label_of(renamed, ENVIRONMENT) or self.columns.environment):
            return FormatOnly()  # its environment judges it
        return {"check": _given, "tests": _tests, "answer": answer_of}[name](renamed[name])


def _given(value: Any) -> Check:
    return parse_check(_parsed(value, "check"))


def _tests(value: Any) -> Check:
    tests = _parsed(value, "tests")
    if isinstance(tests, Mapping) and {"inputs", "outputs"} <= tests.keys():  # as APPS has them
        pairs = [list(pair) for pair in zip(tests["inputs"], tests["outputs"], strict=True)]
        entry = tests.get("fn_name")
        return parse_check({"type": "code", "kind": "func" if entry else "stdio", "entry": entry, "tests": pairs})
    return parse_check({"type": "code", **tests} if isinstance(tests, Mapping) else {"type": "code", "tests": tests})


def answer_of(value: Any) -> MathAnswer:
    """Return the reference in a column of answers. Raises MalformedRow and UnusableRow for other values, which are
    never converted to a text to compare with."""
    return MathAnswer(reference(value, column="answer"))


def _parsed(value: Any, name: str) -> Any:
    """Return a column's value, decoded if it is JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return parse(value)
    except ValueError as error:
        raise MalformedRow(f"{name} is no JSON: {error}") from error


def carried(row: Row, *, file: str | None = None) -> tuple[str, list[str]]:
    """Return the JSON of the columns that travel with a row's prompt, and the names of the others: columns with bytes
    (images, audio) or integers of thousands of digits, and very long ones. Dates and the like become text.

    Args:
        file: path of the data file, for a prompt with an environment.
    """
    kept, left = [], []
    for name, value in row.items():
        text = None if _has_bytes(value) else _json_of(value)
        if text is None or len(text) > MAX_CARRIED:
            left.append(name)
        else:
            kept.append(f"{json.dumps(name, ensure_ascii=False)}: {text}")
    if file is not None:
        more = {FILE: file} | ({NOT_CARRIED: left} if left else {})
        kept += [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in more.items()]
    return f"{{{', '.join(kept)}}}", left


def _json_of(value: Any) -> str | None:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # an integer with more than 4,300 digits, which Python does not write
        return None


def _has_bytes(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_bytes, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_bytes, value))
    return isinstance(value, bytes | bytearray | memoryview)
