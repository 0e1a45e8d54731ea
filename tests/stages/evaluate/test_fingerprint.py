from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig, JudgeConfig
from r1ray.stages.evaluate.fingerprint import settings_of
from r1ray.stages.evaluate.task import tasks_of


def test_an_evaluation_is_known_by_what_decides_its_metrics(tmp_path: Path) -> None:
    given = ["model=any", "benchmarks=math_500", "data=miniature", f"output_dir={tmp_path}"]
    config = compose(given, schema=EvaluationConfig, name="eval")
    (task,) = tasks_of(config)
    settings = settings_of(config, task)
    slots = replace(config.sandbox, num_slots=7)
    for same in (replace(config, sandbox=slots), replace(config, judge=JudgeConfig())):
        assert settings_of(same, task) == settings
    seeded = replace(config.rollout, seeded=not config.rollout.seeded)
    for other in (replace(config, seed=1), replace(config, rollout=seeded)):
        assert settings_of(other, task) != settings
