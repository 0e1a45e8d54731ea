"""Files of a data set on the hub by config and split, according to its card or else to the names of the files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from r1ray.data.splits import NAMES, matches, of_split, split_of
from r1ray.errors import UserError

Card: TypeAlias = Mapping[str, Any]
FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
"""The YAML at the beginning of a README.md."""
NO_DATA = ("README.md", "LICENSE")


def card_of(readme: str) -> Card:
    """Return the content of the YAML of a README.md; empty if there is none.

    >>> card_of("---\\nlicense: mit\\n---\\n# Sums")
    {'license': 'mit'}
    """
    import yaml

    found = FRONT.match(readme)
    try:
        card = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError:
        card = {}
    return card if isinstance(card, Mapping) else {}


def files_of_part(card: Card, listing: Sequence[str], *, config: str | None, split: str, named: str) -> list[str]:
    """Return the files of a config (None: the default one) and a split, in order.

    Args:
        listing: paths of all files of the set.
        named: name of the part in messages.

    Raises:
        UserError: there is no such config or split.
    """
    data = sorted(path for path in listing if _is_data(path))
    configs = {str(each["config_name"]): each for each in card.get("configs") or () if _is_config(each)}
    if configs:
        entry = configs[_config_of(configs, config, named)]
        found, there = _of_entry(entry, data, split)
    else:
        inside = data if config in (None, "default") else [path for path in data if path.startswith(f"{config}/")]
        if not inside:
            raise UserError(f"{named}: the data set has no config {config}; its card names none, and no folder.")
        found, there = of_split(inside, split), _splits_of(inside)
    if not found:
        known = f"there are {', '.join(there)}" if there else "no file's name says of which split it is"
        raise UserError(f"{named}: the data set has no files of the split {split}; {known}.")
    return found


def _is_data(path: str) -> bool:
    parts = path.split("/")
    return not any(part.startswith((".", "_")) for part in parts) and parts[-1] not in NO_DATA


def _is_config(value: Any) -> bool:
    return isinstance(value, Mapping) and "config_name" in value


def _config_of(configs: Mapping[str, Card], config: str | None, named: str) -> str:
    """Return the name of a config, or of the default one. Raises UserError."""
    if config is not None:
        if config not in configs:
            raise UserError(f"{named}: the data set has no config {config}; needs one of {', '.join(configs)}.")
        return config
    marked = [name for name, each in configs.items() if each.get("default") is True or name == "default"]
    if not marked and len(configs) > 1:
        raise UserError(f"{named}: the data set has several configs; needs one of {', '.join(configs)}.")
    return next(iter([*marked, *configs]))


def _of_entry(entry: Card, data: Sequence[str], split: str) -> tuple[list[str], list[str]]:
    """Return the files of a split in a config of the card, and the splits of that config."""
    folder = str(entry.get("data_dir") or "").strip("./")
    prefix = f"{folder}/" if folder else ""
    inside = [path for path in data if path.startswith(prefix)]
    if "data_files" not in entry:
        return of_split(inside, split), _splits_of(inside)
    globs = dict(_globs(entry["data_files"]))
    words = next((names for names in NAMES.values() if split in names), ())  # the card may say dev, and the user val
    known = next((each for each in (split, *words) if each in globs), None)
    wanted = [prefix + each.removeprefix("./") for each in globs.get(str(known), ())]
    return [path for path in inside if any(matches(path, each) for each in wanted)], sorted(globs)


def _splits_of(paths: Sequence[str]) -> list[str]:
    return sorted({split for path in paths if (split := split_of(path)) is not None})


def _globs(data_files: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield each split with its globs. A glob or a list of globs without a split belongs to train."""
    if isinstance(data_files, str):
        yield "train", [data_files]
    elif isinstance(data_files, Mapping):
        yield from ((str(split), _listed(paths)) for split, paths in data_files.items())
    elif isinstance(data_files, list) and all(isinstance(each, str) for each in data_files):
        yield "train", data_files
    elif isinstance(data_files, list):
        found: dict[str, list[str]] = {}
        for each in data_files:
            if isinstance(each, Mapping) and "path" in each:
                found.setdefault(str(each.get("split", "train")), []).extend(_listed(each["path"]))
        yield from found.items()


def _listed(paths: Any) -> list[str]:
    return [str(path) for path in paths] if isinstance(paths, list) else [str(paths)]
