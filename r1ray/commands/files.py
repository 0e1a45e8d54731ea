"""``r1ray files``: the Kubernetes manifests and the launch scripts that ship, copied to where they can be edited."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from r1ray.commands.arguments import Parser
from r1ray.errors import UserError
from r1ray.runtime.files import written_aside

NEXT = {
    "k8s": "fill in base/ and an overlay as README.md there says; launch/kuberay.sh beside it (r1ray files launch) "
    "runs an overlay",
    "launch": "install.sh makes an environment; submit.sh, slurm.sbatch and kuberay.sh start runs; the first lines of "
    "each say how",
}
"""The sets of files, and the next step of whoever copied one."""


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    return Parser(
        "files",
        "Copy the Kubernetes manifests to DIR/k8s, or the launch scripts to DIR/launch. Give both the same DIR:\n"
        "launch/kuberay.sh looks for ../k8s. A file that is there with other contents is never overwritten.",
        usage=f"{'|'.join(NEXT)} DIR",
        word="SET, DIR",
        meaning="which files, and the folder that gets them; it is made",
        examples="""
            r1ray files k8s .
            r1ray files launch cluster
        """,
        composes=False,
    )


def command(arguments: Sequence[str]) -> None:
    """Copy a set of files, and print the next step. Raises UserError."""
    words = parser().read(arguments).words
    if len(words) != 2:
        raise UserError(f"files needs a set ({' or '.join(NEXT)}) and a folder, found {' '.join(words) or 'neither'}.")
    name, folder = words
    if name not in NEXT:
        raise UserError(f"{name}: no such set of files; needs one of {', '.join(NEXT)}.")
    target = Path(folder).expanduser() / name
    try:
        num_files = copy_folder(shipped_folder(name), target)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error}.") from error
    print(f"{target}: {num_files} files; next: {NEXT[name]}")


def shipped_folder(name: str) -> Path:
    """Return a folder that ships: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return next(folder for folder in (package / name, package.parent / name) if folder.is_dir())


def copy_folder(source: Path, target: Path) -> int:
    """Copy what is not there yet, with its mode; return the number of files. Raises UserError before anything is
    written if a file is there with other contents."""
    files = [
        path.relative_to(source)
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.parent.name != "__pycache__"
    ]
    missing = [file for file in files if not os.path.lexists(target / file)]
    changed = [file for file in files if file not in missing and not _has_contents(target / file, source / file)]
    if changed:
        others = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UserError(
            f"{target / changed[0]}: is there with other contents{others}; needs another folder, or the file out of "
            "the way."
        )
    for file in missing:
        with written_aside(target / file) as aside:
            shutil.copy(source / file, aside)
    return len(files)


def _has_contents(path: Path, of: Path) -> bool:
    return path.is_file() and path.read_bytes() == of.read_bytes()
