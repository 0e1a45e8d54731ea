from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from r1ray.errors import InfrastructureError
from r1ray.learner.parts import Stored, load_parts, own_parts, part_file


class Divided(torch.nn.Module):
    """A module as one rank of several has it under ZeRO 3: DeepSpeed's fields, and no collective."""

    def __init__(self, shapes: list[tuple[int, ...]], *, rank: int, ranks: int, fill: bool) -> None:
        super().__init__()
        for index, shape in enumerate(shapes):
            whole = torch.arange(torch.Size(shape).numel(), dtype=torch.float32) + 100 * index
            parameter: Any = torch.nn.Parameter(torch.empty(0), requires_grad=False)
            size = -(-whole.numel() // ranks)
            own = whole[rank * size : (rank + 1) * size] if fill else torch.empty(0)
            part = torch.cat([own, torch.full((size - len(own),), -1.0)])
            parameter.ds_id, parameter.ds_numel, parameter.ds_tensor = index, whole.numel(), part
            parameter.partition = lambda: None
            self.register_parameter(f"p{index}", parameter)

    @property
    def held(self) -> list[torch.Tensor]:
        return [parameter.ds_tensor for parameter in self.parameters()]  # type: ignore[attr-defined]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=3),
    st.integers(1, 7),
    st.integers(1, 7),
)
def test_any_number_of_ranks_reads_what_any_number_wrote(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[tuple[int, ...]], writers: int, readers: int
) -> None:
    """Also where padding makes up whole parts."""
    folder = tmp_path_factory.mktemp("parts")
    for rank in range(writers):
        module = Divided(shapes, rank=rank, ranks=writers, fill=True)
        save_file(own_parts(module, rank=rank), part_file(folder, "x", part=rank, parts=writers))
    for rank in range(readers):
        module, expected = (Divided(shapes, rank=rank, ranks=readers, fill=fill) for fill in (False, True))
        load_parts(module, folder, "x", rank=rank)
        assert all(torch.equal(*pair) for pair in zip(module.held, expected.held, strict=True))
    whole = torch.nn.ParameterDict({f"p{i}": torch.zeros(shape) for i, shape in enumerate(shapes)})
    load_parts(whole, folder, "x", rank=readers)
    for index, shape in enumerate(shapes):
        assert torch.equal(whole[f"p{index}"], torch.arange(whole[f"p{index}"].numel()).view(shape) + 100 * index)


def test_a_part_that_is_missing_is_told(tmp_path: Path) -> None:
    save_file({"p0": torch.zeros(2)}, part_file(tmp_path, "x", part=1, parts=2))
    with pytest.raises(InfrastructureError, match="and not all parts"):
        load_parts(torch.nn.ParameterDict({"p0": torch.zeros(4)}), tmp_path, "x", rank=0)


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    """Written as a checkpoint is: into a folder that is then renamed."""
    (tmp_path / ".writing-1").mkdir()
    made = Stored()
    made.write({"p": torch.arange(3.0)}, tmp_path / ".writing-1" / "file")
    (tmp_path / ".writing-1").rename(tmp_path / "1")
    return made


def test_a_file_is_linked_although_its_folder_was_renamed(stored: Stored, tmp_path: Path) -> None:
    stored.put(tmp_path / "second")
    assert (tmp_path / "second").samefile(tmp_path / "1" / "file")


def test_the_last_of_several_links_is_enough_for_the_next(stored: Stored, tmp_path: Path) -> None:
    stored.put(tmp_path / "second")
    (tmp_path / "1" / "file").unlink()
    stored.put(tmp_path / "third")
    assert (tmp_path / "third").samefile(tmp_path / "second")


@pytest.mark.parametrize("reason", ["removed", "another file system"])
def test_what_cannot_be_linked_is_copied(
    stored: Stored, tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (tmp_path / "1" / "file").read_bytes()
    if reason == "removed":
        (tmp_path / "1" / "file").unlink()
    else:

        def refuse(*_: Any) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr("r1ray.learner.parts.os", SimpleNamespace(**vars(__import__("os")) | {"link": refuse}))
    stored.put(tmp_path / "second")
    stored.put(tmp_path / "third")
    assert (tmp_path / "second").read_bytes() == (tmp_path / "third").read_bytes() == before


def test_buffers_of_the_state_are_read_back_and_others_are_left(tmp_path: Path) -> None:
    """Biases of routers belong to the state of a mixture, tables of rotations do not."""

    def make(value: float) -> torch.nn.Module:
        module = torch.nn.Linear(1, 1)
        module.register_buffer("bias_of_router", torch.full((3,), value))
        module.register_buffer("table", torch.full((2,), value), persistent=False)
        return module

    for rank in range(2):
        save_file(own_parts(make(2.0), rank=rank), part_file(tmp_path, "x", part=rank, parts=2))
    module = make(1.0)
    load_parts(module, tmp_path, "x", rank=0)
    found = {name: buffer.tolist() for name, buffer in module.named_buffers()}
    assert found == {"bias_of_router": [2.0, 2.0, 2.0], "table": [1.0, 1.0]}
