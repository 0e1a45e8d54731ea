"""Dotted keys and their places in the dataclasses of the configuration.

place_of(RunConfig, "algo.group_size")           int, by the path (algo, group_size)
place_of(RunConfig, "reward.parts.mine.weight")  float: ``mine`` is a name that the user chose
place_of(RunConfig, "reward.parts.mine.wieght")  None
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from r1ray.config.data import CollectConfig, DataConfig, SourceConfig, SupervisedConfig
from r1ray.config.environment import EnvironmentConfig, WorldConfig
from r1ray.config.evaluation import EvaluationConfig
from r1ray.config.reward import PreferenceModelConfig, RewardConfig, RewardPart
from r1ray.config.run import RunConfig


@dataclass
class GraphEntry(RunConfig):
    """Keys that an entry of ``graph`` may have."""

    replace: list[str] = field(default_factory=list)
    """Sections that begin empty."""


@dataclass
class StudentEntry(GraphEntry):
    """Keys that an entry of ``students`` may have where it is not only a model's path."""


@dataclass(frozen=True, slots=True)
class Named:
    """Type of a section whose names the user chooses."""

    entry: Any
    """Type of what they name."""


class TextOrMore:
    """Type of a value that is a text, or a list or an object of several."""


OPEN: dict[tuple[type[Any], str], Any] = {
    (RewardConfig, "parts"): Named(RewardPart),
    (RewardConfig, "models"): Named(PreferenceModelConfig),
    (CollectConfig, "sources"): Named(SourceConfig),
    (DataConfig, "train"): TextOrMore,
    (DataConfig, "eval"): TextOrMore,
    (DataConfig, "mixture"): Named(float),
    (EnvironmentConfig, "worlds"): Named(WorldConfig),
    (EnvironmentConfig, "shares"): Named(float),
    (SupervisedConfig, "train"): TextOrMore,
    (SupervisedConfig, "eval"): TextOrMore,
    (RunConfig, "graph"): Named(GraphEntry),
    (RunConfig, "students"): Named(StudentEntry),
    (EvaluationConfig, "benchmarks"): TextOrMore,
    (EvaluationConfig, "data"): TextOrMore,
}
"""Types that the dataclasses, whose annotations have to be OmegaConf's, call ``Any``."""
FLAT = (int, float, bool, str)


@dataclass(frozen=True, slots=True)
class Place:
    """A key that there is, or may be."""

    names: tuple[str, ...]
    """Its path. A name that the user chose may have dots in it."""
    kind: Any
    """Type of its value, without None: ``int``, ``list[str]``, a dataclass, :class:`Named`, ``Any``."""
    is_optional: bool = False
    """None is a value of it."""
    is_typed: bool = True
    """OmegaConf knows its type too; not so below names that the user chose."""

    @property
    def is_text(self) -> bool:
        """A value is a text, whatever characters it has."""
        return self.kind is str or self.takes_more

    @property
    def takes_more(self) -> bool:
        """A value may be a list or an object in the place of a text."""
        return self.kind in (TextOrMore, StudentEntry)

    @property
    def is_number(self) -> bool:
        return self.kind in (int, float, bool)

    @property
    def has_keys(self) -> bool:
        """A value is an object whose keys are known."""
        return _is_section(self.kind)

    @property
    def needed(self) -> str:
        """The kind of value that is needed, for the user."""
        words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        if self.kind in words:
            text = words[self.kind]
        elif get_origin(self.kind) is list:
            inner = get_args(self.kind)[0]
            text = "a list of texts, [a, b]" if inner is str else "a list of objects, [{KEY: VALUE}]"
            text = "a list of numbers, [0.9, 0.95]" if inner in (int, float) else text
        elif self.has_keys or isinstance(self.kind, Named):
            text = "keys and values, {KEY: VALUE}"
        else:
            text = "a text, number, list [a, b] or object {a: 1}"
        return f"{text}, or null" if self.is_optional else text


def place_of(schema: type[Any], key: str) -> Place | None:
    """Return the place of a dotted key; None if there is none."""
    return place_below(Place((), schema), key.split("."))


def place_below(place: Place, names: list[str]) -> Place | None:
    """Return the place of a path below another; None if there is none."""
    if not names:
        return place
    name, rest, kind = names[0], names[1:], place.kind
    below = (*place.names, name)
    if "" in names:
        return None
    if _is_section(kind):
        if name not in _fields(kind):
            return None
        return place_below(Place(below, *_fields(kind)[name], place.is_typed), rest)
    if kind is TextOrMore:
        return Place((*place.names, ".".join(names)), str, is_typed=False)
    if isinstance(kind, Named) and kind.entry in FLAT:
        return Place((*place.names, ".".join(names)), kind.entry, is_typed=place.is_typed)
    if isinstance(kind, Named):
        return place_below(Place(below, kind.entry, kind.entry is Any, is_typed=False), rest)
    if kind is Any:
        return place_below(Place(below, Any, True, is_typed=False), rest)
    if get_origin(kind) is list and name.isdecimal():
        return place_below(Place(below, get_args(kind)[0], is_typed=place.is_typed), rest)
    return None


def entry_of(schema: Any, name: str) -> type[Any] | None:
    """Return the dataclass of each entry of a field that holds several, in a list or by names that the user chooses.

    None if a field holds none. Stages of a graph are whole runs: their keys are those of the schema itself.
    """
    kind: Any = _fields(schema)[name][0]
    entry = kind.entry if isinstance(kind, Named) else next(iter(get_args(kind)), None)
    return entry if isinstance(entry, type) and is_dataclass(entry) and not issubclass(entry, RunConfig) else None


def known_keys(schema: type[Any]) -> list[str]:
    """Return every dotted key of a configuration, sections too; none below names that the user chooses."""
    return list(_walk(schema, ""))


def _walk(schema: Any, prefix: str) -> Iterator[str]:
    for name, (kind, _) in _fields(schema).items():
        yield prefix + name
        if _is_section(kind):
            yield from _walk(kind, f"{prefix}{name}.")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


@cache
def _fields(schema: Any) -> dict[str, tuple[Any, bool]]:
    """Return type and optionality of each field."""
    hints = get_type_hints(schema)
    return {each.name: _kind(schema, each.name, hints[each.name]) for each in fields(schema)}


def _kind(schema: type[Any], name: str, hint: Any) -> tuple[Any, bool]:
    is_optional = hint is Any or isinstance(hint, UnionType)
    opened = next((OPEN[each, name] for each in schema.__mro__ if (each, name) in OPEN), None)
    if opened is not None:
        return opened, is_optional
    if isinstance(hint, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    return (Named(get_args(hint)[1]) if get_origin(hint) is dict else hint), is_optional
