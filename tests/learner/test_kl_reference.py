"""Checkpoints and the reference that they have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.config import LearnerConfig
from r1ray.data.position import Position
from r1ray.learner.kl_reference import FrozenReference
from r1ray.learner.policy import PolicyModel
from r1ray.learner.writer import StateWriter
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger


def make_reference(folder: Path) -> tuple[PolicyModel, FrozenReference]:
    from transformers import AutoModelForCausalLM

    policy, copy = (PolicyModel(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)) for _ in range(2))
    config = LearnerConfig(zero_stage=0, dtype="float32")
    reference = FrozenReference(policy, copy, config, rank=0, world_size=1, temperature=1.0, device=torch.device("cpu"))
    return policy, reference


def change(policy: PolicyModel) -> None:
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(1.0)


def values(reference: FrozenReference) -> torch.Tensor:
    return torch.cat([parameter.flatten() for parameter in reference._copy.parameters()])


@pytest.fixture(params=["at once", "later"])
def writer(request: pytest.FixtureRequest) -> StateWriter | None:
    return StateWriter() if request.param == "later" else None


class Saving:
    """Checkpoints of a run, of which only the newest is kept."""

    def __init__(self, folder: Path, writer: StateWriter | None) -> None:
        self.checkpoints, self.writer, self.version = Checkpoints(folder, keep=1), writer, 0

    def save(self, reference: Any, *, keep: int = 1) -> Path:
        self.version += 1
        aside = self.checkpoints.begin(self.version)
        reference.save(aside / "learner", writer=self.writer)
        if self.writer is not None:
            self.writer.wait()
        self.checkpoints._keep = keep
        state = LoopState(self.version, self.version, self.version, Position(), Ledger().state())
        (file,) = (self.checkpoints.commit(aside, state) / "learner").iterdir()
        return file


def test_an_unchanged_reference_is_one_file_and_a_refreshed_one_another(
    qwen_folder: Path, tmp_path: Path, writer: StateWriter | None
) -> None:
    policy, reference = make_reference(qwen_folder)
    saving = Saving(tmp_path, writer)
    first = saving.save(reference)
    change(policy)
    second = saving.save(reference, keep=2)
    assert first.samefile(second)
    reference.refresh()
    third = saving.save(reference, keep=3)
    assert not third.samefile(second) and second.samefile(first)
    assert saving.save(reference, keep=3).samefile(third)


def test_the_newest_checkpoint_is_whole_without_the_ones_before(
    qwen_folder: Path, tmp_path: Path, writer: StateWriter | None
) -> None:
    """And a run that goes on from it links what it found."""
    policy, reference = make_reference(qwen_folder)
    saving = Saving(tmp_path, writer)
    expected = values(reference)
    files = [saving.save(reference) for _ in range(3)]
    assert [file.exists() for file in files] == [False, False, True]
    latest = saving.checkpoints.latest()
    assert latest is not None, "the checksums are right"
    change(policy)
    reference.refresh()
    assert not torch.equal(values(reference), expected)
    reference.load(latest[0])
    assert torch.equal(values(reference), expected)
    inode = files[2].stat().st_ino
    assert saving.save(reference).stat().st_ino == inode


def test_a_reference_that_is_refreshed_while_it_is_written_is_not_taken_for_the_old_one(
    qwen_folder: Path, tmp_path: Path
) -> None:
    import threading

    policy, reference = make_reference(qwen_folder)
    writer, go_on = StateWriter(), threading.Event()
    writer.run(lambda: None if go_on.wait(30) else pytest.fail("nobody let the writer go on"))
    old = values(reference)
    folders = [tmp_path / "1", tmp_path / "2"]
    for folder in folders:
        folder.mkdir()
    reference.save(folders[0], writer=writer)
    change(policy)
    reference.refresh()
    new = values(reference)
    go_on.set()
    writer.wait()
    reference.save(folders[1], writer=writer)
    writer.wait()
    for folder, expected in zip(folders, (old, new), strict=True):
        reference.load(folder)
        assert torch.equal(values(reference), expected)
