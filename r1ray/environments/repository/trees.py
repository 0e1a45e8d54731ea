"""Repositories as trees, mappings from paths to contents of files, and their limits."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Tree: TypeAlias = dict[str, bytes]
MAX_FILES = 2000
MAX_FILE_BYTES = 4 << 20
MAX_BYTES = 16 << 20
MAX_PATH = 400


def path_problem(path: str) -> str | None:
    """Return the reason why a path is not that of a file below a folder; None if it is.

    >>> path_problem("a/b.py"), path_problem("a/../../b")
    (None, 'leads out of the repository')
    """
    parts = path.split("/")
    if path.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "leads out of the repository"
    if not path or any(part in ("", ".") for part in parts):
        return "is no path of a file"
    if not path.isprintable() or "\\" in path:
        return "has characters that are refused in paths"
    if len(path.encode()) > MAX_PATH:
        return f"is longer than {MAX_PATH} bytes"
    return None


def parents_of(path: str) -> Iterator[str]:
    """Yield the folders of a path.

    >>> list(parents_of("a/b/c.py"))
    ['a', 'a/b']
    """
    parts = path.split("/")
    for end in range(1, len(parts)):
        yield "/".join(parts[:end])


def tree_problem(tree: Mapping[str, bytes]) -> str | None:
    """Return the reason why files cannot form a tree together, or are too many or too large; None if they can."""
    if len(tree) > MAX_FILES:
        return f"more than {MAX_FILES} files"
    if sum(map(len, tree.values())) > MAX_BYTES:
        return f"more than {MAX_BYTES >> 20} MiB of files"
    for path, content in tree.items():
        if len(content) > MAX_FILE_BYTES:
            return f"{path} has more than {MAX_FILE_BYTES >> 20} MiB"
        if (folder := next((each for each in parents_of(path) if each in tree), None)) is not None:
            return f"{folder} is a file, and the folder of {path}"
    return None


def packed(tree: Mapping[str, bytes]) -> bytes:
    """Return a tree as a tar file."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for path in sorted(tree):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(tree[path]), 0o644
            archive.addfile(member, io.BytesIO(tree[path]))
    return sink.getvalue()
