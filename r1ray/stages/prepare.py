"""The stage that makes a base model and prompts where the user brings none (the quickstart)."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1ray.config import PrepareConfig
from r1ray.errors import UserError
from r1ray.runtime.activity import waiting
from r1ray.runtime.files import digest_of, write_json, written_aside
from r1ray.runtime.folder_lock import locked
from r1ray.stages.base import MANIFEST, Artifact, Context, Input, read_artifact

logger = logging.getLogger(__name__)

WAIT_S = 3600.0
"""For another process that makes the same."""


class Prepare:
    """Calls the configured maker, once for all runs with the same maker, options and seed."""

    name = "prepare"
    needs: tuple[str, ...] = ()
    makes = "base"

    def __init__(self, config: PrepareConfig, *, seed: int) -> None:
        assert config.maker is not None
        self._config, self._seed = config, seed
        module, _, function = config.maker.partition(":")
        try:
            self._module = importlib.util.find_spec(module)
        except (ImportError, ValueError):
            self._module = None
        if self._module is None or not function:
            raise UserError(f"prepare.maker={config.maker}: needs package.module:function of an importable function.")

    def reads(self) -> list[Input]:
        return []

    def settings(self) -> dict[str, Any]:
        return {
            "maker": self._config.maker,
            "options": self._config.options,
            "seed": self._seed,
            "source": self._source_digest(),
        }

    def _source_digest(self) -> str:
        """Of the maker's package: another recipe makes another model."""
        assert self._module is not None and self._module.origin is not None
        files = sorted(Path(self._module.origin).parent.glob("*.py"))
        return digest_of({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files})

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        folder = context.shared_dir / f"base-{digest[:12]}"
        # Two runs of one base model: the second takes what the first makes.
        with locked(folder.with_name(f".making-{folder.name}"), wait_s=WAIT_S):
            return self._made(context, folder, digest)

    def _function(self) -> Callable[..., object]:
        """Return the maker. Raises UserError where its module has none of that name, or it has no such options."""
        module, _, name = str(self._config.maker).partition(":")
        with waiting(f"{module} to be loaded"):
            function = getattr(importlib.import_module(module), name, None)
        if not callable(function):
            raise UserError(f"prepare.maker={self._config.maker}: {module} has no function {name}.")
        try:
            inspect.signature(function).bind(Path(), seed=self._seed, log=logger.info, **self._config.options)
        except TypeError as error:
            raise UserError(f"prepare.options={self._config.options}: {self._config.maker}: {error}.") from error
        found: Callable[..., object] = function
        return found

    def _made(self, context: Context, folder: Path, digest: str) -> Artifact:
        made = read_artifact(folder / MANIFEST, digest)
        if made is not None:
            logger.info(f"stage prepare: using {folder}, made before")
            return made
        assert self._config.maker is not None
        logger.info(f"stage prepare: making {folder}")
        make = self._function()
        start = time.time()
        artifact = Artifact(str(folder), digest)
        with written_aside(folder) as aside:
            aside.mkdir()
            make(aside, seed=self._seed, log=logger.info, **self._config.options)
            write_json(aside / MANIFEST, {"digest": digest, "artifact": asdict(artifact), **self.settings()})
        logger.info(f"stage prepare: done in {time.time() - start:.0f} s")
        return artifact
