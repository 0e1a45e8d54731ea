"""Large libraries are imported without garbage collection: a third of the time that importing vLLM takes goes into
collections that find nothing, since modules stay."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.machinery import ModuleSpec
from typing import Any

CHILD = "r1ray.runtime.spawned"


def load(path: str) -> Any:
    """Import ``package.module:Name``, and return what it names."""
    module, _, name = path.partition(":")
    # What is alive after an import is never collected again, so that is for the first time alone.
    with nullcontext() if module in sys.modules else without_collection():
        return getattr(importlib.import_module(module), name)


@contextmanager
def without_collection() -> Iterator[None]:
    """Collect nothing meanwhile; later collections pass over what is there at the end."""
    gc.disable()
    try:
        yield
    finally:
        end_imports()


def end_imports() -> None:
    """Collect again, but for what is there now."""
    gc.freeze()
    gc.enable()


@contextmanager
def children_import_fast() -> Iterator[None]:
    """Have the processes that :mod:`multiprocessing` spawns meanwhile begin with :mod:`r1ray.runtime.spawned` in the
    place of this process's main module. They have to call :func:`end_imports` themselves."""
    main = sys.modules["__main__"]
    before = main.__spec__
    main.__spec__ = ModuleSpec(CHILD, None)
    try:
        yield
    finally:
        main.__spec__ = before
