from __future__ import annotations

from pathlib import Path

from r1ray.checkpoint import Checkpoints, LoopState
from r1ray.ledger import Ledger
from r1ray.types import Position


def state(version: int) -> LoopState:
    ledger = Ledger()
    ledger.issue("1/4")
    return LoopState(version, 2 * version, Position(1, 5), ledger.state())


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.commit(checkpoints.begin(3), state(3))
    found = checkpoints.latest()
    assert found is not None
    assert found[1] == state(3)
    assert found[0] == tmp_path / "3" / "learner"


def test_an_unfinished_checkpoint_is_never_taken(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.commit(checkpoints.begin(3), state(3))
    checkpoints.begin(4)
    found = checkpoints.latest()
    assert found is not None and found[1].version == 3


def test_the_newest_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for version in (2, 9, 10, 11):
        checkpoints.commit(checkpoints.begin(version), state(version))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "11"]


def test_a_new_run_has_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep=1).latest() is None
