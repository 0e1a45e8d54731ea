"""The parts of READMEs that are made from the code: ``python -m tests.docs --write`` puts them in their places.

A part stands between ``<!-- made: NAME -->`` and ``<!-- end -->``. ``tests/test_readme_rooms.py`` compares.
"""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from r1ray.commands.keys import all_sections, choices
from r1ray.config import EvaluationConfig, ScoreConfig
from r1ray.config.keys import DEFAULTS, Key, docstrings
from r1ray.config.renamed import RENAMED, RENAMED_METRICS
from r1ray.data.layouts import LAYOUTS
from r1ray.main import VERBS
from r1ray.runtime import exit_codes
from r1ray.telemetry import rollout_rows
from r1ray.telemetry.metric_table import METRICS
from tests.test_layering import ONLY_IN, ROOT, ROWS

README = ROOT / "README.md"
READMES = (README, ROOT.parent / "conf/README.md", ROOT / "data/README.md", ROOT / "telemetry/README.md")
"""Those with parts."""
PART = re.compile(r"(<!-- made: (?P<name>[\w-]+) -->\n)(?P<text>.*?)(<!-- end -->\n)", re.DOTALL)
FLAG = re.compile(r"^  (--\S+)", re.MULTILINE)
"""At the beginning of a line of a command's help."""
WIDTH = 112


def layers() -> str:
    """Return the rooms by layer, the uppermost first, and who may import what from outside."""
    rows = [" ".join(room for room in row.split() if _is_room(room)) for row in reversed(ROWS)]
    only = "; ".join(f"`{name}` only in `{'`, `'.join(sorted(where))}`" for name, where in ONLY_IN.items())
    return _code("\n".join(filter(None, rows))) + f"\n{_filled(f'Of the libraries: {only}.')}"


def verbs() -> str:
    """Return a table of the commands: the first sentence of each one's help, and its flags."""
    lines = ["| verb | | flags |", "|---|---|---|"]
    for name, verb in VERBS.items():
        parser = verb.parser()
        does = " ".join((parser.description or "").split()).partition(". ")[0].rstrip(".")
        flags: list[str] = FLAG.findall(parser.format_help().partition("\narguments:")[0])
        lines.append(f"| `{name}` | {does} | {' '.join(f'`{flag}`' for flag in flags)} |")
    return "\n".join(lines) + "\n"


def codes() -> str:
    """Return a table of the exit codes, with what their constants' docstrings say."""
    told = docstrings(Path(exit_codes.__file__), None)
    lines = ["| code | constant | |", "|---|---|---|"]
    for name, value in vars(exit_codes).items():
        if name.isupper():
            lines.append(f"| {value} | `{name}` | {_markdown(told.get(name, 'The command did its work.'))} |")
    return "\n".join(lines) + "\n"


def rollout_log() -> str:
    """Return a table of the columns of the rollout log: their types, and what the classes of its rows say of them."""
    source = Path(rollout_rows.__file__)
    lines = ["| column | type | meaning |", "|---|---|---|"]
    for name, prefix, columns in (
        ("RolloutRow", "", rollout_rows.SCHEMA),
        ("SegmentRow", "segments.", rollout_rows.SEGMENT),
    ):
        told = docstrings(source, name)
        lines += [f"| `{prefix}{each.name}` | {_type(each.type)} | {_markdown(told[each.name])} |" for each in columns]
    return "\n".join(lines) + "\n"


def metrics() -> str:
    """Return the table of metrics."""
    lines = ["| metric | unit | meaning | healthy | where it is not |", "|---|---|---|---|---|"]
    for each in METRICS:
        names = ", ".join(f"`{name}`" for name in each.names)
        lines.append(f"| {names} | {each.unit} | {each.meaning} | {each.healthy} | {each.remedy} |")
    return "\n".join(lines) + "\n"


def renamed() -> str:
    """Return a table of the configuration keys and metrics that have another name now."""
    metrics = {old.replace("(.+)", "NAME"): new.replace(r"\1", "NAME") for old, new in RENAMED_METRICS.items()}
    rows = [f"| `{old}` | `{new}` |" for old, new in [*sorted(RENAMED.items()), *sorted(metrics.items())]]
    return "\n".join(["| old | new |", "|---|---|", *rows]) + "\n"


def groups() -> str:
    """Return a table of the groups, with the files of each."""
    rows = [
        f"| `{group}=` | `{default}` | {', '.join(f'`{name}`' for name in names)} |".replace("``", "")
        for group, (default, names) in choices().items()
    ]
    return "\n".join(["| group | default | files |", "|---|---|---|", *rows]) + "\n"


def keys() -> str:
    """Return a table for each section of the configuration: what its keys mean, their defaults and units."""
    text = ""
    for section in all_sections():
        title = f"`{section.name}`" if section.name else "Without a section"
        title += f", only of `{section.only}`" if section.only else ""
        rows = [_key_row(key) for key in section.keys]
        head = ["| key | default | unit | meaning |", "|---|---|---|---|"]
        text += "\n".join([f"### {title}", "", section.meaning, "", *head, *rows, "", ""])
    return text.rstrip("\n") + "\n"


def layouts() -> str:
    """Return a table of the layouts of prompt files: their columns, and what a response is paid for."""
    lines = ["| layout | columns | what is paid |", "|---|---|---|"]
    for layout in LAYOUTS:
        columns = "; ".join(_either(each.split("|")) for each in layout.columns)
        lines.append(f"| {layout.name} | {columns} | {layout.means} |")
    return "\n".join(lines) + "\n"


PARTS: dict[str, Callable[[], str]] = {
    "layers": layers,
    "rollout-rows": rollout_log,
    "metrics": metrics,
    "verbs": verbs,
    "exit-codes": codes,
    "renamed-keys": renamed,
    "groups": groups,
    "keys": keys,
    "layouts": layouts,
}


def made(text: str) -> str:
    """Return the text of a README with every part as the code has it now."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found['name']]()}{found[4]}", text)


def _type(kind: pa.DataType) -> str:
    """Return the type in Arrow's words, with the segment's own columns left out."""
    if pa.types.is_struct(kind):
        return "segment" if kind == rollout_rows.SEGMENT else f"{{{', '.join(_column(field) for field in kind)}}}"
    if pa.types.is_map(kind):
        return f"map<{kind.key_type}, {kind.item_type}>"
    return f"list<{_type(kind.value_type)}>" if pa.types.is_list(kind) else str(kind)


def _column(field: pa.Field) -> str:
    return f"{field.name} {_type(field.type)}"


def _markdown(text: str) -> str:
    """Return a docstring's text with its code and references as Markdown has them."""
    text = re.sub(r":\w+:`~?([^`]+)`(?: s\b)?", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    return text.replace("``", "`")


def _key_row(key: Key) -> str:
    verbs = {"eval": EvaluationConfig, "score": ScoreConfig}
    others = [f"{verb}: `{DEFAULTS[kind][key.name]}`" for verb, kind in verbs.items() if key.name in DEFAULTS[kind]]
    default = "; ".join([f"`{key.default}`", *others])
    meaning = key.meaning.replace("|", "\\|")
    return f"| `{key.name}` | {default} | {key.unit} | {meaning} |"


def _either(names: list[str]) -> str:
    """Return names of which one is needed, the first few of many."""
    return " or ".join(f"`{name}`" for name in names[:4]) + (" ..." if len(names) > 4 else "")


def _is_room(name: str) -> bool:
    """Return whether a name of the layers is a folder or a module; ``__init__`` and ``__main__`` are no rooms."""
    return not name.startswith("__") and ((ROOT / name).is_dir() or (ROOT / f"{name}.py").is_file())


def _code(text: str) -> str:
    return textwrap.indent(text, "    ") + "\n"


def _filled(text: str, *, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH + 4, subsequent_indent=indent, break_long_words=False) + "\n"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--write", action="store_true", help="write the parts into the READMEs; else print them")
    if arguments.parse_args().write:
        for readme in READMES:
            readme.write_text(made(readme.read_text()))
    else:
        print("\n".join(f"{name}\n\n{part()}" for name, part in PARTS.items()))
