"""From a folder to the store: new and changed files, then a manifest that names them.

    scan units --> put them --> scan the rest --> put it --> what is there still --> manifest --> remove what none names

Checkpoints come first: the metrics and rollouts that are copied after them are at least as new, and a run that goes on
from a checkpoint forgets what is newer. All files of a checkpoint are opened before the first is put, the newest
checkpoint first, so that a store that is slower than the run gets whole ones, though the run removes them meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from r1ray.mirror.lease import Lease, LeaseLost
from r1ray.mirror.manifest import FILES, Entry, Manifest, Part, file_key, manifest_key, numbers_in
from r1ray.mirror.scan import Found, grows, is_there, say_left_out, scan, was_pruned
from r1ray.mirror.store import Store, Taken

PART_BYTES = 32 << 20
MAX_SMALL = 32
"""Parts that are smaller than PART_BYTES, at the end of a file that grows; with one more they become one."""
TAIL, BLOCK = 4096, 1 << 16
"""Bytes before the end of what was copied that have to be the same where a file has grown."""
AT_A_TIME = 4
KEPT = 2
"""Newest manifests whose objects stay."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A file as it was when its entry was made."""

    state: tuple[int, int]
    inode: int
    tail: bytes
    entry: Entry


class Upward:
    """Copies one folder, for one writer."""

    def __init__(
        self,
        store: Store,
        lease: Lease,
        folder: Path,
        *,
        writer: str,
        last: Manifest | None,
        told: Callable[[int], None] = lambda _: None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        """
        Args:
            last: the newest manifest, of which the folder is the state, or a later one.
            told: called with the bytes of each object that has gone.
        """
        self._store, self._lease, self._folder, self._writer = store, lease, folder, writer
        self._told, self._part_bytes = told, part_bytes
        self._last = last
        self._prefix = f"{writer}-{secrets.token_hex(3)}"  # another process of this writer has used other keys
        self._count, self._own = 0, set[str]()  # objects that were put, and are there
        self._order = threading.Lock()
        self._kept: list[set[str]] = [last.objects] if last else []
        files = last.files if last else {}
        self._known = {path: _Known((e.num_bytes, e.mtime_ns), 0, b"", e) for path, e in files.items()}

    @property
    def has_made(self) -> bool:
        """Tell if the store has files of the run."""
        return self._last is not None and bool(self._last.files)

    def fence(self) -> None:
        """Write the newest manifest again, as this writer's: one that was this run's writer before, and lives, cannot
        write the next. Then remove what no manifest names: objects whose writer was ended before its manifest. Raises
        LeaseLost and StoreFailed."""
        self._put_manifest(dict(self._last.files) if self._last else {})
        assert self._last is not None
        self._lease.require()
        named = self._last.objects
        self._store.remove(key for key in self._store.keys(FILES) if key not in named)
        self._remove_manifests(self._last.number)

    def withdraw(self) -> None:
        """Remove the manifests of a run that has made nothing. Raises LeaseLost and StoreFailed."""
        self._lease.require()
        self._store.remove(map(manifest_key, numbers_in(self._store)))

    def round(self, *, is_last: bool = False) -> int:
        """Copy what has changed, and return the bytes that were copied. The manifest is written only where it would say
        something new.

        Args:
            is_last: nothing is written any more: copy also the beginning of a line.

        Raises LeaseLost and StoreFailed.
        """
        self._lease.require()  # also where nothing has changed: the run has to learn of another writer
        units = scan(self._folder, with_others=False)
        sent = self._copy_units(units, is_last=is_last)
        others = scan(self._folder, with_units=False)
        sent += self._copy(others, is_last=is_last)
        files = self._entries(units | others)
        self._known = {path: known for path, known in self._known.items() if path in files}
        if self._last is None or files != dict(self._last.files):
            self._put_manifest(files)
            self._tidy()
        return sent

    def _entries(self, found: Mapping[str, Found]) -> dict[str, Entry]:
        """Return the entries of files that are there still; of a unit all or none. A unit that was copied whole before
        a newer one took its place is there too."""
        gone = {path for path, each in found.items() if not self._counts(path, each)}
        broken = {found[path].unit for path in gone} - {""}
        return {
            path: self._known[path].entry
            for path, each in found.items()
            if path not in gone and each.unit not in broken
        }

    def _counts(self, path: str, found: Found) -> bool:
        known = self._known.get(path)
        if known is None or is_there(self._folder, path, found):
            return known is not None
        return bool(found.unit) and known.state == found.state and was_pruned(self._folder, found.unit)

    # ------------------------------------------------------------------ files

    def _copy_units(self, found: Mapping[str, Found], *, is_last: bool) -> int:
        """Copy units one after the other, the newest first."""
        units: dict[str, dict[str, Found]] = {}
        for path, each in self._changed(found, is_last=is_last).items():
            units.setdefault(each.unit, {})[path] = each
        newest_first = sorted(units.values(), key=lambda files: max(each.mtime_ns for each in files.values()))[::-1]
        return sum(self._copy_unit(files, is_last=is_last) for files in newest_first)

    def _copy_unit(self, found: Mapping[str, Found], *, is_last: bool) -> int:
        """Copy the files of a unit. They are open until all are copied: it does not matter if they are removed."""
        with ExitStack() as held:
            try:
                opened = {path: held.enter_context((self._folder / path).open("rb")) for path in found}
            except FileNotFoundError:
                return 0
            except OSError:  # too many: each is opened when its turn comes
                held.close()
                opened = {}
            return self._copy(found, is_last=is_last, opened=opened)

    def _changed(self, found: Mapping[str, Found], *, is_last: bool) -> dict[str, Found]:
        """Return those that are not known as they are."""
        return {
            path: each
            for path, each in found.items()
            if path not in self._known
            or self._known[path].state != each.state
            or (is_last and self._is_cut(path, each))
        }

    def _copy(self, found: Mapping[str, Found], *, is_last: bool, opened: Mapping[str, BinaryIO] | None = None) -> int:
        """Copy those that are not known as they are; a file that vanishes is left out."""
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="put") as threads:
            work = [
                threads.submit(self._copy_file, path, each, (opened or {}).get(path), is_last=is_last)
                for path, each in self._changed(found, is_last=is_last).items()
            ]
            try:
                return sum(future.result() for future in work)
            except BaseException:
                for future in work:
                    future.cancel()
                raise

    def _is_cut(self, path: str, found: Found) -> bool:
        return self._known[path].entry.num_bytes < found.num_bytes

    def _copy_file(self, path: str, found: Found, opened: BinaryIO | None, *, is_last: bool) -> int:
        """Copy one file, or what it has grown by; returns how many bytes that was."""
        try:
            with opened or (self._folder / path).open("rb") as file:
                if os.fstat(file.fileno()).st_ino != found.inode:
                    return 0  # another has taken its name; the next round copies it
                kept = self._kept_parts(path, found, file)
                start = sum(part.num_bytes for part in kept)
                end = _end_of_line(file, start, found.num_bytes) if grows(path) and not is_last else found.num_bytes
                parts = [*kept, *self._parts_between(path, file, start, end)]
                now = os.fstat(file.fileno())
                is_same = now.st_size >= end if grows(path) else (now.st_size, now.st_mtime_ns) == found.state
                tail = _read_at(file, max(0, end - TAIL), end)
        except FileNotFoundError:
            return 0
        except OSError as error:
            say_left_out(str(self._folder / path), str(error.strerror))
            return 0
        if is_same:
            self._known[path] = _Known(found.state, found.inode, tail, Entry(found.mtime_ns, tuple(parts)))
        return end - start

    def _parts_between(self, path: str, file: BinaryIO, start: int, end: int) -> list[Part]:
        """Put what is between two places of a file."""
        size = self._part_bytes
        return [self._put(path, _read_at(file, at, min(at + size, end))) for at in range(start, end, size)]

    def _kept_parts(self, path: str, found: Found, file: BinaryIO) -> tuple[Part, ...]:
        """Return the parts of the file before that are the beginning of this one; none where it is another."""
        known = self._known.get(path)
        if known is None or not grows(path) or found.num_bytes < known.entry.num_bytes:
            return ()
        if not _begins_with(file, known, found):
            return ()
        parts = known.entry.parts
        small = next((n for n, part in enumerate(reversed(parts)) if part.num_bytes >= self._part_bytes), len(parts))
        return parts if small < MAX_SMALL else parts[: len(parts) - small]

    def _put(self, path: str, content: bytes) -> Part:
        with self._order:
            self._count += 1
            part = Part.of(file_key(self._prefix, self._count, path), content)
            self._own.add(part.key)
        self._store.put(part.key, content)
        self._told(part.num_bytes)
        return part

    # ------------------------------------------------------------------ manifests

    def _put_manifest(self, files: Mapping[str, Entry]) -> None:
        self._lease.require()
        number, is_written = self._last.number if self._last else 0, False
        while not is_written:
            number += 1
            made = Manifest(number=number, writer=self._writer, folder=str(self._folder), files=files)
            is_written = self._write(made)
        self._last = made

    def _write(self, made: Manifest) -> bool:
        """Write a manifest, and return whether it is there; it is not if a process that this one has replaced was about
        to write it when it was ended. Raises LeaseLost where another writer has."""
        content = made.to_json()
        try:
            self._store.create(made.key, content)
        except Taken as error:  # or the request was sent twice, for its first answer was lost
            found = self._store.get(made.key)
            if found is None or Manifest.from_json(found[0]).writer != self._writer:
                raise LeaseLost(f"{self._store.address}/{made.key} was written by another process") from error
            return found[0] == content
        return True

    def _tidy(self) -> None:
        """Remove the objects that none of the newest manifests names."""
        assert self._last is not None
        kept = [*self._kept, self._last.objects]
        self._kept = kept[-KEPT:]
        unused = set[str]().union(self._own, *kept[:-KEPT]) - set[str]().union(*self._kept)
        self._lease.require()
        self._store.remove(sorted(unused))
        self._own -= unused
        self._remove_manifests(self._last.number)

    def _remove_manifests(self, newest_number: int) -> None:
        numbers = [number for number in numbers_in(self._store) if number <= newest_number - KEPT]
        self._store.remove(map(manifest_key, numbers))


def _read_at(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)


def _end_of_line(file: BinaryIO, start: int, end: int) -> int:
    """Return the place after the last end of a line between two places; the first of them if there is none."""
    at = end
    while at > start:
        before = max(start, at - BLOCK)
        if (found := _read_at(file, before, at).rfind(b"\n")) >= 0:
            return before + found + 1
        at = before
    return start


def _begins_with(file: BinaryIO, known: _Known, found: Found) -> bool:
    """Tell if a file begins with what was copied of it."""
    end = known.entry.num_bytes
    if known.inode == found.inode:
        return _read_at(file, end - len(known.tail), end) == known.tail
    at = 0
    for part in known.entry.parts:
        if hashlib.sha256(_read_at(file, at, at + part.num_bytes)).hexdigest() != part.sha256:
            return False
        at += part.num_bytes
    return True
