"""Configurations of other versions: a key that one lacks has its default, and keys that there are no more are named.

completed({"steps": 5})                             {"steps": 5, "recipe": "r1_zero", "seed": 0, ...}
without_defaults({"steps": 5, "seed": 0})           {"steps": 5}
unknown_keys({"learner": {"lr": 1e-6, "rl": 2}})    ["learner.rl"]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any

from r1ray.config.renamed import RENAMED
from r1ray.config.run import RunConfig
from r1ray.config.schema import Place, entry_of, place_below


def completed(settings: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the settings of a run, as nested dicts, with the default of each key that they lack, and with renamed keys
    under their names of today. Stages of a graph have only what is different in them, and stay as they are."""
    whole: dict[Any, Any] = _completed(_renamed(settings), RunConfig, _defaults_of(RunConfig))
    return deepcopy(whole)  # the defaults are everyone's


def without_defaults(settings: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return settings, whole or some sections of them, without those that have their default: a digest of the rest
    stays the same when a key is added."""
    rest: dict[Any, Any] = _without(settings, RunConfig, _defaults_of(RunConfig))
    return rest


def unknown_keys(settings: Mapping[Any, Any]) -> set[str]:
    """Return the dotted keys that no configuration has; of a section that does not exist its name alone."""
    return set(_unknown(settings, Place((), RunConfig), ""))


def _renamed(settings: Mapping[Any, Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = deepcopy(dict(settings))
    for old, new in RENAMED.items():
        above, _, name = old.rpartition(".")
        section: Any = found
        for each in above.split(".") if above else ():
            section = section.get(each) if isinstance(section, dict) else None
        if isinstance(section, dict) and name in section:
            found.setdefault(new, section.pop(name))
    return found


def _completed(given: Any, schema: type[Any], defaults: Mapping[str, Any]) -> Any:
    if not isinstance(given, dict):
        return given
    below = {name: _below(schema, name, defaults[name], value, _completed) for name, value in _known(given, defaults)}
    return {**defaults, **given, **below}


def _without(given: Any, schema: type[Any], defaults: Mapping[str, Any]) -> Any:
    if not isinstance(given, Mapping):
        return given
    below = {name: _below(schema, name, defaults[name], value, _without) for name, value in _known(given, defaults)}
    return {
        name: below.get(name, value)
        for name, value in given.items()
        if name not in defaults or (value != defaults[name] and below[name] != {})
    }


def _below(schema: type[Any], name: str, default: Any, value: Any, change: Callable[..., Any]) -> Any:
    """Return the value of a field, changed if it is a section, or the entries of it if it has some."""
    place = place_below(Place((), schema), [name])
    if place is not None and place.has_keys:
        return change(value, place.kind, default)
    entry = entry_of(schema, name)
    if entry is None:
        return value
    of_entry = _defaults_of(entry)  # type: ignore[arg-type]  # mypy takes no class of Any for hashable
    if isinstance(value, dict):
        return {key: change(each, entry, of_entry) for key, each in value.items()}
    return [change(each, entry, of_entry) for each in value] if isinstance(value, list) else value


def _known(given: Mapping[Any, Any], defaults: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in given.items() if name in defaults)


def _unknown(given: Any, place: Place, above: str) -> Iterator[str]:
    pairs = enumerate(given) if isinstance(given, list) else given.items() if isinstance(given, Mapping) else ()
    for name, value in pairs:
        below = place_below(place, [str(name)])
        if below is None:
            if isinstance(given, Mapping):
                yield f"{above}{name}"
        else:
            yield from _unknown(value, below, f"{above}{name}.")


@cache
def _defaults_of(schema: Any) -> dict[str, Any]:
    """Return the default of each field that has one, those of a section as a dict."""
    found = {}
    for each in fields(schema):
        default = each.default if each.default_factory is MISSING else each.default_factory()
        if default is not MISSING:
            is_section = is_dataclass(default) and not isinstance(default, type)
            found[each.name] = asdict(default) if is_section else default
    return found
