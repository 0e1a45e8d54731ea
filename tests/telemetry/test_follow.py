from __future__ import annotations

from pathlib import Path

from r1ray.telemetry import follow
from r1ray.telemetry.follow import Follower, followed


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_whole_lines_that_are_new_are_said_after_the_name_of_their_process(tmp_path: Path) -> None:
    worker, driver, said = tmp_path / "rollout-worker-0.log", tmp_path / "driver-0.log", list[str]()
    append(worker, b"of an earlier run\n")
    follower = Follower(tmp_path, said.append)
    assert not follower.look()
    append(worker, b"loading\nhalf a l")
    append(driver, b"2026-01-01 10:00:00,000 driver-0 INFO step 1\na library prints \x1b[2J\n")
    assert follower.look()
    append(worker, b"ine\n")
    follower.look()
    assert said == [
        "driver-0 | a library prints \\x1b[2J",
        "rollout-worker-0 | loading",
        "rollout-worker-0 | half a line",
    ]


def test_the_last_lines_are_said_when_the_block_ends(tmp_path: Path) -> None:
    said: list[str] = []
    with followed(tmp_path, said.append):
        append(tmp_path / "learner-rank-0.log", b"the last word\n")
    assert said == ["learner-rank-0 | the last word"]


def test_a_line_without_an_end_is_said_in_pieces(tmp_path: Path) -> None:
    said: list[str] = []
    follower = Follower(tmp_path, said.append)
    append(tmp_path / "a-0.log", b"x" * (2 * follow.MOST_AT_ONCE + 2))
    while follower.look() or len(said) < 1:
        pass
    assert sum(line.count("x") for line in said) > follow.MOST_AT_ONCE
