"""The keys of a configuration, with what their dataclasses say of them: read from the sources, without Hydra.

RunConfig  ->  Section("algo", "GRPO's numbers. ...", (Key("algo.group_size", "int", "16", "Completions of ..."), ...))
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from r1ray.config.evaluation import EvaluationConfig
from r1ray.config.reward import ScoreConfig
from r1ray.config.schema import entry_of

WRITTEN = {(EvaluationConfig, "benchmarks"): "benchmark", (EvaluationConfig, "in_environment"): "environment"}
"""Fields that have another name on the command line."""
DEFAULTS: dict[type[Any], dict[str, str]] = {
    EvaluationConfig: {"sandbox.num_slots": "0", "deadlines.generate_s": "14400.0"},
    ScoreConfig: {"sandbox.num_slots": "0"},
}
"""Defaults that conf/eval.yaml and conf/score.yaml set otherwise than the dataclasses."""
UNIT = re.compile(r"\s*Unit: ([^.]+)\.$")
"""The last sentence of a docstring."""
PLAIN = re.compile(r"[\w./:+-]+( [\w./:+-]+)*")
"""Texts that are typed without quotes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a configuration.

    Example: Key(name="data.max_prompt_tokens", type="int", default="1024", meaning="Longest prompt. Longer ...",
    unit="tokens", section="data").
    """

    name: str
    type: str
    default: str
    """The value as one would type it."""
    meaning: str
    """Sentences, with code between single backticks. The first sentence says what the key is."""
    unit: str
    """Empty where there is none."""
    section: str
    """The name without its last word; empty at the top."""

    @property
    def summary(self) -> str:
        """The first sentence of the meaning."""
        return first_sentence(self.meaning)


@dataclass(frozen=True, slots=True)
class Section:
    """The keys of one dataclass."""

    name: str
    """Empty at the top."""
    meaning: str
    keys: tuple[Key, ...]
    only: str = ""
    """The command that alone has these keys; empty if it does not matter."""


def sections_of(schema: type[Any], *, first: Sequence[str] = ()) -> list[Section]:
    """Return the sections of a configuration, the top one first.

    Args:
        schema: the dataclass of the configuration.
        first: names of sections that follow the top one, before the others.
    """
    top, *others = _walk(schema, "", class_meaning(schema), DEFAULTS.get(schema, {}))
    before = [section for section in others if section.name in first]
    return [top, *before, *(section for section in others if section not in before)]


def keys_of(schema: type[Any]) -> list[Key]:
    """Return every key of a configuration."""
    return [key for section in sections_of(schema) for key in section.keys]


def first_sentence(text: str) -> str:
    """Return a text up to the end of its first sentence.

    >>> first_sentence("A constant length (Dr. GRPO). It is the same for all.")
    'A constant length (Dr. GRPO).'
    """
    return re.split(r"(?<=[.!?])(?<!Dr\.)\s", text, maxsplit=1)[0]


def default_text(value: object) -> str:
    """Return a value as one would type it.

    >>> default_text(None), default_text(True), default_text(1e-6), default_text([0.9, "a"])
    ('null', 'true', '1e-06', '[0.9,a]')
    """
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else json.dumps(value)
    if isinstance(value, list):
        return f"[{','.join(map(default_text, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{default_text(each)}' for name, each in value.items())}}}"
    return str(value)


def class_meaning(schema: type[Any]) -> str:
    """Return the first paragraph of a class's docstring."""
    return _plain((schema.__doc__ or "").partition("\n\n")[0])


@cache
def docstrings(source: Path, class_name: str | None) -> dict[str, str]:
    """Return the strings below the assignments of a module, or of a class in it, by what is assigned to."""
    body = _parsed(source).body
    if class_name is not None:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == class_name)
    told: dict[str, str] = {}
    for node, following in pairwise(body):
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        text = following.value if isinstance(following, ast.Expr) else None
        if isinstance(target, ast.Name) and isinstance(text, ast.Constant):
            told[target.id] = " ".join(str(text.value).split())
    return told


@cache
def _parsed(source: Path) -> ast.Module:
    return ast.parse(source.read_text(encoding="utf-8"))


def _walk(schema: type[Any], name: str, meaning: str, defaults: dict[str, str]) -> Iterator[Section]:
    """Yield the section of a dataclass, and then those inside it."""
    told = _told(schema)
    inner: list[tuple[str, type[Any], str]] = []
    keys = []
    for each in fields(schema):
        full = _joined(name, WRITTEN.get((schema, each.name), each.name))
        if isinstance(each.default_factory, type) and is_dataclass(each.default_factory):
            inner.append((full, each.default_factory, told.get(each.name, "")))
            continue
        if (entry := entry_of(schema, each.name)) is not None:
            inner.append((full + ("[]" if each.default_factory is list else ".NAME"), entry, ""))
        keys.append(_key(each, full, name, told.get(each.name, ""), defaults))
    yield Section(name, meaning, tuple(keys))
    for full, kind, own in inner:
        yield from _walk(kind, full, own or class_meaning(kind), defaults)


def _told(schema: type[Any]) -> dict[str, str]:
    """Return the docstrings of a dataclass's fields, with those of the classes that it is made from."""
    told: dict[str, str] = {}
    for each in reversed(schema.__mro__[:-1]):
        told |= docstrings(Path(str(sys.modules[each.__module__].__file__)), each.__name__)
    return {name: _plain(text) for name, text in told.items()}


def _key(field: Field[Any], full: str, section: str, told: str, defaults: dict[str, str]) -> Key:
    unit = UNIT.search(told)
    return Key(
        name=full,
        type=_type_text(str(field.type)),
        default=defaults.get(full, default_text(_default(field))),
        meaning=UNIT.sub("", told),
        unit=unit[1] if unit else "",
        section=section,
    )


def _type_text(annotation: str) -> str:
    """Return an annotation without the names of r1ray's own classes.

    >>> _type_text("list[float] | None"), _type_text("dict[str, Any]"), _type_text("list[CompareConfig]")
    ('list[float] | null', 'dict', 'list')
    """
    text = re.sub(r"\[(str, Any|\w+Config)\]", "", annotation)
    return text.replace("None", "null").replace("Any", "any")


def _default(field: Field[Any]) -> object:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _joined(section: str, name: str) -> str:
    return f"{section}.{name}" if section else name


def _plain(text: str) -> str:
    """Return a docstring's text in one line, with code between single backticks."""
    return re.sub(r":\w+:`", "`", " ".join(text.split())).replace("``", "`")
