from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.compose import added, compose, read_yaml, to_yaml
from r1ray.config import EvaluationConfig
from r1ray.errors import UserError


def test_custom_resources_and_labels_are_named_by_the_user() -> None:
    more = ["learner.resources={learner_node: 0.001}", "rollout.labels.tier=rollout", "reward.labels={a/b: c}"]
    config = compose(["model=m", "data.train=t", *more])
    assert config.learner.resources == {"learner_node": 0.001}
    assert (config.rollout.labels, config.reward.labels) == ({"tier": "rollout"}, {"a/b": "c"})


def test_engine_arguments_need_no_plus() -> None:
    assert compose(["model=m", "data.train=t", "rollout.engine_args.enforce_eager=true"]).rollout.engine_args == {
        "enforce_eager": True
    }


def test_settings_of_deepspeed_need_no_plus() -> None:
    own = ["learner.deepspeed.zero_optimization.overlap_comm=true", "learner.deepspeed.wall_clock_breakdown=true"]
    expected = {"zero_optimization": {"overlap_comm": True}, "wall_clock_breakdown": True}
    together = "learner.deepspeed={zero_optimization: {overlap_comm: true}, wall_clock_breakdown: true}"
    assert compose(["model=m", "data.train=t", *own]).learner.deepspeed == expected
    assert compose(["model=m", "data.train=t", together]).learner.deepspeed == expected


def test_a_path_is_a_model_and_a_name_that_ships_is_its_settings() -> None:
    assert compose(["model=/my/model", "data.train=t"]).model == "/my/model"
    assert compose(["model=qwen2.5_7b", "model=/my/model", "cluster=one_node_8", "data.train=t"]).model == "/my/model"
    asked = compose(["model=qwen2.5_7b", "benchmarks=math_500", "data=d"], schema=EvaluationConfig, name="eval")
    assert asked.model == "qwen2.5_7b", "eval has no settings of models: a folder of that name"


def test_open_sections_get_the_signs_that_hydra_wants_and_all_else_is_left_alone() -> None:
    assert added("graph.rl.steps=3") == "++graph.rl.steps=3"
    assert added("collect.sources.own.ratio=0.1") == "++collect.sources.own.ratio=0.1"
    for override in ("steps=3", "~reward.parts.format", "+reward.parts.x={weight: 1.0}", "learner.lr=-1", "graphs=1"):
        assert added(override) == override


def test_a_negative_value_and_a_part_taken_out_arrive() -> None:
    config = compose(
        ["model=m", "data.train=t", "reward=r1_zero", "~reward.parts.format", "reward.parts.accuracy.weight=-1"]
    )
    assert config.reward.parts["accuracy"].weight == -1 and "format" not in config.reward.parts


def test_a_key_of_another_schema_is_refused_with_the_nearest_of_its_own() -> None:
    with pytest.raises(UserError, match=r"against_model: no such key; the nearest is against"):
        compose(["model=m", "against_model=b"], schema=EvaluationConfig, name="eval")


def test_a_written_configuration_is_read_as_it_was(tmp_path: Path) -> None:
    values = {"model": "m", "parts": {"a": 1.5, "b": None}, "list": ["x: y", 2]}
    (tmp_path / "config.yaml").write_text(to_yaml(values))
    assert read_yaml(tmp_path / "config.yaml") == values
