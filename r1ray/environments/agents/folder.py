"""Folder of one trajectory, and the files that are put into it.

    r1agent-XXXX/work    working folder of the command, judged afterwards; filled from ``files``
                /home, /tmp, /prompt.txt

Files are given as a folder, as an archive (.tar, .tar.gz, .zip, ...) or as an object of names and texts, which rows may
also give as its JSON text. A name without a text is ignored (columns of Parquet have all names in all rows). Links are
never followed when files are written, because the policy may have made the contents of the folder.
"""

from __future__ import annotations

import json
import os
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, TypeAlias

from r1ray.sandbox.inside.command_child import remove_tree

Files: TypeAlias = str | Mapping[str, str | None]
PREFIX, WORK, RENEWED = "r1agent-", "work", ("home", "tmp")
MAX_FILES, MAX_BYTES = 50_000, 1 << 30
"""Limits of one set of files."""


def new_folder() -> Path:
    """Make the folder of a trajectory."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    for name in (WORK, *RENEWED):
        (folder / name).mkdir(mode=0o700)
    return folder


def renew(folder: Path) -> None:
    """Empty the folders that are not part of the work: settings left there by an agent would affect its judge."""
    for name in RENEWED:
        _remove(folder / name)
        (folder / name).mkdir(mode=0o700)


def remove_folder(folder: Path) -> None:
    """Remove the folder with all contents. No process may be running in it."""
    remove_tree(str(folder))


def write_file(path: Path, data: bytes) -> None:
    """Write a file of the trajectory's folder, replacing anything at its path."""
    with _new_file(path) as file:
        file.write(data)


def put(files: Files, work: Path) -> None:
    """Put files into a folder. Raises ValueError if they are invalid, or have names that lead out of it."""
    num_bytes = 0
    for num_files, (name, is_executable, source) in enumerate(_each(files)):
        if num_files == MAX_FILES:
            raise ValueError(f"they are more than {MAX_FILES}")
        path = work.joinpath(*_parts(name))
        for above in reversed(path.relative_to(work).parents[:-1]):
            _make_folder(work / above)
        with source, _new_file(path) as file:
            while piece := source.read(1 << 20):
                num_bytes += len(piece)
                if num_bytes > MAX_BYTES:
                    raise ValueError(f"they have more than {MAX_BYTES >> 20} MiB")
                file.write(piece)
            os.fchmod(file.fileno(), 0o755 if is_executable else 0o644)


def files_problem(files: object) -> str | None:
    """Return the reason why files cannot be put into a folder; None if they can, judged by their names."""
    if not isinstance(files, str | Mapping):
        return f"{files!r:.100} is neither a folder nor an archive nor an object of names and texts"
    try:
        if isinstance(files, str) and not files.lstrip().startswith("{") and not os.path.exists(files):
            return f"there is no {files}"
        for name, _, source in _each(files):
            source.close()
            _parts(name)
    except (OSError, ValueError, tarfile.TarError, zipfile.BadZipFile, EOFError, RuntimeError) as error:
        return f"{files if isinstance(files, str) else 'an object'}: {error}"
    return None


def _each(files: Files) -> Iterator[tuple[str, bool, IO[bytes]]]:
    """Yield the name of each file, whether it is a program, and its contents. Raises ValueError."""
    if isinstance(files, str) and files.lstrip().startswith("{"):
        files = json.loads(files)
    if not isinstance(files, str):
        yield from _texts(files)
    elif os.path.isdir(files):
        yield from _of_folder(Path(files))
    elif zipfile.is_zipfile(files):
        yield from _of_zip(files)
    else:
        yield from _of_tar(files)


def _texts(files: Mapping[str, str | None]) -> Iterator[tuple[str, bool, IO[bytes]]]:
    for name, text in files.items():
        if text is None:
            continue
        if not isinstance(text, str):
            raise ValueError(f"{name} has no text, but {text!r:.60}")
        yield str(name), text.startswith("#!"), BytesIO(text.encode("utf-8", "surrogatepass"))


def _of_folder(folder: Path) -> Iterator[tuple[str, bool, IO[bytes]]]:
    for above, names, found in os.walk(folder):
        names[:] = sorted(name for name in names if name != "__pycache__")
        for name in sorted(found):
            path = Path(above, name)
            info = path.lstat()
            if not stat.S_ISREG(info.st_mode):
                raise ValueError(f"{path} is a link, or not a regular file")
            yield str(path.relative_to(folder)), bool(info.st_mode & 0o100), path.open("rb")


def _of_zip(path: str) -> Iterator[tuple[str, bool, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise ValueError(f"{member.filename} is a link")
            if not member.is_dir():
                yield member.filename, bool(mode & 0o100), archive.open(member)


def _of_tar(path: str) -> Iterator[tuple[str, bool, IO[bytes]]]:
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.isreg() and not member.isdir():
                raise ValueError(f"{member.name} is a link, or not a regular file")
            if member.isreg():
                source = archive.extractfile(member)
                assert source is not None
                yield member.name, bool(member.mode & 0o100), source


def _parts(name: str) -> tuple[str, ...]:
    """Return the parts of a file's name. Raises ValueError for one that leads elsewhere."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise ValueError(f"the name {name!r:.100} leads out of the folder")
    return path.parts


def _make_folder(path: Path) -> None:
    """Make a folder, replacing anything else at its path, and open it to its owner."""
    if path.is_symlink() or not path.is_dir():
        _remove(path)
        path.mkdir()
    path.chmod(0o755)


def _new_file(path: Path) -> IO[bytes]:
    """Open a new file, replacing anything at its path."""
    _remove(path)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb")


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        remove_tree(str(path))
