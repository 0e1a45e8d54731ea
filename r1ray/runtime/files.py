"""Files and folders that are whole when they exist, and digests that tell one version of a file from another.

    with written_aside(folder / "model") as aside:   # folder/.writing-model.4711@host
        save(aside)                                  # a crash here leaves the old folder/model
    # contents on disk, then renamed, then the rename on disk

A process that is killed leaves its ``.writing-*`` behind; whoever writes the same target next removes it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from r1ray.errors import UserError

ASIDE, REMOVING = ".writing-", ".removing-"
_WRITER = re.compile(r"(\d+)@(.+)")
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of file systems that cannot sync a folder: object stores mounted as folders."""


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path beside ``path`` at which the block writes a file or makes a folder. When the block ends it takes
    the place of ``path``, see :func:`put_in_place`; when it raises it is removed, and ``path`` stays as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    aside = path.with_name(f"{ASIDE}{path.name}.{os.getpid()}@{socket.gethostname()}")
    try:
        yield aside
        _sync(aside)
    except BaseException:
        _remove(aside)
        raise
    _rename(aside, path)


def put_in_place(aside: Path, path: Path) -> None:
    """Rename ``aside``, a file or a folder beside ``path``, to ``path``: first its contents are on disk, and when this
    returns the rename is.

    A file is replaced at once. A folder that was at ``path`` is renamed first, so that no half of it ever has its name;
    for that instant there is none.
    """
    _sync(aside)
    _rename(aside, path)


def _rename(aside: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        going = move_away(path)
        aside.rename(path)
        shutil.rmtree(going, ignore_errors=True)
    else:
        aside.replace(path)
    _sync_folder(path.parent)


def _sync(path: Path) -> None:
    """Have a file, or everything in a folder, on disk."""
    if not path.is_dir():
        _sync_file(path)
        return
    for folder, _, names in os.walk(path):
        for name in names:
            _sync_file(Path(folder) / name)
        _sync_folder(Path(folder))


def move_away(folder: Path) -> Path:
    """Rename a folder to ``.removing-<name>``, so that it can be removed while no half of it has its name; return the
    new path."""
    going = folder.with_name(f"{REMOVING}{folder.name}")
    shutil.rmtree(going, ignore_errors=True)
    return folder.rename(going)


def _remove_leftovers(path: Path) -> None:
    """Remove what writers of ``path`` left that are gone: processes of this machine that ended. Those of other machines
    may still write."""
    prefix, host = f"{ASIDE}{path.name}.", socket.gethostname()
    for name in os.listdir(path.parent):
        writer = _WRITER.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if writer is not None and writer[2] == host and not _is_another_alive(int(writer[1])):
            _remove(path.with_name(name))


def _is_another_alive(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a file as UTF-8 aside, then rename it."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON aside, then rename it; what JSON does not know is written as its string."""
    write_text(path, json.dumps(value, indent=2, default=str) + "\n")


def read_object(path: Path, *, way_out: str) -> dict[str, Any]:
    """Return the JSON object in a file. Raises UserError, which names the way out, where there is no whole one.

    Args:
        way_out: a sentence without its full stop.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        what = "is empty" if not path.stat().st_size else f"is torn: {error}"
        raise UserError(f"{path}: {what}. {way_out}.") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: is {text[:40].strip()}, needs an object. {way_out}.")
    return found


def whole_objects(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines. A torn line, or one that is no object, is passed over."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def digest_of(value: Any) -> str:
    """SHA-256 of the value as canonical JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def files_of(path: str) -> dict[str, list[int]]:
    """Return size and time of change of each file at a local path, which tell one version of an input from another
    without reading it. Empty for hub names and remote paths."""
    root = Path(path).expanduser()
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else []
    return {str(file): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}


def content_digest(path: str, memo: Path) -> str:
    """SHA-256 of names and contents of the files at a local path, hidden ones left out. The digest of a file that was
    read once is kept in ``memo`` by size and time of change: a model's weights take minutes to read."""
    root = Path(path).expanduser().resolve()
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    try:
        known = json.loads(memo.read_text())
    except (OSError, ValueError):  # there is none, or it was cut off: everything is read again
        known = {}
    known = known if isinstance(known, dict) else {}
    digests = {}
    for file in files:
        name = file.name if file == root else str(file.relative_to(root))
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        state = [file.stat().st_size, file.stat().st_mtime_ns]
        if known.get(str(file), {}).get("state") != state:
            with file.open("rb") as source:
                known[str(file)] = {"state": state, "sha256": hashlib.file_digest(source, "sha256").hexdigest()}
        digests[name] = known[str(file)]["sha256"]
    write_json(memo, known)
    return digest_of(digests)
