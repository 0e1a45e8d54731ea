"""States of real DeepSpeed engines: saved by two ranks, gone on from by two and by one, and back; three processes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.loop.checkpoint import Checkpoints
from tests.real.ranks import run_ranks
from tests.real.state_variants import SAVED_AT, VARIANTS

pytestmark = pytest.mark.real
Found = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two ranks saved, one loaded and saved, and two loaded again; the one was killed in the end."""
    out = tmp_path_factory.mktemp("states")
    assert run("save", out, world_size=2) == [0, 0]
    assert run("one", out, world_size=1) == [-signal.SIGKILL]
    assert run("resume", out, world_size=2) == [0, 0]
    return out


def run(action: str, out: Path, *, world_size: int) -> list[int]:
    """``tests.real.state_rank`` in as many processes; returns how they ended."""
    return run_ranks(
        "tests.real.state_rank",
        [out / f"{action}-{rank}.log" for rank in range(world_size)],
        lambda rank, port: [str(rank), str(world_size), str(port), str(out), action],
        timeout_s=240,
    )


def read(folder: Path, name: str) -> Found:
    found: Found = torch.load(folder / f"{name}.pt", weights_only=False)
    return found


def check_close(later: Found, whole: Found, name: str) -> None:
    """bfloat16 rounds what ranks add up in another order; the float32 sums differ in their last bits."""
    tolerance = 1e-2 if name.startswith("bfloat16") else 1e-6
    assert later["losses"] == pytest.approx(whole["losses"][SAVED_AT:], abs=tolerance)
    assert later["lr"] == whole["lr"] and whole["lr"][0] < 1e-2, "the schedule goes on"
    difference = (later["parameters"] - whole["parameters"]).double().norm() / whole["parameters"].double().norm()
    assert difference < tolerance


@pytest.mark.parametrize("name", VARIANTS)
def test_the_ranks_that_saved_go_on_to_the_last_bit(folder: Path, name: str) -> None:
    """Although the fourth step was trained before a byte of the state was written."""
    whole, later = read(folder, "save-0")[name], read(folder, "resume-0")[name]
    assert later["losses"] == whole["losses"][SAVED_AT:]
    assert torch.equal(later["parameters"], whole["parameters"])
    assert later["lr"] == whole["lr"]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_rank_has_its_own_random_states_back(folder: Path, name: str) -> None:
    drawn = [(read(folder, f"save-{r}")[name]["drawn"], read(folder, f"resume-{r}")[name]["drawn"]) for r in (0, 1)]
    assert all(before == after for before, after in drawn)
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("name", VARIANTS)
def test_what_two_ranks_saved_one_goes_on_with(folder: Path, name: str) -> None:
    check_close(read(folder, "one-0")[name], read(folder, "save-0")[name], name)


@pytest.mark.parametrize("name", VARIANTS)
def test_what_one_rank_saved_two_go_on_with(folder: Path, name: str) -> None:
    check_close(read(folder, "resume-0")[f"{name} of one"], read(folder, "save-0")[name], name)


def test_stages_1_and_2_read_each_other(folder: Path) -> None:
    check_close(read(folder, "one-0")["other stage of the family"], read(folder, "save-0")["zero1"], "zero1")


@pytest.mark.parametrize("name", [name for name in VARIANTS if not name.startswith("adapters")])
def test_whole_parameters_are_read_by_any_number_of_ranks(folder: Path, name: str) -> None:
    assert torch.equal(read(folder, "one-0")[name]["whole"], read(folder, "save-0")[name]["parameters"])


def test_another_model_stage_or_dtype_is_refused_by_name_on_every_rank(folder: Path) -> None:
    for rank in (0, 1):
        refused = read(folder, f"resume-{rank}")["refused"]
        of_another = f"UserError: checkpoint {folder}/zero2/two is of another model: model.model.embed_tokens.weight "
        assert refused["model"].startswith(of_another + "is 37x18 in model=tiny (digest ")
        assert "and 41x18 in model=other (digest " in refused["model"]
        assert "q_proj.base_layer.weight is 18x18 in model=tiny" in refused["adapters"]
        assert "learner.zero_stage=2: checkpoint" in refused["stage"] and "needs 3." in refused["stage"]
        assert "learner.dtype=bfloat16: checkpoint" in refused["dtype"] and "float32; needs that" in refused["dtype"]


@pytest.mark.faults
def test_a_conversion_that_fails_fails_on_every_rank(folder: Path) -> None:
    for rank in (0, 1):
        message = read(folder, f"resume-{rank}")["refused"]["conversion"]
        assert message.startswith("InfrastructureError: rank 0 failed to convert ")


@pytest.mark.faults
def test_a_process_killed_while_it_writes_leaves_the_checkpoint_before(folder: Path) -> None:
    checkpoints = Checkpoints(folder / "checkpoints", keep=2)
    assert (folder / "checkpoints" / ".writing-2" / "learner" / "engine").is_dir()
    found = checkpoints.latest()
    assert found is not None and found[1].version == 1
    checkpoints.tidy()
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["1"]
