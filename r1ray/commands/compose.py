"""Overrides to dataclasses: the one place that knows Hydra. Nothing behind it sees a DictConfig.

files of conf/ and --config-dir   recipe=r1, algo=dapo: Hydra puts them together
keys                              algo.group_size=8: each is looked up in the dataclasses, and set
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, overload

from r1ray.commands.default_order import GROUPS, SECTIONS, in_order
from r1ray.commands.hints import no_such_key
from r1ray.commands.quoting import quoted, unquoted
from r1ray.commands.words import Word, parse
from r1ray.config import RunConfig
from r1ray.config.credentials import check_credentials
from r1ray.config.folder import config_folder, names_in, own_folder
from r1ray.config.literal import literal
from r1ray.config.schema import Place, place_below, place_of
from r1ray.errors import UserError
from r1ray.runtime.remote_code import allow

S = TypeVar("S")
MISSING = "???"
"""OmegaConf's sign for a value that is still to be given."""
_stored: dict[tuple[str, type[Any]], Any] = {}
"""Schemas that this process has put into Hydra's store."""
NAMED_BY = {"environment": ("in_environment", "data.environment")}
"""Keys that a name in the place of a section is of: the first that there is counts."""


@overload
def compose(overrides: Sequence[str], *, config_dir: str | None = None) -> RunConfig: ...
@overload
def compose(overrides: Sequence[str], *, schema: type[S], name: str, config_dir: str | None = None) -> S: ...
def compose(
    overrides: Sequence[str], *, schema: type[Any] = RunConfig, name: str = "config", config_dir: str | None = None
) -> Any:
    """Return the configuration of overrides. Raises UserError with the nearest key, the value needed, or both.

    Args:
        schema: the dataclass of the configuration.
        name: of the file in ``conf/`` that it starts from.
        config_dir: a folder of the user's with more files to choose from.
    """
    from omegaconf import OmegaConf, open_dict
    from omegaconf.errors import OmegaConfBaseException

    words = [_with_whole_key(parse(override), schema) for override in overrides]
    groups = GROUPS.get(name, ())
    try:
        own = own_folder(config_dir)
        choices = [word for word in words if _is_choice(word, groups, own)]
        keys = [(word, _place(word, schema, groups)) for word in words if word not in choices]
        composed = _composed(choices, schema, name=name, own=own)
        with open_dict(composed):
            for word, place in keys:
                value = _value(word, place)
                _check_inside(word.key, value, place, schema)
                _apply(composed, word, place, value)
        # Before anything is checked whose message would have the value.
        check_credentials(OmegaConf.to_container(composed, resolve=False))
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        raise UserError(_explain(error, schema)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    assert isinstance(config, schema)
    allow(config.trust_remote_code)
    return config


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return the text of a configuration file."""
    import yaml

    return str(yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True))


def _with_whole_key(word: Word, schema: type[Any]) -> Word:
    """Return a word with its whole key: ``environment=NAME`` is short for ``data.environment=NAME``, of an evaluation
    for ``in_environment=NAME``."""
    if word.text is None or word.text.startswith("{"):
        return word
    key = next((key for key in NAMED_BY.get(word.key, ()) if place_of(schema, key)), word.key)
    return replace(word, key=key)


def _is_choice(word: Word, groups: Sequence[str], own: Path | None) -> bool:
    """Return whether a word chooses a file of a group, or none. Raises UserError for one that is not there."""
    if word.key not in groups:
        return False
    if word.text is None:
        return True
    if word.text.startswith("{") and word.key in SECTIONS:
        return False  # keys of the section of that name
    chosen, names = unquoted(word.text), names_in(word.key, own)
    if chosen in names or (chosen == "null" and word.key != "model"):
        return True
    if word.key == "model":
        return False  # the path of one
    raise UserError(f"{word.key}={chosen}: needs one of {', '.join(names)}.")


def _place(word: Word, schema: type[Any], groups: Sequence[str]) -> Place:
    """Return the place of a word's key. Raises UserError."""
    place = place_of(schema, word.key)
    if place is None:
        raise UserError(no_such_key(word.key, word.text, schema, groups))
    return place


def _composed(choices: Sequence[Word], schema: type[Any], *, name: str, own: Path | None) -> Any:
    """Return the DictConfig of files. Raises UserError."""
    import yaml
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    OmegaConf.register_new_resolver("engines", _engines, replace=True)
    store = ConfigStore.instance()
    _store_schema(store, "schema" if name == "config" else f"{name}_schema", schema)
    chosen = {word.key: None if word.text is None else unquoted(word.text) for word in choices}
    if name == "config":
        name = "config_in_order"
        store.store(name=name, node={"defaults": in_order(chosen, own)})
    overrides = [f"~{group}" if file is None else _for_hydra(group, file) for group, file in chosen.items()]
    if own is not None:
        overrides.append(f"hydra.searchpath=[{quoted(f'file://{own}')}]")
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            return hydra_compose(name, overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, schema)) from error
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise UserError(f"a file of conf/ or --config-dir cannot be read: {' '.join(str(error).split())}.") from error


def _store_schema(store: Any, name: str, schema: type[Any]) -> None:
    """Have Hydra's store hold a schema. To make its nodes takes longer than to copy them, as each reading does."""
    key = f"{name}.yaml"
    if (name, schema) not in _stored or store.repo.get(key) is not _stored[name, schema]:
        store.store(name=name, node=schema)
        _stored[name, schema] = store.repo[key]


def _for_hydra(group: str, file: str) -> str:
    return f"{group}={file if file == 'null' else quoted(file)}"


def _apply(composed: Any, word: Word, place: Place, value: Any) -> None:
    """Set a key, or take it out. Raises UserError."""
    from omegaconf import DictConfig, ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    *above, last = place.names
    node = composed
    for depth, name in enumerate(above):
        if isinstance(node, ListConfig):
            _check_index(node, name, word)
            node = node[int(name)]
            continue
        if OmegaConf.is_missing(node, name) or node.get(name) is None:
            node[name] = {}
        node = node[name]
        if not OmegaConf.is_config(node):
            section = ".".join(place.names[: depth + 1])
            raise UserError(f"{word}: {section}={node} has no keys; needs {section}={{...}}.")
    if word.text is None:
        _take_out(node, last, word)
        return
    if isinstance(node, ListConfig):
        _check_index(node, last, word)
    index = int(last) if isinstance(node, ListConfig) else last
    try:
        if isinstance(value, dict | list) and isinstance(node, DictConfig):
            node.merge_with({index: value})
        else:
            node[index] = value
    except (OmegaConfBaseException, ValueError) as error:
        raise UserError(f"{word}: needs {place.needed}.") from error


def _check_index(items: Any, name: str, word: Word) -> None:
    if int(name) >= len(items):
        raise UserError(f"{word}: the list has {len(items)} items, and the first is 0; needs the whole list.")


def _take_out(node: Any, name: str, word: Word) -> None:
    from omegaconf import OmegaConf

    if OmegaConf.is_list(node) or is_dataclass(OmegaConf.get_type(node)):
        raise UserError(f"{word}: every configuration has this key; needs {word.key}=VALUE.")
    if name not in node:
        raise UserError(f"{word}: is not there; needs one of {', '.join(map(str, node)) or 'nothing'}.")
    del node[name]


def _value(word: Word, place: Place) -> Any:
    """Return the value of a word, as the type of its key wants it. Raises UserError."""
    if word.text is None:
        return None
    is_structure = place.takes_more and word.text.startswith(("{", "["))
    if place.is_text and not is_structure:
        if word.text.lower() == "null" and place.is_optional:
            return None
        text = unquoted(word.text)
        if text == MISSING or (word.text == "null" and place.kind is str):
            raise UserError(f"{word}: needs another text; this one stands for no value.")
        return literal(text)
    value = _parsed(word, place)
    return value if place.is_typed else _converted(value, word, place)


def _parsed(word: Word, place: Place) -> Any:
    """Return what Hydra's grammar makes of a value. Raises UserError."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"key={word.text}")
        if not override.is_sweep_override():
            return override.value()
    except HydraException:
        pass
    quotes = " (texts with other signs than letters, digits and /-+.$%*@_ in quotes, as ['a=b', 'c,d'])"
    raise UserError(f"{word}: cannot be read; needs {place.needed}{'' if place.is_number else quotes}.")


def _check_inside(key: str, value: Any, place: Place, schema: type[Any]) -> None:
    """Look up the keys of an object that is given whole. Raises UserError."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        below = place_below(place, [str(name)])
        if below is not None:
            _check_inside(f"{key}.{name}", inner, below, schema)
        elif place.has_keys:
            raise UserError(no_such_key(f"{key}.{name}", None, schema))


def _converted(value: Any, word: Word, place: Place) -> Any:
    """Return a value of a key whose type the configuration does not know. Raises UserError."""
    from omegaconf import BooleanNode, FloatNode, IntegerNode
    from omegaconf.errors import OmegaConfBaseException

    nodes: dict[Any, Any] = {int: IntegerNode, float: FloatNode, bool: BooleanNode}
    node = nodes.get(place.kind)
    if node is None:
        return value
    try:
        return node(value, is_optional=place.is_optional)
    except OmegaConfBaseException as error:
        raise UserError(f"{word}: needs {place.needed}.") from error


def _engines(num_gpus: int, gpus_per_actor: int | None) -> int:
    """Compute ``${engines:GPUS,EACH}`` of conf/cluster/: how many engines so many GPUs hold, at least one."""
    return max(1, num_gpus // (gpus_per_actor or 1))


def _explain(error: Exception, schema: type[Any]) -> str:
    """Return one sentence for an error of Hydra or OmegaConf about a file."""
    cause = error.__cause__ or error
    text = f"{error}\n{cause}"
    file = re.search(r"In '([^']+)'", text)
    where = f"{file[1]}.yaml: " if file else ""
    key = re.search(r"full_key: (\S+)", text)
    group = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if group:
        return f"{where}{group[1]}={group[2]}: needs one of {', '.join(names_in(group[1]))}, or of --config-dir."
    if key and place_of(schema, key[1]) is None:
        return where + no_such_key(key[1], None, schema)
    value = re.search(r"Value '(.*?)' of type", text, re.DOTALL)
    place = place_of(schema, key[1]) if key else None
    if key and place and value:
        return f"{where}{key[1]}={value[1]}: needs {place.needed}."
    lines = [str(error), *str(cause).splitlines()[:1]] if cause is not error else [str(error)]
    return where + ": ".join(" ".join(line.split()) for line in lines)
