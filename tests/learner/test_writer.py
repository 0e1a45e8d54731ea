from __future__ import annotations

import random
import threading
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from r1ray.learner.writer import StateWriter, on_host


def test_what_is_written_is_the_value_at_the_call(tmp_path: Path) -> None:
    writer, go_on = StateWriter(), threading.Event()
    writer.run(lambda: None if go_on.wait(10) else pytest.fail("nobody let the writer go on"))
    state = {"moments": [torch.ones(3)], "steps": [1]}
    writer.write(state, tmp_path / "state.pt")
    state["moments"][0].add_(1)
    state["steps"].append(2)
    assert not writer.is_done() and not (tmp_path / "state.pt").exists()
    go_on.set()
    writer.wait()
    assert writer.is_done()
    written = torch.load(tmp_path / "state.pt", weights_only=False)
    assert torch.equal(written["moments"][0], torch.ones(3)) and written["steps"] == [1]


def test_an_error_of_the_thread_is_told_once_it_is_asked(tmp_path: Path) -> None:
    writer = StateWriter()
    writer.write("text", tmp_path / "missing" / "file")
    with pytest.raises(FileNotFoundError):
        writer.wait()
    assert writer.is_done(), "the next checkpoint may be tried"
    writer.write("text", tmp_path / "missing" / "file")
    with pytest.raises(FileNotFoundError):
        while not writer.is_done():
            pass


def test_tied_tensors_stay_one_and_views_leave_their_storage_behind() -> None:
    whole = torch.arange(10.0)
    state = OrderedDict(embed=whole[2:4], head=whole[2:4], other=whole[4:6], empty=torch.empty(0))
    state._metadata = {"version": 1}  # type: ignore[attr-defined]
    copied = on_host(state)
    assert copied["embed"] is copied["head"] and copied["embed"] is not copied["other"]
    assert copied["embed"].tolist() == [2.0, 3.0] and copied["embed"].untyped_storage().nbytes() == 8
    assert copied._metadata == {"version": 1}
    assert list(state) == list(copied) and state["embed"].data_ptr() == whole[2:].data_ptr()


def test_random_states_survive_the_copy() -> None:
    before = random.getstate()
    assert on_host({"python": before})["python"] == before
