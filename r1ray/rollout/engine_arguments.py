"""The arguments that vLLM has for ``rollout.engine_args``, read from its source: importing vLLM takes many seconds."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r1ray.config import RolloutConfig
from r1ray.errors import UserError

CLASSES = ("EngineArgs", "AsyncEngineArgs")
KINDS: Mapping[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "str": (str,),
    "None": (type(None),),
}
WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text", "None": "null"}


def check_engine_args(config: RolloutConfig) -> None:
    """Raise UserError for an argument that vLLM does not have, or whose value is of another type. Where vLLM is not
    installed, nothing is known and nothing is refused."""
    known = known_arguments() if config.engine_args else {}
    for name, value in config.engine_args.items() if known else ():
        key = f"{config.section}.engine_args.{name}"
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise UserError(f"{key}: vLLM has no such argument; the nearest is {near[0]}.")
        kinds = known[name]
        if kinds and not any(_is_of(value, kind) for kind in kinds):
            needed = " or ".join(WORDS[kind] for kind in kinds)
            raise UserError(f"{key}={value}: needs {needed}.")


@functools.cache
def known_arguments() -> dict[str, tuple[str, ...]]:
    """Return vLLM's arguments with the simple types that each takes; () for one that takes others too."""
    found = importlib.util.find_spec("vllm")
    source = Path(found.origin).parent / "engine" / "arg_utils.py" if found and found.origin else None
    if source is None or not source.is_file():
        return {}
    classes = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.ClassDef)]
    return dict(argument for each in classes if each.name in CLASSES for argument in _arguments(each))


def _arguments(node: ast.ClassDef) -> Iterator[tuple[str, tuple[str, ...]]]:
    for each in node.body:
        if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
            continue
        if not each.target.id.startswith("_"):
            names = [name.strip() for name in ast.unparse(each.annotation).split("|")]
            yield each.target.id, tuple(names) if all(name in KINDS for name in names) else ()


def _is_of(value: Any, kind: str) -> bool:
    return isinstance(value, KINDS[kind]) and (kind == "bool" or not isinstance(value, bool))
