"""The architectures that vLLM serves, read from its source: importing vLLM takes many seconds."""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

from r1ray.errors import UserError
from r1ray.runtime.remote_code import is_allowed

TEXT, IMAGES = "_TEXT_GENERATION_MODELS", "_MULTIMODAL_MODELS"
"""Dictionaries by the name of an architecture in vLLM's registry."""


def check_served(model: str, *, key: str = "model") -> None:
    """Raise UserError for a model that vLLM cannot serve, neither by a class of its own nor by running that of
    transformers. Where vLLM is not installed, nothing is known and nothing is refused.

    Args:
        model: a folder, or a hub name.
        key: what messages call the model.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(model, trust_remote_code=is_allowed())
    names, known = list(config.architectures or ()), served(TEXT) | served(IMAGES)
    if served(IMAGES).intersection(names) and importlib.util.find_spec("torchvision") is None:
        raise UserError(
            f"{key}={model}: vLLM's {names[0]} imports torchvision, also to serve its language model alone, and it is "
            "not installed; needs the torchvision that belongs to the installed torch."
        )
    if not known or any(name in known for name in names):
        return
    classes = [getattr(transformers, name, None) for name in names]
    if is_allowed() or any(each is not None and each._supports_attention_backend for each in classes):
        return
    raise UserError(
        f"{key}={model}: vLLM does not serve {', '.join(names)}, and cannot run it by transformers; needs a model of "
        "an architecture that it serves. (recipe=sft trains this one: it samples nothing.)"
    )


def reads_images(model: str) -> bool:
    """Say whether vLLM serves a model by a class that reads images, or other things that are not text."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, trust_remote_code=is_allowed())
    return bool(served(IMAGES).intersection(config.architectures or ()))


@functools.cache
def served(table: str) -> frozenset[str]:
    """Return the architectures that vLLM has classes for, of one table; none where it is not installed."""
    found = importlib.util.find_spec("vllm")
    folder = Path(found.origin).parent / "model_executor" / "models" if found and found.origin else None
    if folder is None or not (folder / "registry.py").is_file():
        return frozenset()
    body = ast.parse((folder / "registry.py").read_text(encoding="utf-8")).body
    tables = [
        node.value
        for node in body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(node.value, ast.Dict)
        and any(isinstance(target, ast.Name) and target.id == table for target in _targets(node))
    ]
    return frozenset(str(key.value) for table in tables for key in table.keys if isinstance(key, ast.Constant))


def _targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else [node.target]
