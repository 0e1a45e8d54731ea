"""Parameters on disk, one file for each rank's part; files are linked instead of written again.

    part of every parameter --this rank--> name-<rank>-of-<ranks>.safetensors --any number of ranks--> their parts

Parameters that are not divided are one part, which rank 0 writes. Nothing is gathered.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from r1ray.errors import InfrastructureError


def num_parts(module: torch.nn.Module, *, world_size: int) -> int:
    """Count the parts into which the parameters of a module are divided."""
    return world_size if any(hasattr(p, "ds_id") for p in module.parameters()) else 1


def part_file(folder: Path, name: str, *, part: int, parts: int) -> Path:
    """Return the path of a part."""
    return folder / f"{name}-{part}-of-{parts}.safetensors"


def own_parts(module: torch.nn.Module, *, rank: int) -> dict[str, torch.Tensor]:
    """Copy this rank's part of each parameter to host memory, flat and without padding, and the buffers of the module's
    state (biases of routers), whole."""
    found = {}
    for name, parameter in module.named_parameters():
        own, start, stop = _own(parameter, rank=rank)
        found[name] = own[: stop - start].to("cpu", copy=True)
    return found | {name: buffer.to("cpu", copy=True) for name, buffer in _buffers(module).items()}


def load_parts(module: torch.nn.Module, folder: Path, name: str, *, rank: int) -> None:
    """Load this rank's part of each parameter, and buffers, from the files of any number of ranks. Only for modules
    that no optimizer trains, because master weights are not updated."""
    count = len(list(folder.glob(f"{name}-*-of-*.safetensors")))
    paths = [part_file(folder, name, part=part, parts=count) for part in range(count)]
    if not count or not all(path.is_file() for path in paths):
        raise InfrastructureError(f"{folder} has {count} files {name}-PART-of-PARTS.safetensors, and not all parts")
    with ExitStack() as opened, torch.no_grad():
        files = [opened.enter_context(safe_open(path, framework="pt")) for path in paths]
        for key, parameter in module.named_parameters():
            if hasattr(parameter, "ds_id"):
                parameter.partition()  # type: ignore[attr-defined]  # DeepSpeed keeps small ones whole, too
            own, start, stop = _own(parameter, rank=rank)
            size = -(-_numel(parameter) // count)
            for part in range(start // size, -(-stop // size)):
                low, high = max(start, part * size), min(stop, (part + 1) * size)
                read = files[part].get_slice(key)[low - part * size : high - part * size]
                own[low - start : high - start].copy_(read)
        saved = set(files[0].keys())
        for key, buffer in _buffers(module).items():
            if key in saved:  # older checkpoints have none
                buffer.copy_(files[0].get_tensor(key))


def _buffers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = module.state_dict(keep_vars=True)
    return {name: buffer for name, buffer in module.named_buffers() if name in state}


def _own(parameter: torch.nn.Parameter, *, rank: int) -> tuple[torch.Tensor, int, int]:
    """Return a rank's part of a parameter, flat, and the range of elements that it holds; padding follows them."""
    if not hasattr(parameter, "ds_id"):
        return parameter.data.view(-1), 0, parameter.numel()
    own: torch.Tensor = parameter.ds_tensor  # type: ignore[attr-defined]
    start = min(rank * own.numel(), _numel(parameter))
    return own, start, min(start + own.numel(), _numel(parameter))


def _numel(parameter: torch.nn.Parameter) -> int:
    return int(getattr(parameter, "ds_numel", parameter.numel()))


class Stored:
    """Tensors that are written to a file once, and then linked into further folders."""

    def __init__(self) -> None:
        self._descriptor: int | None = None

    def __del__(self) -> None:
        self._close()

    @property
    def is_written(self) -> bool:
        """Return whether the file exists."""
        return self._descriptor is not None

    def write(self, values: Mapping[str, torch.Tensor], path: Path) -> None:
        """Write the file."""
        save_file(dict(values), path)
        self.found(path)

    def found(self, path: Path) -> None:
        """Use an existing file with these tensors. It may be moved or removed later."""
        self._close()
        self._descriptor = os.open(path, os.O_RDONLY)

    def put(self, path: Path) -> None:
        """Make the file available at ``path``, too: as a hard link if the file system supports it, otherwise as a
        copy."""
        assert self._descriptor is not None
        try:
            os.link(os.readlink(f"/proc/self/fd/{self._descriptor}"), path)
        except OSError:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            with os.fdopen(os.dup(self._descriptor), "rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
        self.found(path)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
