"""Sentences about keys that do not exist, with the key that was meant: by a peer's name for it, or by likeness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from r1ray.config import EvaluationConfig, RunConfig, ScoreConfig
from r1ray.config.peer_names import ours
from r1ray.config.renamed import new_name
from r1ray.config.schema import known_keys, place_of

ENTRY = re.compile(r"((?:graph|students)\.[^.]+\.)(.+)", re.DOTALL)
"""Key of one stage: what follows its name is a key of a run."""
ALIKE = 0.6
"""Least likeness of a key that is offered."""
SCHEMAS = {"eval": EvaluationConfig, "score": ScoreConfig}
"""Configurations of verbs; of the others it is that of a run."""


def no_such_key(key: str, value: str | None, schema: type[Any], groups: Sequence[str] = ()) -> str:
    """Return a sentence for a key that does not exist.

    Args:
        value: that it was given.
        groups: names that are no keys and can be set.
    """
    prefix, inner = _taken_apart(key)
    if renamed := new_name(inner):
        return f"{key}: is called {prefix}{renamed} now."
    near = nearest(key, schema, groups)
    has_same_name = near is not None and near.rpartition(".")[2] == key.rpartition(".")[2]
    peers = of_peers(key, value, schema)
    if peers and not (has_same_name and peers.endswith(f" is {near} here: {near}={value}")):
        return f"{key}: no such key; {peers}."
    if near is None:
        return f"{key}: no such key, and none is like it; `r1ray keys` lists them."
    return f"{key}: no such key; the nearest is {near}."


def for_flag(flag: str, verb: str) -> str | None:
    """Return a sentence for a flag that does not exist, where it is a key of ours or of a peer."""
    schema = SCHEMAS.get(verb, RunConfig)
    key = flag.lstrip("-")
    if place_of(schema, key):
        return f"{flag}: no such flag; keys have no dashes before them: {key}=VALUE."
    peers = of_peers(key.replace("-", "_"), "VALUE", schema)
    return f"{flag}: no such flag; {peers}." if peers else None


def of_peers(key: str, value: str | None, schema: type[Any]) -> str | None:
    """Return what peers call so, and what it is here."""
    prefix, inner = _taken_apart(key)
    said: dict[str, str] = {}
    for peer, theirs, our in ours(inner):
        ours_key, _, difference = our.partition("; ")
        if place_of(schema, prefix + ours_key) is None:
            continue
        is_same = not difference and value is not None
        ending = f" ({difference})" if difference else f": {prefix}{ours_key}={value}" if is_same else ""
        said.setdefault(our, f"{peer}'s {theirs} is {prefix}{ours_key} here{ending}")
    return "; ".join(said.values()) or None


def _taken_apart(key: str) -> tuple[str, str]:
    """Return the place of a stage, empty if the key is of none, and the key inside it."""
    entry = ENTRY.fullmatch(key)
    return (entry[1], entry[2]) if entry else ("", key)


def nearest(key: str, schema: type[Any], groups: Sequence[str] = ()) -> str | None:
    """Return the key that is most like another: one whose last name is the same, the same path with one name spelled
    right, or one whose last name and section are alike; None if nothing is."""
    prefix, inner = _taken_apart(key)
    if prefix and place_of(schema, prefix.rstrip(".")):
        near = nearest(inner, schema)
        return None if near is None else prefix + near
    known = [*groups, *known_keys(schema)]
    section, _, last = key.rpartition(".")
    same = [each for each in known if each.rpartition(".")[2] == last]
    if same:
        return max(same, key=lambda each: _likeness(section, each.rpartition(".")[0]))
    return _repaired(key, schema) or _most_alike(section, last, known)


def _repaired(key: str, schema: type[Any]) -> str | None:
    """Return the key with the first wrong name of its path in the place of the sibling that it is most like."""
    names = key.split(".")
    for depth in range(1, len(names)):
        above = ".".join(names[:depth])
        if place_of(schema, above) is None or place_of(schema, f"{above}.{names[depth]}") is not None:
            continue
        below = _names_in(schema, above)
        if not below:
            return above  # it has a value, and no keys
        for right in get_close_matches(names[depth], below, n=3, cutoff=ALIKE):
            whole = ".".join([above, right, *names[depth + 1 :]])
            if place_of(schema, whole) is not None:
                return whole
            if (again := _repaired(whole, schema)) is not None:
                return again
        return None
    return None


def _names_in(schema: type[Any], section: str) -> list[str]:
    place = place_of(schema, section)
    fields = getattr(place.kind if place else None, "__dataclass_fields__", {})
    return list(fields)


def _most_alike(section: str, last: str, known: Sequence[str]) -> str | None:
    def likeness(each: str) -> tuple[float, float]:
        their_section, _, their_last = each.rpartition(".")
        return _likeness(last, their_last), _likeness(section, their_section)

    near = max(known, key=lambda each: likeness(each)[0] + likeness(each)[1] / 4)
    return near if likeness(near)[0] >= ALIKE else None


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
