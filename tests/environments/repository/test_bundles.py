"""Git bundles: one commit's files, as they were committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from r1ray.environments.repository.archives import tree_of

pytestmark = pytest.mark.needs("git")


def git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *name, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a.py").write_text("one\n")
    (tmp_path / ".gitattributes").write_text("*.py export-ignore\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "one")
    return tmp_path


def bundle_of(folder: Path, *refs: str) -> bytes:
    git(folder, "bundle", "create", "-q", "x.bundle", *refs)
    return (folder / "x.bundle").read_bytes()


def test_a_bundle_gives_the_files_of_its_head_or_of_a_commit(repository: Path) -> None:
    first = git(repository, "rev-parse", "HEAD")
    (repository / "b").mkdir()
    (repository / "b" / "c.bin").write_bytes(b"\0\n\n")
    git(repository, "add", "b")
    git(repository, "commit", "-q", "-m", "two")
    data = bundle_of(repository, "HEAD", "main")
    attributes = {".gitattributes": b"*.py export-ignore\n"}
    assert tree_of(data) == {"a.py": b"one\n", "b/c.bin": b"\0\n\n"} | attributes
    assert tree_of(data, commit=first) == {"a.py": b"one\n"} | attributes
    assert tree_of(bundle_of(repository, "main")) == tree_of(data)


def test_bundles_that_cannot_be_read_say_why(repository: Path) -> None:
    data = bundle_of(repository, "HEAD", "main")
    for given, commit, problem in (
        (data[:-30], None, "git does not read the bundle"),
        (data, "0" * 40, "git does not read the bundle"),
        (data, "--upload-pack=x", "needs 7 hexadecimal digits"),
    ):
        with pytest.raises(ValueError, match=problem):
            tree_of(given, commit=commit)
    (repository / "link").symlink_to("/etc/passwd")
    git(repository, "add", "link")
    git(repository, "commit", "-q", "-m", "three")
    with pytest.raises(ValueError, match="link is a link"):
        tree_of(bundle_of(repository, "HEAD"))
    git(repository, "branch", "other", "HEAD~1")
    with pytest.raises(ValueError, match="2 branches and no HEAD"):
        tree_of(bundle_of(repository, "main", "other"))
