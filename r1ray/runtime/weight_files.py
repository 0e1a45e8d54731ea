"""The weights of a model folder, looked at without reading them: which files there are, their headers, their shapes.

    folder --stored_tensors--> dtype of each tensor, from the safetensors headers
    folder --check_weights--> what transformers would load of it, on the meta device, is the whole model

It takes a tenth of a second for a small model, one for 7B parameters.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.runtime.model_class import auto_class
from r1ray.runtime.remote_code import is_allowed, needs_code, refusal

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth")
LFS = b"version https://git-lfs"
"""First bytes of a file that Git stored elsewhere, and that was not fetched."""
FLOATS = ("F64", "F32", "F16", "BF16")
NAMED = 3
"""Tensors that a message names."""


def check_weights(folder: Path, *, named: str, kind: str = "CausalLM", is_trained: bool = True) -> None:
    """Raise UserError where a folder's files are not the whole model that its config.json describes.

    Args:
        named: what messages call the model, ``model=PATH``.
        kind: the end of the Auto class's name that loads it; empty: its shapes are the engine's affair.
        is_trained: it will be, which quantised weights cannot be.
    """
    for path in sorted(folder.iterdir()):
        if not path.is_file() and not path.is_dir():
            raise UserError(f"{named}: {path.name} is no file, or a link to none; needs the files of a model.")
    config = json.loads((folder / "config.json").read_bytes())
    dtypes = stored_tensors(folder, named=named)
    odd = next((name for name, dtype in dtypes.items() if dtype not in FLOATS), None)
    if config.get("quantization_config"):
        if is_trained:
            raise UserError(f"{named}: its weights are quantised (quantization_config); needs weights to train.")
    elif odd is not None:
        raise UserError(
            f"{named}: {odd} is stored as {dtypes[odd]}, and config.json has no quantization_config; needs weights in "
            f"one of {', '.join(FLOATS)}."
        )
    elif kind:
        _check_shapes(folder, named=named, kind=kind)


def stored_tensors(folder: Path, *, named: str) -> dict[str, str]:
    """Return the dtype of each tensor, of the files that transformers would load. Raises UserError where one of them is
    not there, or not whole."""
    if (folder / SINGLE).exists():
        return dict(_header(folder / SINGLE, named=named))
    if (folder / INDEX).exists():
        return _indexed(folder, named=named)
    if (folder / "adapter_config.json").exists():
        what = "it has an adapter and no weights of a model"
    elif any((folder / name).exists() for name in PICKLES):
        what = "its weights are pickled (.bin), which may run code when read; save them with save_pretrained"
    else:
        what = "it has no weights"
    raise UserError(f"{named}: {what}; needs {SINGLE}, or {INDEX} with its shards.")


def _indexed(folder: Path, *, named: str) -> dict[str, str]:
    try:
        index = json.loads((folder / INDEX).read_bytes())
        _, places = index["metadata"], index["weight_map"]
        shards: dict[str, dict[str, str]] = {shard: {} for shard in places.values()}
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{named}: {INDEX} cannot be read: {error!r}; needs metadata and weight_map.") from error
    for shard in sorted(map(str, shards)):
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise UserError(f"{named}: {INDEX} names {shard}, and the folder has no such file.")
        shards[shard] = dict(_header(folder / shard, named=named))
    for name, shard in places.items():
        if name not in shards[shard]:
            raise UserError(f"{named}: {INDEX} says that {name} is in {shard}, and it is not.")
    return {name: dtype for tensors in shards.values() for name, dtype in tensors.items()}


def _header(file: Path, *, named: str) -> Iterator[tuple[str, str]]:
    """Yield name and dtype of a file's tensors. Raises UserError where its size is not what its header says."""
    from safetensors import SafetensorError, safe_open

    try:
        with file.open("rb") as opened:
            if opened.read(len(LFS)) == LFS:
                raise UserError(f"{named}: {file.name} is a pointer of Git LFS; needs the file: git lfs pull.")
        with safe_open(str(file), framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118
                yield name, tensors.get_slice(name).get_dtype()
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{named}: {file.name} has {file.stat().st_size} bytes and is not whole, or no safetensors file: {error}."
        ) from error


def _check_shapes(folder: Path, *, named: str, kind: str) -> None:
    import transformers

    try:
        with _quiet():
            _, found = auto_class(folder, kind=kind).from_pretrained(
                folder,
                trust_remote_code=is_allowed(),
                device_map="meta",
                dtype="auto",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                generation_config=transformers.GenerationConfig(),  # the folder's own is looked at elsewhere
            )
    except Exception as error:  # what a configuration of odd values comes to in a model's constructor
        if needs_code(error):
            raise UserError(refusal(named)) from error
        raise UserError(f"{named}: transformers cannot build it of its config.json: {flat_text(error)}") from error
    shapes = {f"{name} {_shape(here)} instead of {_shape(there)}" for name, here, there in found["mismatched_keys"]}
    for what, names in (
        ("have in another shape than its config.json", shapes),
        ("lack", found["missing_keys"]),
        ("have, and its config.json does not,", found["unexpected_keys"] if kind == "CausalLM" else ()),
    ):
        if names:
            raise UserError(f"{named}: its weights {what} {_shown(names)}; needs the files of that very model.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from showing how it loads: what is wrong is raised."""
    from transformers.utils import logging

    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()


def flat_text(error: BaseException) -> str:
    """Return an error's text without its line breaks, cut where it is long."""
    return f"{' '.join(str(error).split()) or type(error).__name__:.300}"


def _shown(names: Collection[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(sorted(names)[:NAMED]) + more


def _shape(shape: Any) -> str:
    return "x".join(map(str, shape))
