"""What is known of a run's machine before anything starts, and runs that it does not hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray import main as cli
from r1ray.cluster.probe import Gpu, Gpus
from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.stages import machine
from r1ray.stages.deadlines import with_deadlines
from r1ray.stages.machine import check_memory, placed_here, with_memory

OWN = ("data.train=t", "reward.num_actors=1")
ONE = ("cluster=one_gpu", "plan.gpu=null")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sizes of this machine's GPUs in GiB, for the test to fill."""
    sizes: list[float] = []

    def gpu(size: float) -> Gpu:
        return Gpu(
            name="a GPU",
            memory_mib=1024 * size,
            used_mib=0.0,
            uncorrected_errors=None,
            needs_reset=False,
            slowed_by=(),
        )

    monkeypatch.setattr(machine, "found_gpus", lambda: Gpus(gpus=tuple(map(gpu, sizes))))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(machine, "local_gpus", lambda: len(sizes))
    monkeypatch.setattr("r1ray.stages.deadlines.local_gpus", lambda: len(sizes))
    return sizes


def check(*overrides: str) -> None:
    config = compose([*OWN, *overrides])
    check_memory(config, {"": config})


def test_one_gpu_of_this_machine_is_used_in_turn(gpus: list[float]) -> None:
    gpus.append(24)
    assert placed_here(compose([*OWN, "model=m"])).is_colocated
    assert not placed_here(compose([*OWN, "model=m", "cluster.address=10.0.0.1:6379"])).is_colocated
    gpus.append(24)
    assert not placed_here(compose([*OWN, "model=m"])).is_colocated


def test_the_smallest_gpu_counts_unless_the_machines_are_described(gpus: list[float]) -> None:
    gpus.extend((80, 24))
    config = compose([*OWN, "model=m"])
    assert with_memory(config.plan).memory_gib == 24
    assert with_memory(compose([*OWN, "model=m", "plan.gpu=h200"]).plan).memory_gib == 24, "a run is here"
    assert with_memory(compose([*OWN, "model=m", "plan.gpu=cpu"]).plan).memory_gib is None
    assert with_memory(compose([*OWN, "model=m", "plan.memory_gib=12"]).plan).memory_gib == 12


def test_what_this_machines_gpu_cannot_hold_is_refused_with_what_it_can(gpus: list[float]) -> None:
    gpus.append(24)
    check("model=qwen2.5_0.5b", *ONE)
    with pytest.raises(UserError, match=r"update needs 38.* It would fit with learner.offload_optimizer=true"):
        check("model=qwen2.5_1.5b", *ONE)
    check("model=qwen2.5_1.5b", *ONE, "learner.offload_optimizer=true")
    gpus[:] = [80]
    check("model=qwen2.5_1.5b", *ONE)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=qwen2.5_1.5b", "cluster=one_gpu", "plan.gpu=rtx4090"),
        ("model=qwen2.5_1.5b", "cluster=two_gpus", "plan.gpu=rtx4090"),
        ("model=qwen2.5_1.5b", "cluster=one_gpu", "plan.gpu=rtx4090", "cluster.address=10.0.0.1:6379"),
        ("model=qwen2.5_0.5b", "cluster=cpu", "placement=colocated", "plan.memory_gib=13"),
    ],
)
def test_described_machines_hold_it_or_it_is_refused(gpus: list[float], overrides: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r" needs? [\d.]+ [TG]iB"):
        check(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=qwen2.5_14b", "cluster=one_gpu", "cluster.address=10.0.0.1:6379"),  # GPUs of no known kind
        ("model=qwen2.5_14b", "cluster=cpu", "cluster.address=10.0.0.1:6379"),  # CPUs of no known memory
        ("model=qwen2.5_14b", "cluster=two_gpus"),  # that there are no GPUs is said elsewhere
        ("model=nowhere/at_all", "cluster=one_gpu", "plan.gpu=h100"),  # and that there is no such model
        ("model=qwen2.5_14b", "cluster=cpu", "plan.memory_gib=8000"),
    ],
)
def test_what_is_not_known_is_not_judged(gpus: list[float], overrides: tuple[str, ...]) -> None:
    check(*overrides)


def test_a_run_is_refused_before_anything_starts(
    gpus: list[float], tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"model={llama_folder}", f"data.train={arithmetic_jsonl}", f"output_dir={tmp_path / 'runs'}"]
    words += ["cluster=cpu", "placement=colocated", "plan.memory_gib=1", "learner.cpus_per_rank=0.5"]
    words += ["data.max_prompt_tokens=64", "algo.max_completion_tokens=64", "rollout.cpus_per_actor=0.5"]
    assert cli.main(["run", *words, "reward.cpus_per_actor=0.5"]) == 2
    assert "all actors together need" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def turns(*overrides: str) -> tuple[int | None, str | None]:
    found: RunConfig = with_deadlines(compose([*OWN, *overrides]))
    return found.colocated.sleep_level, found.colocated.offload


def test_a_run_takes_the_turns_that_the_plan_takes(gpus: list[float]) -> None:
    half = "rollout.gpu_memory_utilization=0.5"
    assert turns("model=qwen2.5_0.5b", *ONE, "plan.gpu=h100", half) == (2, "none")
    assert turns("model=qwen2.5_0.5b", *ONE, "plan.gpu=h100", half, "colocated.offload=all") == (2, "all")
    gpus.append(16)
    assert turns("model=qwen2.5_0.5b", *ONE, half) == (2, "optimizer"), "of this machine's GPU"
    assert turns("model=qwen2.5_0.5b", "cluster=two_gpus") == (None, None)
