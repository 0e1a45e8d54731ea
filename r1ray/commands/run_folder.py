"""The folder of a run: its name is a function of the configuration, and it belongs to one configuration."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path

from r1ray.commands.compose import to_yaml
from r1ray.config import RunConfig, decisive, without_defaults
from r1ray.config.values import check_store, is_address
from r1ray.errors import R1RayError, UserError
from r1ray.mirror.address import local_folder
from r1ray.runtime.disk import why_not
from r1ray.runtime.files import digest_of, written_aside
from r1ray.runtime.folder_lock import locked
from r1ray.runtime.run_files import ARTIFACTS, holds_work
from r1ray.runtime.user_paths import CANNOT_WRITE, path_of

CONFIG = "config.yaml"


def default_name(config: RunConfig) -> str:
    """Return ``<experiment>-seed<seed>-<digest>``, so that the same command finds its own run again."""
    return f"{config.experiment or config.recipe}-seed{config.seed}-{digest_of(without_defaults(decisive(config)))[:6]}"


def run_folder(config: RunConfig) -> Path:
    """Return the folder of a run, below ``output_dir``."""
    return output_folder(config.output_dir) / (config.name or default_name(config))


def on_disk(config: RunConfig) -> RunConfig:
    """Return the configuration with the folder of this machine that stands for ``output_dir``, if that is an address.
    Raises UserError."""
    if not is_address(config.output_dir):
        return config
    folder = local_folder(config.output_dir, config.cluster.scratch_dir)
    return replace(config, output_dir=str(folder))


def address_of(config: RunConfig, folder: Path) -> str | None:
    """Return the address that a run's folder is copied to; None if ``output_dir`` is a path. Raises UserError for a
    name that can be no part of one."""
    if not is_address(config.output_dir):
        return None
    address = f"{config.output_dir.rstrip('/')}/{folder.name}"
    try:
        check_store("name", address)
    except ValueError as error:
        raise UserError(str(error)) from error
    return address


def shared_folder(run_dir: Path, address: str | None) -> Path:
    """Return the folder for artifacts of several runs. A run that is copied has its own, for it has to find them on
    another node."""
    return (run_dir if address else run_dir.parent) / ARTIFACTS


def output_folder(output_dir: str) -> Path:
    """Return the absolute path of ``output_dir``, which may not be there yet. Raises UserError."""
    path = path_of(output_dir, key="output_dir")
    if path.exists() and not path.is_dir():
        raise UserError(f"output_dir={output_dir}: is no folder; needs one, or the path of one to be made.")
    return path


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Hold a run's folder against other processes. If the block is refused (UserError) before anything was made, the
    folder and the parents that were made for it are removed, so that the corrected command finds its name free."""
    with removed_if_refused(folder) as remove, locked(folder):
        try:
            with _said_if_full(folder):
                yield
        except UserError:
            remove()  # here, where no other process works in it
            raise


@contextmanager
def removed_if_refused(folder: Path) -> Iterator[Callable[[], None]]:
    """Remove the parents of a folder that were made in the block, where it is refused (UserError) and they are empty.
    Yields what removes the folder too, if it was made in the block and nothing but notes is in it."""
    absent = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]

    def remove() -> None:
        if absent and not holds_work(folder):
            shutil.rmtree(folder, ignore_errors=True)

    try:
        yield remove
    except UserError:
        with suppress(OSError):  # another process works there
            for each in absent:
                if each.exists():
                    each.rmdir()
        raise


@contextmanager
def _said_if_full(folder: Path) -> Iterator[None]:
    """Raise UserError where nothing can be written from the start, R1RayError where a run has come that far."""
    try:
        yield
    except R1RayError:
        raise
    except Exception as error:  # an actor's, and torch's, are no OSErrors
        fault = error if isinstance(error, OSError) and error.errno in CANNOT_WRITE else why_not(folder)
        if fault is None:
            raise
        said = f"output_dir: {folder}: cannot be written: {fault.strerror or fault}."
        if holds_work(folder):
            raise R1RayError(f"{said} The same command goes on from the last checkpoint.") from error
        raise UserError(said) from error


def claim_run_folder(folder: Path, config: RunConfig) -> Path:
    """Create the folder with its config.yaml, or check that what was made in it is of this configuration. Raises
    UserError."""
    saved = folder / CONFIG
    if saved.exists() and holds_work(folder):
        from r1ray.stages.resuming import check_changes, read_settings

        check_changes(folder, read_settings(saved), asdict(config), named=f"name={folder.name}")
    else:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"output_dir={config.output_dir}: {folder} cannot be made: {error}.") from error
    with written_aside(saved) as aside:  # again: the number of ranks and actors may have changed
        aside.write_text(to_yaml(asdict(config)), encoding="utf-8")
    return folder
