"""A script that unpacks a repository, runs the model's command in it, and packs the result.

    tree.tar --> repository/ --> sh -c COMMAND --> after.tar

It is executed without any other file of r1ray, as ``python -I -S -B repository_command.py PYTHON COMMAND``. The packed
files were written by the command, so they are treated as untrusted.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tarfile

REPOSITORY, BEFORE, AFTER = "repository", "tree.tar", "after.tar"
MAX_FILES, MAX_BYTES = 4000, 32 << 20
"""Limits beyond which no more is packed."""
LEFT_OUT = {"__pycache__", ".git", ".pytest_cache"}


def main() -> int:
    """Return the exit code of the command, as a shell reports it."""
    python, command = sys.argv[1:]
    unpack()
    os.mkdir("bin")
    os.mkdir("tmp")
    for name in ("python", "python3"):
        descriptor = os.open(os.path.join("bin", name), os.O_WRONLY | os.O_CREAT, 0o755)
        os.write(descriptor, f'#!/bin/sh\nexec {python} -S "$@"\n'.encode())
        os.close(descriptor)
    here = os.getcwd()
    own = {"PATH": f"{here}/bin:{os.environ['PATH']}", "HOME": f"{here}/tmp", "TMPDIR": f"{here}/tmp"}
    environment = {**os.environ, **own}
    done = subprocess.run(["/bin/sh", "-c", command], cwd=REPOSITORY, env=environment, stdin=subprocess.DEVNULL)
    pack()
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def unpack() -> None:
    """Unpack the repository into its folder."""
    with tarfile.open(BEFORE) as archive:
        os.mkdir(REPOSITORY)
        for member in archive:
            path = os.path.join(REPOSITORY, member.name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(archive.extractfile(member).read())  # type: ignore[union-attr]


def pack() -> None:
    """Pack regular files. Links are left out."""
    num_files = num_bytes = 0
    with tarfile.open(AFTER, "w") as archive:
        for folder, names, files in os.walk(REPOSITORY):
            names[:] = sorted(set(names) - LEFT_OUT)
            for name in sorted(files):
                path = os.path.join(folder, name)
                found = os.lstat(path)
                if not stat.S_ISREG(found.st_mode):
                    continue
                num_files, num_bytes = num_files + 1, num_bytes + found.st_size
                if num_files > MAX_FILES or num_bytes > MAX_BYTES:
                    return
                archive.add(path, os.path.relpath(path, REPOSITORY), recursive=False)


if __name__ == "__main__":
    sys.exit(main())
