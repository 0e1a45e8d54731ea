"""Every key of the configurations, and configurations with one of them changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args, get_origin, get_type_hints

from r1ray.config import DataConfig, EvaluationConfig, RewardConfig, RunConfig, ScoreConfig

PARTS = RewardConfig(parts={"accuracy": {}}, models={"helpful": {}})
ROOTS = (
    RunConfig(model="m", data=DataConfig(train="t"), reward=PARTS),
    EvaluationConfig(model="m", benchmarks="b", data="d", reward=RewardConfig(parts={"accuracy": {}})),
    ScoreConfig(reward=PARTS),
)


def keys_of(*kinds: type) -> list[str]:
    """Return every key whose value may be of one of these kinds."""
    roots = [key for root in ROOTS for key, of_key in _walk(type(root)) if of_key & set(kinds)]
    return list(dict.fromkeys(roots))


def _walk(section: type[Any], prefix: str = "") -> Iterator[tuple[str, set[type]]]:
    hints = get_type_hints(section)
    for each in fields(section):
        kind = hints[each.name]
        if isinstance(kind, type) and is_dataclass(kind):
            yield from _walk(kind, f"{prefix}{each.name}.")
        else:
            yield f"{prefix}{each.name}", {kind, *(get_args(kind) if get_origin(kind) not in (dict, list) else ())}


def with_value(key: str, value: object) -> object:
    """Return the first of the configurations that has the key, with another value of it. Raises ValueError."""
    path = key.split(".")
    return _replaced(next(root for root in ROOTS if hasattr(root, path[0])), path, value)


def _replaced(section: Any, path: list[str], value: object) -> Any:
    name, *inner = path
    if isinstance(section, dict):
        return {**section, name: {inner[0]: value}}
    return replace(section, **{name: _replaced(getattr(section, name), inner, value) if inner else value})
