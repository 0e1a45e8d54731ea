"""``r1ray files``: what is copied, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.main import main
from tests.tools import path_of

ROOT = Path(__file__).parents[2]


def contents(folder: Path) -> dict[str, tuple[bytes, bool]]:
    """Return the files below a folder: their bytes, and if they can be executed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), os.access(path, os.X_OK)) for path in files}


@pytest.mark.parametrize("name", ["k8s", "launch"])
def test_every_file_is_copied_with_its_mode_into_a_folder_that_is_made(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    target = tmp_path / "new" / "folder"
    assert main(["files", name, str(target)]) == 0
    copied = contents(target / name)
    assert copied == contents(ROOT / name)
    assert any(is_executable for _, is_executable in copied.values())
    said = capsys.readouterr().out
    assert said.startswith(f"{target / name}: {len(copied)} files; next: ") and said.count("\n") == 1


def test_the_same_command_again_changes_nothing_and_brings_back_what_is_gone(tmp_path: Path) -> None:
    assert main(["files", "launch", str(tmp_path)]) == 0
    before = contents(tmp_path)
    (tmp_path / "launch" / "submit.sh").unlink()
    (tmp_path / "launch" / "mine.sh").write_text("mine")
    assert main(["files", "launch", str(tmp_path)]) == 0
    assert contents(tmp_path) == before | {"launch/mine.sh": (b"mine", False)}


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_file_of_other_contents_is_named_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, is_folder: bool
) -> None:
    edited = tmp_path / "k8s" / "storage" / "storage.yaml"
    edited.parent.mkdir(parents=True)
    edited.mkdir() if is_folder else edited.write_text("of my own")
    assert main(["files", "k8s", str(tmp_path)]) == 2
    assert f"{edited}: is there with other contents" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "k8s").rglob("*")] == ["storage", "storage.yaml"]


def test_a_link_to_nowhere_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "submit.sh").symlink_to(tmp_path / "elsewhere")
    assert main(["files", "launch", str(tmp_path)]) == 2
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("words", [[], ["k8s"], ["k8s", "a", "b"], ["conf", "a"]])
def test_a_set_that_ships_and_a_folder_are_needed(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["files", *words]) == 2
    said = capsys.readouterr().err
    assert "k8s" in said and "launch" in said


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert main(["files", "launch", str(tmp_path / place)]) == 2
    assert f"{tmp_path / place}: cannot be written" in capsys.readouterr().err


def test_the_copied_kuberay_script_finds_the_copied_overlays(tmp_path: Path) -> None:
    for name in ("k8s", "launch"):
        assert main(["files", name, str(tmp_path)]) == 0
    script = tmp_path / "launch" / "kuberay.sh"
    done = subprocess.run([script, "none"], cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "one-gpu-node" in done.stderr, "it lists the overlays beside it"


@pytest.mark.needs("kubectl")
def test_copied_overlays_render(tmp_path: Path) -> None:
    assert main(["files", "k8s", str(tmp_path)]) == 0
    render = [str(path_of("kubectl")), "kustomize"]
    overlays = ["k8s/overlays/8x8", "k8s/overlays/cpu"]
    copied, shipped = (
        [
            subprocess.run([*render, each], cwd=cwd, capture_output=True, check=True, timeout=60).stdout
            for each in overlays
        ]
        for cwd in (tmp_path, ROOT)
    )
    assert copied == shipped and all(copied)


def test_the_verb_needs_no_library_so_that_it_runs_before_the_stack_is_installed(tmp_path: Path) -> None:
    program = f"import sys; from r1ray.main import main; sys.exit(main(['files', 'launch', {str(tmp_path)!r}]))"
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]}
    isolated = [sys.executable, "-S", "-c", program]  # without site-packages
    done = subprocess.run(isolated, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "launch" / "requirements-gpu.txt").is_file()
