"""Writer of a checkpoint's files while training continues.

    write(value) --copy to host memory--> queue --one thread--> files        is_done() tells when, and raises failures

DeepSpeed 0.19.8 has asynchronous checkpoint engines of its own. On a machine with CPUs, `fast` and `decoupled` fail
at the start: they need CROSS_SIZE in the environment, then an accelerator, and under ZeRO 0 to 2 they fail on an
attribute that does not exist. Under ZeRO 3 with the `python` writer, they cannot load their own files (torch.load with
weights_only). `datastates` needs a package that PyPI does not have. The decoupled engine also hands live tensors to
another process and delays the next update until they are written, whereas a copy lets training continue.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from deepspeed.runtime.checkpoint_engine import TorchCheckpointEngine


class StateWriter:
    """A thread of a rank that writes files. torch and safetensors release Python's global lock while they write."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: list[Future[None]] = []

    def write(self, value: Any, path: Path) -> None:
        """Copy ``value`` now, write it later; see :func:`write_state`."""
        snapshot = on_host(value)
        self.run(lambda: write_state(snapshot, path))

    def run(self, action: Callable[[], None]) -> None:
        """Run an action later, after everything handed over before."""
        self._pending.append(self._thread.submit(action))

    def is_done(self) -> bool:
        """Return whether everything handed over is written. Raises the error of a failed write, once."""
        done = [future for future in self._pending if future.done()]  # asked once: one may end between two calls
        self._pending = [future for future in self._pending if future not in done]
        for future in done:
            future.result()
        return not self._pending

    def wait(self) -> None:
        """Return when everything is written. Raises the error of a failed write, once."""
        pending, self._pending = self._pending, []
        for future in pending:
            future.result()

    def for_deepspeed(self) -> Any:
        """Return the checkpoint engine through which DeepSpeed saves its files."""
        return _Through(self)


class _Through(TorchCheckpointEngine):
    def __init__(self, writer: StateWriter) -> None:
        super().__init__()
        self._writer = writer

    def save(self, state_dict: Any, path: str) -> None:
        self._writer.write(state_dict, Path(path))


def write_state(value: Any, path: Path) -> None:
    """Write text as it is, anything else with ``torch.save``."""
    if isinstance(value, str):
        path.write_text(value)
    else:
        torch.save(value, path)


def on_host(value: Any) -> Any:
    """Copy nested state so that no later update changes it, with every tensor in host memory. Identical tensors (tied
    weights) stay identical, and a view is copied without the rest of its storage."""
    return _copied(value, {})


def _copied(value: Any, seen: dict[Any, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        key = (value.device, value.data_ptr(), value.dtype, value.shape, value.stride())
        if key not in seen or not value.numel():
            seen[key] = value.detach().to("cpu", copy=True)
        return seen[key]
    if isinstance(value, dict):
        made = copy.copy(value)  # keeps the attributes of a state dict
        made.update((key, _copied(entry, seen)) for key, entry in value.items())
        return made
    if type(value) in (list, tuple):
        return type(value)(_copied(entry, seen) for entry in value)
    return copy.deepcopy(value)
