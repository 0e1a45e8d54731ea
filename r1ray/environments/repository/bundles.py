"""Git bundles: the tree of one commit, read by git itself, without a checkout.

``git ls-tree`` and ``git cat-file`` return files as they were committed: no hook, filter, attribute or configuration of
the repository has an effect.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from r1ray.environments.repository.trees import MAX_BYTES, MAX_FILES, Tree, path_problem

BUNDLE = b"# v"
"""Beginning of a bundle: ``# v2 git bundle``."""
GIT_S = 60.0
COMMIT = re.compile(r"[0-9a-f]{7,64}")
LINK, MODULE = "120000", "160000"
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null",
                "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}  # fmt: skip


def bundle_tree(data: bytes, *, commit: str | None = None) -> Tree:
    """Return the tree of a commit, from a bundle with the whole history of the commit. Raises ValueError."""
    if shutil.which("git", path=_ENVIRONMENT["PATH"]) is None:
        raise ValueError("a git bundle is read by git, which is not installed: needs the Debian package git")
    if commit is not None and not COMMIT.fullmatch(commit):
        raise ValueError(f"its commit is {commit[:80]!r}: needs 7 hexadecimal digits or more")
    with tempfile.TemporaryDirectory(prefix="r1ray-bundle-") as name:
        folder = Path(name)
        (folder / "bundle").write_bytes(data)
        _git(folder, "init", "-q", "--bare", "repository")
        wanted = commit or _head(_git(folder, "bundle", "list-heads", "bundle").decode("utf-8", "replace"))
        _git(folder / "repository", "bundle", "unbundle", "../bundle")
        return _files(folder / "repository", wanted)


def _head(heads: str) -> str:
    """Return the commit of a bundle: its HEAD, or its only one. Raises ValueError."""
    found = [line.split(" ", 1) for line in heads.splitlines() if " " in line]
    head = [commit for commit, name in found if name == "HEAD"]
    commits = head or list(dict.fromkeys(commit for commit, _ in found))
    if len(commits) != 1:
        raise ValueError(f"it has {len(commits)} branches and no HEAD: needs a column commit")
    return commits[0]


def _files(repository: Path, commit: str) -> Tree:
    listed = _git(repository, "ls-tree", "-r", "-z", "-l", commit).split(b"\0")[:-1]
    if len(listed) > MAX_FILES:
        raise ValueError(f"more than {MAX_FILES} files")
    objects: dict[str, str] = {}
    total = 0
    for entry in listed:
        about, _, path = entry.partition(b"\t")
        mode, _, name, size = about.decode().split()
        text = path.decode("utf-8", "backslashreplace")
        if mode in (LINK, MODULE):
            raise ValueError(f"{text} is a {'link' if mode == LINK else 'submodule'}; needs files and folders alone")
        if (problem := path_problem(text)) is not None:
            raise ValueError(f"the path {text!r} {problem}")
        total += int(size)
        objects[text] = name
    if total > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES >> 20} MiB of files")
    asked = "".join(f"{name}\n" for name in objects.values()).encode()
    return _contents(_git(repository, "cat-file", "--batch", given=asked), list(objects))


def _contents(batch: bytes, paths: list[str]) -> Tree:
    """Return the files in the output of ``cat-file --batch``: for each file a line that ends with its size, the
    content, and a line end."""
    tree, at = Tree(), 0
    for path in paths:
        end = batch.index(b"\n", at)
        size = int(batch[at:end].rsplit(b" ", 1)[1])
        tree[path] = batch[end + 1 : end + 1 + size]
        at = end + size + 2
    return tree


def _git(folder: Path, *words: str, given: bytes = b"") -> bytes:
    try:
        done = subprocess.run(
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*", *words],
            cwd=folder, input=given, capture_output=True, timeout=GIT_S, env=_ENVIRONMENT,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        raise ValueError(f"git does not read the bundle: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(f"git does not read the bundle: {said[-1][:300] if said else done.returncode}")
    return done.stdout
