"""The child that executes a command in a scratch folder: compilers, compiled programs, interpreters."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import stat
import subprocess
import zipfile

from r1ray.sandbox.inside.lock import Lock, become_child
from r1ray.sandbox.inside.wire import Job, read_all


def command_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """Execute the command of a job. ``descriptors``: one for each file of the scratch folder, then 0, 1, 2. Never
    returns."""
    for name, source in zip(job["files"], descriptors, strict=False):
        size, at = os.fstat(source).st_size, 0
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755, dir_fd=_open_folder(job["folder"]))
        while at < size and (count := os.sendfile(target, source, at, size - at)):
            at += count
        os.close(target)
    os.chdir(job["folder"])
    argv = [word.replace("{dir}", job["folder"]) for word in job["argv"]]
    program = _find(argv[0], job["environment"]["PATH"])
    if job["profile"] == "native":
        job["executables"] = executables_of(program)
    become_child(lock, job, descriptors[len(job["files"]) :], parent)
    try:
        os.execve(program, argv, job["environment"])
    except OSError as error:  # the artifact is no program: the fault of the code that made it
        os.write(2, f"cannot be executed: {error}\n".encode())
    os._exit(126)


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _find(program: str, path: str) -> str:
    return program if "/" in program else shutil.which(program, path=path) or program


def executables_of(program: str) -> list[str]:
    """Return the files that a native program has to execute: itself and the loader of its libraries. No other
    interpreter is allowed, since it would run another language, unless the tool is a script and needs one."""
    path = os.path.realpath(program)
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read(2) == b"#!":
            return ["/usr", "/bin"]
    return [path, *glob.glob("/lib*/ld-linux*.so*"), *glob.glob("/lib/ld-musl*.so*")]


def artifact_of(folder: str, pattern: str, max_bytes: int) -> int | None:
    """Return a descriptor of the file that a command left, None if it left none. Never follows a link."""
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


def folder_size(folder: str, max_entries: int) -> int | None:
    """Return the bytes below a folder; None if they cannot be counted, because something is unreadable or too deep, or
    there are too many entries."""
    size = entries = 0
    waiting = [folder]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as found:
                for entry in found:
                    entries += 1
                    if entries > max_entries:
                        return None
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    with contextlib.suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return size
    except OSError:
        return None
    return size


def remove_tree(folder: str) -> None:
    """Remove a folder, even one that is too deep for recursion or closed to its owner. Links are never followed. No
    program may be running below it."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    with contextlib.suppress(OSError, RecursionError):
        shutil.rmtree(folder)
    if os.path.lexists(folder):
        script = 'chmod -R u+rwx -- "$1"; rm -rf -- "$1"'
        subprocess.run(
            ["/bin/sh", "-c", script, "sh", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
            timeout=60,
        )
