"""The manifest of a run folder in an object store: which objects make which file.

    manifests/00000017.json          the newest number is the run's state; every one is written once, after its objects
    files/<writer>/00000042/<path>   a file, or a part of one; never written again

A key is used by one writer once, so that no upload that was cut off, and no writer that has been replaced, changes what
an earlier manifest names. A folder without a manifest does not exist.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r1ray.errors import UserError
from r1ray.mirror.store import Store

MANIFESTS, FILES = "manifests", "files"
FORMAT = 1
_NAME = re.compile(rf"{MANIFESTS}/(\d{{8}})\.json")
_ODD = re.compile(r"[^A-Za-z0-9._/-]")
_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Part:
    """One object: some bytes of a file."""

    key: str
    num_bytes: int
    sha256: str

    @classmethod
    def of(cls, key: str, content: bytes) -> Part:
        """Return what describes an object."""
        return cls(key, len(content), hashlib.sha256(content).hexdigest())


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: its parts, one after the other."""

    mtime_ns: int
    """Time of its last change on the machine that it was copied from; copies have it too. Unit: nanoseconds since
    1970."""
    parts: tuple[Part, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Return the size of the file."""
        return sum(part.num_bytes for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The state of a run folder."""

    number: int
    writer: str
    """Name of the process that wrote it, and no other process's."""
    folder: str
    """Path of the folder that it was copied from."""
    files: Mapping[str, Entry]
    """Entries by path in the folder, with ``/`` between names."""

    @property
    def key(self) -> str:
        """Return the key of its object."""
        return manifest_key(self.number)

    @property
    def objects(self) -> set[str]:
        """Return the keys of all that it names."""
        return {part.key for entry in self.files.values() for part in entry.parts}

    def to_json(self) -> bytes:
        """Return the content of its object."""
        files = {
            path: {
                "mtime_ns": entry.mtime_ns,
                "parts": [[part.key, part.num_bytes, part.sha256] for part in entry.parts],
            }
            for path, entry in sorted(self.files.items())
        }
        head = {"format": FORMAT, "number": self.number, "writer": self.writer, "folder": self.folder}
        return json.dumps({**head, "files": files}, indent=0).encode()  # in ASCII: a name may be no Unicode

    @classmethod
    def from_json(cls, content: bytes) -> Manifest:
        """Return the manifest that an object holds. Raises ValueError, KeyError or TypeError where it is none."""
        found: dict[str, Any] = json.loads(content)
        if found["format"] != FORMAT:
            raise ValueError(f"has format {found['format']}, needs {FORMAT}")
        files = {
            str(path): Entry(int(entry["mtime_ns"]), tuple(Part(*part) for part in entry["parts"]))
            for path, entry in found["files"].items()
        }
        if odd := next((path for path in files if not _is_inside(path)), None):
            raise ValueError(f"names a file {odd!r}, which is outside of the folder")
        return cls(number=found["number"], writer=found["writer"], folder=found["folder"], files=files)


def manifest_key(number: int) -> str:
    """Return the key of the manifest of a number."""
    return f"{MANIFESTS}/{number:08d}.json"


def file_key(writer: str, number: int, path: str) -> str:
    """Return the key of the ``number``-th object of a writer. Its path is for people: odd characters are replaced."""
    return f"{FILES}/{writer}/{number:08d}/{_ODD.sub('_', path)[-_LONGEST:].lstrip('./')}"


def newest(store: Store) -> Manifest | None:
    """Return the newest manifest; None where there is none. Raises UserError where it cannot be read, and
    StoreFailed."""
    numbers = numbers_in(store)
    if not numbers:
        return None
    key = manifest_key(numbers[-1])
    found = store.get(key)
    try:
        return Manifest.from_json(found[0] if found is not None else b"")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{store.address}/{key}: is no manifest of a run folder ({error}). Remove it, and the run goes on from the "
            "one before it."
        ) from error


def numbers_in(store: Store) -> list[int]:
    """Return the numbers of the manifests that there are, in order. Raises StoreFailed."""
    names = map(_NAME.fullmatch, store.keys(MANIFESTS))
    return sorted(int(name[1]) for name in names if name is not None)


def _is_inside(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and "\0" not in path
