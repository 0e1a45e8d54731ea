from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.main import main
from r1ray.runtime.folder_lock import locked
from tests.listening import listening

HOLDER = """
import sys, time
from pathlib import Path
from r1ray.runtime.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_at_a_time_and_free_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for _ in range(2):
        with locked(folder), pytest.raises(UserError, match="another process works there") as raised, locked(folder):
            pass
        holder = f"process {os.getpid()} on {socket.gethostname()}, since 2"
        assert str(folder) in str(raised.value) and holder in str(raised.value)


@pytest.mark.faults
def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {process.pid} on"), locked(tmp_path):
            pass
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=30)
    with locked(tmp_path):
        assert f"process {os.getpid()} on" in (tmp_path / ".lock").read_text()


def test_a_shared_folder_is_waited_for_until_its_holder_ends(tmp_path: Path) -> None:
    said: list[str] = []
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stdout.readline() == "held\n"

        def ends_the_holder(text: str) -> None:
            said.append(text)
            process.kill()

        with listening(ends_the_holder), locked(tmp_path, wait_s=30):
            pass
    finally:
        process.kill()
        process.communicate(timeout=30)
    (line,) = said
    assert f"process {process.pid} on" in line and "waiting for it, at most 30 s" in line


def test_what_cannot_be_made_or_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output_dir: .* cannot be made or written to"), locked(tmp_path / "file"):
        pass


def test_without_locks_the_work_goes_on_and_the_user_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    def flock(file: object, how: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("r1ray.runtime.folder_lock.fcntl.flock", flock)
    with locked(tmp_path):
        assert "its file system has no locks" in said[0]


def test_the_same_command_twice_at_once_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, qwen_folder: Path, arithmetic_jsonl: Path
) -> None:
    command = ["run", f"model={qwen_folder}", f"data.train={arithmetic_jsonl}", f"output_dir={tmp_path}", "name=mine"]
    with locked(tmp_path / "mine"):
        assert main(command) == 2
    error = capsys.readouterr().err
    assert f"{tmp_path / 'mine'}: another process works there: process {os.getpid()}" in error
    assert not (tmp_path / "mine" / "config.yaml").exists()
