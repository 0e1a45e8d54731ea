"""From the store to a folder: the files of a manifest, each checked against its size and checksum."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from r1ray.errors import UserError
from r1ray.mirror.manifest import Entry, Manifest, Part
from r1ray.mirror.scan import is_in_unit, scan
from r1ray.mirror.store import Store
from r1ray.runtime.files import written_aside

AT_A_TIME = 4
BLOCK = 1 << 20
NAMES_PATHS = ("manifest.json", "config.yaml", "lineage.json", "status.json")
"""Files with absolute paths of the run folder in them."""


class ObjectMissing(UserError):
    """An object that a manifest names is not there."""


def copy_down(
    store: Store,
    manifest: Manifest,
    folder: Path,
    *,
    with_units: bool = True,
    told: Callable[[int], None] = lambda _: None,
) -> int:
    """Make a folder what a manifest says, and return how many files were fetched for it. A file that is there already
    with the same content stays; files that the manifest does not name are removed.

    Args:
        with_units: with checkpoints and models; else those stay as they are.
        told: called with the bytes of each object that has come.

    Raises:
        UserError: an object is not what the manifest says, or the disk is full.
        StoreFailed: the store does not answer.
    """
    files = {path: entry for path, entry in manifest.files.items() if with_units or not is_in_unit(path)}
    for path, found in scan(folder, with_units=with_units).items():
        entry = files.get(path)
        if entry is None or entry.num_bytes != found.num_bytes:
            (folder / path).unlink(missing_ok=True)
    wanted = [(path, entry) for path, entry in files.items() if not _has(folder / path, entry)]
    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="fetch") as threads:
        fetching = [threads.submit(_fetch, store, manifest, path, entry, folder, told) for path, entry in wanted]
        try:
            for future in fetching:
                future.result()
        except BaseException:
            for future in fetching:
                future.cancel()
            raise
    if Path(manifest.folder) != folder:
        _rename_in_files(manifest, files, folder)
    return len(wanted)


def _fetch(
    store: Store, manifest: Manifest, path: str, entry: Entry, folder: Path, told: Callable[[int], None]
) -> None:
    try:
        with written_aside(folder / path) as aside:
            with aside.open("wb") as file:
                for part in entry.parts:
                    file.write(_content(store, manifest, part))
                    told(part.num_bytes)
            os.utime(aside, ns=(entry.mtime_ns, entry.mtime_ns))
    except OSError as error:
        raise UserError(f"{folder / path}: cannot be written: {error.strerror or error}.") from error


def _content(store: Store, manifest: Manifest, part: Part) -> bytes:
    """Return an object that is what the manifest says. Raises UserError."""
    found = store.get(part.key)
    needs = f"{manifest.key} needs {part.num_bytes} bytes with the SHA-256 {part.sha256}"
    if found is None:
        raise ObjectMissing(f"{store.address}/{part.key} is missing: {needs}. {_way_out(manifest)}")
    content = found[0]
    if len(content) != part.num_bytes:
        raise UserError(f"{store.address}/{part.key} has {len(content)} bytes: {needs}. {_way_out(manifest)}")
    if (sha256 := hashlib.sha256(content).hexdigest()) != part.sha256:
        raise UserError(f"{store.address}/{part.key} has the SHA-256 {sha256}: {needs}. {_way_out(manifest)}")
    return content


def _way_out(manifest: Manifest) -> str:
    return f"Remove {manifest.key} there, and the run goes on from the manifest before it."


def _has(path: Path, entry: Entry) -> bool:
    """Tell if a file has the content of an entry."""
    if not path.is_file() or path.stat().st_size != entry.num_bytes:
        return False
    with path.open("rb") as file:
        return all(digest == part.sha256 for part, digest in zip(entry.parts, _digests(file, entry), strict=True))


def _digests(file: BinaryIO, entry: Entry) -> Iterator[str]:
    for part in entry.parts:
        digest, left = hashlib.sha256(), part.num_bytes
        while left and (block := file.read(min(left, BLOCK))):
            digest.update(block)
            left -= len(block)
        yield digest.hexdigest()


def _rename_in_files(manifest: Manifest, files: Iterable[str], folder: Path) -> None:
    """Have what names the folder that the run was in name this one."""
    now_by_before = {
        json.dumps(manifest.folder, ensure_ascii=in_ascii)[1:-1]: json.dumps(str(folder), ensure_ascii=in_ascii)[1:-1]
        for in_ascii in (True, False)
    }
    for path in files:
        if Path(path).name not in NAMES_PATHS or is_in_unit(path):
            continue
        text = found = (folder / path).read_text(encoding="utf-8")
        for before, now in now_by_before.items():
            text = re.sub(rf"{re.escape(before)}(?![^/\"'\s])", lambda _, now=now: now, text)  # type: ignore[misc]
        if text != found:
            with written_aside(folder / path) as aside:
                aside.write_text(text, encoding="utf-8")
