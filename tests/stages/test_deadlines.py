from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.config import Deadlines, RunConfig
from r1ray.stages import deadlines
from r1ray.stages.deadlines import with_deadlines

RUN = ("model=llama_3.3_70b", "cluster=eight_nodes_8", "data.train=t", "plan.completion_tokens=8192")


def learn_s(config: RunConfig) -> float:
    found = with_deadlines(config).deadlines
    assert asdict(found.decided) == found.given, "every one is decided"
    return found.decided.learn_s


def test_a_stage_begins_with_every_deadline_decided() -> None:
    assert learn_s(compose(RUN)) > 3 * Deadlines().learn_s
    assert learn_s(compose([*RUN, "deadlines.learn_s=60"])) == 60


def test_a_model_that_cannot_be_read_leaves_the_least(tmp_path: Path) -> None:
    found = with_deadlines(compose([*RUN, f"model={tmp_path}/nowhere", "deadlines.publish_s=7"])).deadlines
    assert asdict(found.decided) == asdict(Deadlines()) | {"publish_s": 7}


def test_a_run_that_starts_ray_on_a_machine_without_gpus_is_planned_on_its_cpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    config = compose(["model=qwen2.5_0.5b", "cluster=two_gpus", "plan.gpu=null", "data.train=t"])
    found = {}
    for gpus in (0, 2):
        monkeypatch.setattr(deadlines, "local_gpus", lambda gpus=gpus: gpus)
        found[gpus] = learn_s(config)
    assert found[0] > 100 * found[2]
