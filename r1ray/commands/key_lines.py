"""Keys of a configuration as text for a terminal: ``key=default`` on the left, what it means on the right."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from r1ray.config.keys import Key, Section, first_sentence

WIDTH = 112
COLUMN = 40
"""Where meanings begin."""


def section_lines(sections: Iterable[Section], *, whole: bool) -> str:
    """Return the text of sections: a title line each, and its keys below.

    Args:
        whole: show the whole meaning of each key, with type and unit; else its first sentence and unit.
    """
    return "\n".join(_section(section, whole=whole) for section in sections if section.keys)


def choice_lines(choices: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """Return the text of groups of the configuration.

    Args:
        choices: the default of each group, and the files that it can take.
    """
    lines = [_beside(f"{group}={default}", ", ".join(names)) for group, (default, names) in choices.items()]
    return "".join(["groups: files of conf/, taken by name\n", *lines])


def _section(section: Section, *, whole: bool) -> str:
    title = f"{section.name}: " if section.name else ""
    told = section.meaning if whole else first_sentence(section.meaning)
    told += f" (only {section.only})" if section.only else ""
    lines = [textwrap.fill(_bare(title + told), WIDTH, subsequent_indent="  ") + "\n"]
    for key in section.keys:
        lines.append(_beside(f"{key.name}={key.default}", _meaning(key, whole=whole)))
    return "".join(lines)


def _meaning(key: Key, *, whole: bool) -> str:
    """Return what a key means; the unit, and the type where all is asked for, stand in brackets at the end."""
    text = _bare(key.meaning if whole else key.summary)
    notes = [key.type] * whole + [key.unit] * bool(key.unit)
    return f"{text} [{'; '.join(notes)}]" if notes else text


def _beside(left: str, right: str) -> str:
    """Return an indented line with a text beside its name, or below it if the name is long."""
    name = f"  {left}"
    first = name.ljust(COLUMN) if len(name) < COLUMN - 1 else f"{name}\n{' ' * COLUMN}"
    filled = textwrap.wrap(right, WIDTH - COLUMN, break_long_words=False, break_on_hyphens=False) or [""]
    return first + f"\n{' ' * COLUMN}".join(filled) + "\n"


def _bare(text: str) -> str:
    return text.replace("`", "")
