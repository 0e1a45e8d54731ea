"""``r1ray keys``: every key of the configuration, with its default and what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from r1ray.commands.arguments import Parser
from r1ray.commands.export import EXPORT_SECTION
from r1ray.commands.hints import no_such_key, of_peers
from r1ray.commands.key_lines import choice_lines, section_lines
from r1ray.commands.replay import REPLAY_SECTION
from r1ray.config import EvaluationConfig, RunConfig, ScoreConfig
from r1ray.config.folder import config_folder, names_in
from r1ray.config.keys import Key, Section, sections_of
from r1ray.config.peer_names import ours
from r1ray.errors import UserError

DEFAULT = re.compile(r"^  - (\w+): (\w+)$", re.MULTILINE)
"""A line of the defaults in conf/config.yaml."""
PLACEHOLDER = re.compile(r"NAME|\[\]")
"""The part of a key that the user names."""


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    return Parser(
        "keys",
        "Show keys of the configuration, with defaults and meanings. Without a PATTERN these are all keys, in short,\n"
        "and the files that groups (algo=, reward=, ...) can take; with one, the whole meaning of those that it fits.",
        usage="[PATTERN]",
        word="PATTERN",
        meaning="a part of a key's name (lr), a pattern (learner.*), a word of its meaning (temperature), "
        "or what TRL, verl, OpenRLHF or NeMo-RL call it",
        examples="""
            r1ray keys staleness
            r1ray keys 'learner.lora.*'
            r1ray keys num_generations
        """,
        composes=False,
    )


def command(arguments: Sequence[str]) -> None:
    """Print keys. Raises UserError, with the nearest key, if the pattern matches none."""
    words = parser().read(arguments).words
    if len(words) > 1:
        raise UserError(f"keys takes one PATTERN, found {len(words)}: {', '.join(words)}.")
    sections = all_sections()
    if not words:
        print(choice_lines(choices()))
        print(section_lines(sections, whole=False), end="")
        return
    pattern = words[0].lstrip("+~").partition("=")[0]
    groups = {group: choice for group, choice in choices().items() if group == pattern}
    found = matching(pattern, sections)
    peers = of_peers(pattern, None, RunConfig)
    if not groups and not found and not peers:
        raise UserError(no_such_key(pattern, None, RunConfig))
    texts = ([f"{peers}.\n"] if peers else []) + ([choice_lines(groups)] if groups else [])
    print("\n".join([*texts, section_lines(found, whole=True)]).rstrip("\n"))


def all_sections() -> list[Section]:
    """Return the sections of a run, and then those of keys that only another command has."""
    sections = sections_of(RunConfig)
    known = {key.name for section in sections for key in section.keys}
    others = {
        **{"eval": sections_of(EvaluationConfig), "score": sections_of(ScoreConfig)},
        **{"export": [EXPORT_SECTION], "replay": [REPLAY_SECTION]},
    }
    for verb, own in others.items():
        kept = [_only(section, lambda key: key.name not in known) for section in own]
        sections += [replace(section, only=f"r1ray {verb}") for section in kept if section.keys]
    return sections


def matching(pattern: str, sections: Sequence[Section]) -> list[Section]:
    """Return the keys whose names match a pattern, or that peers call so; if there are none, look into the meanings."""
    is_glob, words = any(letter in pattern for letter in "*?"), pattern.replace("_", " ").lower()
    meant = {our.partition("; ")[0] for _, _, our in ours(pattern)}

    def by_name(key: Key) -> bool:
        if key.name in meant:
            return True
        if is_glob:
            return fnmatchcase(key.name, pattern)
        return pattern in key.name or _is_entry(pattern, key.name)

    def by_meaning(key: Key) -> bool:
        return words in key.meaning.lower()

    for matches in (by_name, by_meaning):
        if found := [kept for section in sections if (kept := _only(section, matches)).keys]:
            return found
    return []


def choices() -> dict[str, tuple[str, list[str]]]:
    """Return the default and the files of every group, in the order in which a run lays them over each other."""
    text = (config_folder() / "config.yaml").read_text(encoding="utf-8")
    defaults = dict(DEFAULT.findall(text)) | {"benchmark": ""}
    return {group: (default, names_in(group)) for group, default in defaults.items()}


def _only(section: Section, matches: Callable[[Key], bool]) -> Section:
    return replace(section, keys=tuple(filter(matches, section.keys)))


def _is_entry(given: str, name: str) -> bool:
    """Return whether a key is given with a name in the place of ``NAME``: reward.parts.accuracy.weight."""
    parts = PLACEHOLDER.split(name)
    return len(parts) > 1 and re.fullmatch(r"[^.]+".join(map(re.escape, parts)), given) is not None
