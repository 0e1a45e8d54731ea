"""The child that executes a command in a scratch folder: compilers, compiled programs, interpreters."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import stat
import zipfile

from r1ray.sandbox.inside.lock import Lock, become_child
from r1ray.sandbox.inside.wire import Job, read_all


def command_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """``descriptors``: one for each file of the scratch folder, then 0, 1, 2. Never returns."""
    try:
        for name, source in zip(job["files"], descriptors, strict=False):
            size, at = os.fstat(source).st_size, 0
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755, dir_fd=_open_folder(job["folder"]))
            while at < size and (count := os.sendfile(target, source, at, size - at)):
                at += count
            os.close(target)
        os.chdir(job["folder"])
        argv = [word.replace("{dir}", job["folder"]) for word in job["argv"]]
        become_child(lock, job, descriptors[len(job["files"]) :], parent)
        os.execve(_find(argv[0], job["environment"]["PATH"]), argv, job["environment"])
    except OSError as error:
        os.write(2, f"r1ray: cannot start: {error}\n".encode())
    os._exit(126)


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _find(program: str, path: str) -> str:
    return program if "/" in program else shutil.which(program, path=path) or program


def artifact_of(folder: str, pattern: str, max_bytes: int) -> int | None:
    """A descriptor of what a command left, None where it left nothing. Never follows a link."""
    if "*" not in pattern:
        return _open_regular(os.path.join(folder, pattern), max_bytes)
    packed = os.memfd_create("artifact", os.MFD_CLOEXEC)
    total = 0
    with os.fdopen(os.dup(packed), "wb") as sink, zipfile.ZipFile(sink, "w") as archive:
        for path in sorted(glob.glob(pattern, root_dir=folder))[:1000]:
            part = _open_regular(os.path.join(folder, path), max_bytes)
            if part is not None:
                data = read_all(part)
                total += len(data)
                if total > max_bytes:
                    break
                archive.writestr(path, data)
    if not 0 < total <= max_bytes:
        os.close(packed)
        return None
    return packed


def _open_regular(path: str, max_bytes: int) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size <= max_bytes:
        return descriptor
    os.close(descriptor)
    return None


def folder_size(folder: str) -> tuple[int, int]:
    """Bytes and entries below a folder."""
    size = entries = 0
    for root, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        for name in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(root, name)).st_blocks * 512
        if entries > 20_000:
            break
    return size, entries
