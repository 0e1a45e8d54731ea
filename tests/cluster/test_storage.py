"""The paths of each kind of actor."""

from __future__ import annotations

from pathlib import Path

from r1ray.cluster.storage import evaluation_paths, learner_paths, training_paths
from r1ray.config import JudgeConfig, PreferenceModelConfig, RewardModelConfig, TeacherConfig


def test_engines_and_learner_read_the_model_and_the_learner_writes_the_run() -> None:
    assert training_paths("/m", Path("/runs/a"), {}, TeacherConfig()) == {
        "learner": {"model": "/m", "output_dir": "/runs/a"},
        "rollout": {"model": "/m"},
        "eval": {"model": "/m"},
    }
    assert learner_paths("/m", "/runs/a") == {"learner": {"model": "/m", "output_dir": "/runs/a"}}


def test_a_preference_model_is_looked_for_under_its_own_key(tmp_path: Path) -> None:
    models = {"helpful": PreferenceModelConfig(model=f"{tmp_path}/../{tmp_path.name}")}
    paths = training_paths("/m", "/runs/a", models, TeacherConfig())
    assert paths["reward.models.helpful"] == {"reward.models.helpful.model": str(tmp_path)}


def test_a_learner_reads_its_teachers() -> None:
    teacher = TeacherConfig("/t", {"math": "/u"})
    assert training_paths("/m", "/runs/a", {}, teacher)["learner"] == {
        "model": "/m",
        "output_dir": "/runs/a",
        "algo.teacher.model": "/t",
        "algo.teacher.domains.math": "/u",
    }


def test_an_evaluation_reads_what_it_serves(tmp_path: Path) -> None:
    alone = evaluation_paths("/m", JudgeConfig(), RewardModelConfig())
    assert alone == {"rollout": {"model": "/m"}}
    elsewhere = JudgeConfig(model="some-model", url="http://host:8000/v1")
    assert "judge.engine" not in evaluation_paths("/m", elsewhere, RewardModelConfig())
    served = evaluation_paths("/m", JudgeConfig(model=str(tmp_path)), RewardModelConfig(model="name/on-a-hub"))
    assert served["judge.engine"] == {"judge.model": str(tmp_path)}
    assert served["reward_model"] == {"reward_model.model": "name/on-a-hub"}
