"""Snapshots of repositories: .tar.gz, .tar, .zip and git bundles, read into memory. Nothing is unpacked to a disk.

An archive may come from anywhere. Links, devices, paths that lead outside, and archives that unpack to more than a
repository may have are refused, before anything of that size is read.
"""

from __future__ import annotations

import functools
import io
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

from r1ray.environments.repository.bundles import BUNDLE, bundle_tree
from r1ray.environments.repository.trees import MAX_BYTES, MAX_FILE_BYTES, MAX_FILES, Tree, path_problem, tree_problem

MAX_ARCHIVE_BYTES = MAX_BYTES
MAX_UNPACKED = 2 * MAX_BYTES
"""Largest size of an archive after decompression, including the data between the files. Unit: bytes."""
PIECE = 1 << 14
"""Number of bytes that are decompressed at a time, because zlib copies the data that follows a member."""
GZIP, ZIP = b"\x1f\x8b", b"PK"
TAR, TAR_AT = b"ustar", 257
"""Mark of a tar file, and its position. The file begins with a member's name, which may look like another kind of
file."""
NEEDS = "needs a .tar.gz, .tar, .zip or git bundle"


def snapshot_at(path: Path, *, commit: str | None = None) -> Tree:
    """Return the tree of a file. It is read once for all callers, who must not change it. Raises ValueError."""
    try:
        found = path.stat()
    except OSError as error:
        raise ValueError(f"there is no file {path}: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is not a file; {NEEDS}")
    if found.st_size > MAX_ARCHIVE_BYTES:
        raise ValueError(f"{path} has {found.st_size} bytes; a snapshot may have {MAX_ARCHIVE_BYTES}")
    return _snapshot_at(path, commit, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _snapshot_at(path: Path, commit: str | None, size: int, changed: int) -> Tree:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return tree_of(data, commit=commit)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def tree_of(data: bytes, *, commit: str | None = None) -> Tree:
    """Return the tree of an archive; its first bytes tell its kind. Raises ValueError.

    Args:
        commit: commit of a git bundle; None: its HEAD, or its only branch.
    """
    beginning = b"" if data.startswith(TAR, TAR_AT) else data[:8]
    if beginning.startswith(BUNDLE):
        return _checked(bundle_tree(data, commit=commit))
    if commit is not None:
        raise ValueError(f"it has no commits, and the row names one ({commit}): needs a git bundle")
    if beginning.startswith(ZIP):
        return _checked(_zip_tree(data))
    return tar_tree(_decompressed(data) if beginning.startswith(GZIP) else data)


def tar_tree(data: bytes) -> Tree:
    """Return the tree of a .tar. Raises ValueError."""
    return _checked(_tar_tree(data))


def _checked(tree: Tree) -> Tree:
    if not tree:
        raise ValueError("it has no files")
    if (problem := tree_problem(tree)) is not None:
        raise ValueError(problem)
    return tree


def _path(name: str) -> str | None:
    """Return the path of a member; None for git's own files. Raises ValueError."""
    path = name.removeprefix("./").removesuffix("/")
    if (problem := path_problem(path)) is not None:
        raise ValueError(f"the path {name[:200]!r} {problem}")
    return None if path.split("/")[0] == ".git" else path


def _decompressed(data: bytes) -> bytes:
    """Return the content of a gzip file, which may have several members; never more than the limit. Raises
    ValueError."""
    whole, view, at = bytearray(), memoryview(data), 0
    while at < len(data):
        reader = zlib.decompressobj(31)
        while at < len(data) and not reader.eof:
            piece = view[at : at + PIECE]
            try:
                whole += reader.decompress(piece, MAX_UNPACKED + 1 - len(whole))
            except zlib.error as error:
                raise ValueError(f"its compression is damaged: {error}") from error
            if len(whole) > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED >> 20} MiB")
            at += len(piece) - len(reader.unused_data)
        if not reader.eof:
            raise ValueError("it is cut short")
        while data.startswith(b"\0", at):
            at += 1
    return bytes(whole)


def _tar_tree(data: bytes) -> Tree:
    tree: Tree = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if member.isdir() and member.name in (".", ""):
                    continue
                path = _path(member.name)
                if member.isdir() or path is None:
                    continue
                if not member.isreg():
                    kind = "a link" if member.issym() or member.islnk() else "a device or the like"
                    raise ValueError(f"{path} is {kind}; needs files and folders alone")
                if member.size > len(data) or member.issparse():
                    raise ValueError(f"{path} is sparse, or longer than its archive")
                source = archive.extractfile(member)
                _add(tree, path, b"" if source is None else source.read())
    except (tarfile.TarError, EOFError, OSError, UnicodeError) as error:
        raise ValueError(f"it is no archive that can be read ({error}); {NEEDS}") from error
    return tree


def _zip_tree(data: bytes) -> Tree:
    tree: Tree = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > 2 * MAX_FILES or sum(member.file_size for member in members) > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_FILES} files, or {MAX_UNPACKED >> 20} MiB")
            for member in members:
                path = _path(member.filename)
                if member.is_dir() or path is None:
                    continue
                kind = stat.S_IFMT(member.external_attr >> 16)
                if kind not in (0, stat.S_IFREG):
                    raise ValueError(f"{path} is a link, or a device or the like; needs files and folders alone")
                with archive.open(member) as source:
                    _add(tree, path, source.read(MAX_FILE_BYTES + 1))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"it is no archive that can be read ({error}); {NEEDS}") from error
    return tree


def _add(tree: Tree, path: str, content: bytes) -> None:
    if path in tree:
        raise ValueError(f"{path} is in it twice")
    if len(tree) == MAX_FILES:
        raise ValueError(f"more than {MAX_FILES} files")
    tree[path] = content
