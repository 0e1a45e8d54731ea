"""The block of text, the same as JSON, and causes in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from r1ray.cluster.placement import Node, needs
from r1ray.cluster.probe import Versions
from r1ray.config import AlgoConfig, DataConfig, LearnerConfig, LoraConfig, RewardConfig, RolloutConfig, RunConfig
from r1ray.doctor.phases import Did
from r1ray.doctor.smoke_report import (
    Failure,
    NodeFacts,
    Report,
    cause_of,
    described,
    node_facts,
    placed,
    report_json,
    report_text,
    settings_of,
    shown_versions,
)
from r1ray.errors import DeadlineExceeded, InfrastructureError

CONFIG = RunConfig(
    model="m",
    data=DataConfig(train="t"),
    algo=AlgoConfig(reference_refresh_updates=0),
    reward=RewardConfig(parts={"accuracy": {}}, num_actors=2),
    rollout=RolloutConfig(num_actors=2, gpus_per_actor=4),
    learner=LearnerConfig(num_ranks=8, zero_stage=3, offload_optimizer=True, lora=LoraConfig(rank=16)),
)
SETTINGS = settings_of(CONFIG, needs(CONFIG, cluster_has_gpus=True), "r1ray_nccl")
REPORT = Report(
    versions={"r1ray": "0.1.0+abc", "torch": "2.13.0"},
    nodes=[NodeFacts("10.0.0.1", 96, 8, "H100"), NodeFacts("10.0.0.2", 96, 8, "H100")],
    settings=SETTINGS,
    placement={"learner": ["10.0.0.1"], "rollout": ["10.0.0.2"], "reward": ["10.0.0.2"]},
    seconds_of={"cluster": 1.0, "start": 20.5, "publish": 0.25},
    did={"cluster": Did("joined", {}), "publish": Did("3 x 1 MB to 2 engines", {"bytes": 1e6, "resent": 0})},
    bound=0.1,
    seconds=22.0,
    failure=None,
)


def test_the_block_says_what_ran_where_and_how_long_each_phase_took() -> None:
    assert report_text(REPORT).splitlines() == [
        "r1ray doctor --smoke: two steps of a tiny model",
        "versions   r1ray 0.1.0+abc, torch 2.13.0",
        "nodes      2 nodes: 96 CPUs, 8 x H100",
        "engines    2 in bfloat16, 4 GPUs each, tensor x pipeline 4 x 1",
        "learner    8 ranks in bfloat16, 1 GPU each, ZeRO 3, offload_optimizer=true, lora.rank=16",
        "transport  NCCL",
        "placement  learner on 10.0.0.1; rollout, reward on 10.0.0.2",
        "",
        "phase      seconds",
        "cluster       1.00  joined",
        "start        20.50",
        "publish       0.25  3 x 1 MB to 2 engines",
        "total        22.00",
        "",
        "PASSED: every phase ran, and engines, learner and export agree within their bounds",
    ]


def test_turns_on_the_same_gpu_are_in_the_block() -> None:
    config = RunConfig(
        model="m",
        data=DataConfig(train="t"),
        reward=RewardConfig(parts={"accuracy": {}}),
        rollout=RolloutConfig(gpus_per_actor=1),
        learner=LearnerConfig(num_ranks=1, gpus_per_rank=1),
        placement="colocated",
    )
    settings = settings_of(config, needs(config, cluster_has_gpus=True), "r1ray_ipc")
    lines = report_text(replace(REPORT, settings=settings)).splitlines()
    assert any(line.startswith("learner ") and line.endswith("in turn with the engines") for line in lines)
    assert "transport  CUDA IPC" in lines


def test_a_failure_is_told_by_its_phase_in_the_row_and_in_the_last_line() -> None:
    failed = replace(REPORT, placement={}, failure=Failure("start", "no node has 4 GPUs"))
    lines = report_text(failed).splitlines()
    assert "start        20.50  FAILED" in lines
    assert lines[-1] == "FAILED in start: no node has 4 GPUs"
    assert not any(line.startswith("placement") for line in lines)


def test_weights_that_had_to_be_sent_again_are_in_the_verdict() -> None:
    resent = replace(REPORT, did={"publish": Did("", {"resent": 2})})
    assert "weights had to be sent again 2 times" in report_text(resent).splitlines()[-1]


def test_a_cluster_that_was_not_joined_leaves_its_lines_out() -> None:
    empty = replace(
        REPORT, settings=None, nodes=[], placement={}, seconds_of={}, did={}, failure=Failure("cluster", "x")
    )
    assert [line.split()[0] for line in report_text(empty).splitlines() if line] == [
        *("r1ray", "versions", "phase", "total", "FAILED")
    ]


def test_the_json_has_the_same_as_data() -> None:
    found = json.loads(report_json(replace(REPORT, failure=Failure("start", "x"))))
    assert set(found) == {
        *("versions", "nodes", "settings", "placement", "phases", "bound", "seconds", "passed", "failure")
    }
    assert found["phases"][2] == {
        **{"phase": "publish", "seconds": 0.25, "found": "3 x 1 MB to 2 engines"},
        "metrics": {"bytes": 1e6, "resent": 0},
    }
    assert (found["passed"], found["failure"]) == (False, {"phase": "start", "cause": "x"})
    assert found["settings"]["zero_stage"] == 3 and found["nodes"][0]["gpu"] == "H100"


def test_the_kind_of_a_nodes_gpus_is_what_ray_calls_it() -> None:
    node = Node({"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0}, address="10.0.0.3")
    assert node_facts(node) == NodeFacts("10.0.0.3", 8.0, 2.0, "A100")
    assert described([NodeFacts("a", 8, 2, None)]) == "1 node: 8 CPUs, 2 x GPU"


def test_sections_on_the_same_nodes_share_a_place() -> None:
    assert placed({"learner": ["a", "b"], "rollout": ["a", "b"]}) == "learner, rollout on a, b"


def test_versions_are_those_that_a_report_needs() -> None:
    found = Versions(
        python="3.11.7", packages={"numpy": "2", "torch": "2.13"}, requirements={}, source="s", torch_cuda="13.0"
    )
    assert shown_versions(found, "0.1") == {
        **{"r1ray": "0.1", "python": "3.11.7", "torch": "2.13", "CUDA of torch": "13.0"}
    }


TRACEBACK = """an actor could not start: The actor died because of an error raised in its creation task,
ray::AsyncHost.__init__() (pid=1, ip=10.0.0.1)
  File "x.py", line 1, in f
    raise ValueError
ValueError: no weights
the end of this actor's log:
INFO something: else"""


@pytest.mark.parametrize(
    ("error", "reason", "cause"),
    [
        (DeadlineExceeded("waited 5 s"), None, "waited 5 s"),
        (ValueError("no\nmore"), None, "ValueError: no"),
        (
            InfrastructureError(TRACEBACK),
            None,
            "an actor could not start: The actor died because of an error raised in its creation task, ValueError: no "
            "weights",
        ),
        (InfrastructureError("65 groups were dropped."), InfrastructureError("dead"), "65 groups were dropped: dead"),
        (InfrastructureError("rank 0 died"), InfrastructureError("rank 0 died"), "rank 0 died"),
    ],
)
def test_a_cause_is_a_sentence_and_no_traceback(error: Exception, reason: Exception | None, cause: str) -> None:
    assert cause_of(error, reason) == cause
