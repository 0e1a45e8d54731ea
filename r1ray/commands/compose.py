"""Overrides to dataclasses: the one place that knows Hydra. Nothing behind it sees a DictConfig."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, overload

from r1ray.config import RunConfig
from r1ray.config.folder import config_folder
from r1ray.config.renamed import new_name
from r1ray.errors import UserError

S = TypeVar("S")
GROUPS = ("recipe", "algo", "reward", "experiment", "model", "cluster")
OPEN_KEYS = re.compile(
    r"(graph|artifacts|students)\.|graph=|[\w.]+\.(resources|labels|engine_args|deepspeed)[.=]|collect\.sources\."
)
"""Sections whose keys are names that the user chose."""


@overload
def compose(overrides: Sequence[str]) -> RunConfig: ...
@overload
def compose(overrides: Sequence[str], *, schema: type[S], name: str) -> S: ...
def compose(overrides: Sequence[str], *, schema: type[Any] = RunConfig, name: str = "config") -> Any:
    """Return the configuration of Hydra overrides. Raises UserError with the nearest key, the value needed, or both.

    Args:
        schema: the dataclass of the configuration.
        name: of the file in ``conf/`` that it starts from.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _refuse_renamed(overrides)
    OmegaConf.register_new_resolver("engines", _engines, replace=True)
    ConfigStore.instance().store(name="schema" if name == "config" else f"{name}_schema", node=schema)
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            own, model = _split_model([added(override) for override in overrides], schema, has_group=name == "config")
            composed = hydra_compose(name, own)
        if model:
            OmegaConf.update(composed, "model", model[-1])
        config = OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, schema)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    assert isinstance(config, schema)
    return config


def added(override: str) -> str:
    """Return an override of what has no fixed keys as Hydra wants it, ``++graph.NAME.KEY=VALUE``; others unchanged."""
    return f"++{override}" if OPEN_KEYS.match(override) else override


def known_keys(schema: type[Any]) -> list[str]:
    """Return every dotted key of a configuration."""
    from omegaconf import OmegaConf

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key in node:
            name = f"{prefix}{key}"
            yield name
            if OmegaConf.is_dict(OmegaConf.select(node, str(key), throw_on_missing=False)):
                yield from walk(node[key], f"{name}.")

    return list(walk(OmegaConf.structured(schema, flags={"allow_objects": True}), ""))


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return the text of a configuration file."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the contents of a file of :func:`to_yaml`."""
    from omegaconf import OmegaConf

    values = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _refuse_renamed(overrides: Sequence[str]) -> None:
    """Raise UserError for an old name. Before Hydra, which lets ``+`` add keys that do not exist."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if renamed := new_name(key):
            raise UserError(f"{key}: is called {renamed} now.")


def _split_model(overrides: Sequence[str], schema: type[Any], *, has_group: bool) -> tuple[list[str], list[Any]]:
    """Split overrides into those for Hydra and the values of ``model=PATH``: conf/model/ makes a config group of the
    name, and Hydra would take every value for a file in it."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    if "model" not in {field.name for field in fields(schema)}:
        return list(overrides), []
    own: list[str] = []
    values: list[Any] = []
    for override in overrides:
        key, is_set, text = override.partition("=")
        if key.lstrip("+") != "model" or not is_set:
            own.append(override)
        elif has_group and (config_folder() / "model" / f"{text}.yaml").is_file():
            own.append(f"model={text}")
        else:
            values.append(OverridesParser.create().parse_override(override).value())
    return own, values


def _engines(num_gpus: int, gpus_per_actor: int | None) -> int:
    """Compute ``${engines:GPUS,EACH}`` of conf/cluster/: how many engines so many GPUs hold, at least one."""
    return max(1, num_gpus // (gpus_per_actor or 1))


def _explain(error: Exception, schema: type[Any]) -> str:
    """Return one sentence for an error of Hydra or OmegaConf."""
    cause = error.__cause__ or error
    text = f"{error}\n{cause}"
    unknown = re.search(r"Could not override '([^']+)'", text)
    invalid = re.search(r"(Value .+)\n\s+full_key: (\S+)", text)
    group = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if invalid:
        return f"{invalid[2]}: {invalid[1].rstrip('.')}."
    if group:
        options = re.search(r"Available options in '\w+':\n((?:\s+\S+\n?)+)", text)
        known = ", ".join(options[1].split()) if options else "one of conf/" + group[1]
        return f"{group[1]}={group[2]}: needs one of {known}."
    if unknown:
        near = difflib.get_close_matches(unknown[1], [*GROUPS, *known_keys(schema)], n=1, cutoff=0.0)
        return f"{unknown[1]}: no such key; the nearest is {near[0]}."
    lines = [str(error), *str(cause).splitlines()[:1]] if cause is not error else [str(error)]
    return ": ".join(" ".join(line.split()) for line in lines)
