"""The newest state of a run in an object store, copied down to be looked at."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from r1ray.config.values import check_store, is_address
from r1ray.errors import UserError
from r1ray.mirror.address import default_scratch, local_folder
from r1ray.mirror.downward import ObjectMissing, copy_down
from r1ray.mirror.lease import holder_of
from r1ray.mirror.manifest import Manifest, newest
from r1ray.mirror.store import Store
from r1ray.runtime.folder_lock import locked

logger = logging.getLogger(__name__)
VIEWS = "views"
"""The folder of copies that no run works in."""
TRIES = 3
LOCK_S = 600.0


def is_stored(run_dir: str) -> bool:
    """Tell if what was given as a run's folder is an address."""
    return is_address(run_dir)


def folder_of(run_dir: str, *, with_units: bool) -> str:
    """Return what was given as a run's folder, or, where that is an address, the folder of a copy of its newest state.
    What the copy has from the last time is not fetched again.

    Args:
        with_units: with checkpoints and models.

    Raises:
        UserError: there is no run.
        StoreFailed: the store does not answer.
    """
    if not is_address(run_dir):
        return run_dir
    try:
        check_store("RUN_DIR", run_dir)
    except ValueError as error:
        raise UserError(str(error)) from error
    store, folder = Store(run_dir.rstrip("/")), local_folder(run_dir, str(default_scratch() / VIEWS))
    with locked(folder, key="TMPDIR", wait_s=LOCK_S):
        manifest = _copied(store, folder, with_units=with_units)
    last = max((entry.mtime_ns for entry in manifest.files.values()), default=0) / 1e9
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(last))
    logger.info(f"{store.address}: its state of {when}, in {folder}; {holder_of(store)}")
    return str(folder)


def _copied(store: Store, folder: Path, *, with_units: bool) -> Manifest:
    """Copy the newest state; another one where objects were removed meanwhile, because a run goes on."""
    for tries_left in reversed(range(TRIES)):
        manifest = newest(store)
        if manifest is None:
            raise UserError(f"{store.address}: no run is there; needs OUTPUT_DIR/NAME of one.")
        try:
            copy_down(store, manifest, folder, with_units=with_units)
        except ObjectMissing:
            again = newest(store)
            if not tries_left or again is None or again.number == manifest.number:
                raise
            continue
        return manifest
    raise AssertionError("unreachable")
