"""The benchmarks of an evaluation, before any model is looked at."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.definition import load_benchmark
from r1ray.stages.evaluate.task import metrics_of, tasks_of


def configured(tmp_path: Path, *overrides: str) -> EvaluationConfig:
    given = ["model=any", "benchmarks=math_500", "data=miniature", f"output_dir={tmp_path}", *overrides]
    return compose(given, schema=EvaluationConfig, name="eval")


def test_metrics_of_more_samples_than_there_are_get_as_many_and_it_is_said() -> None:
    benchmark = replace(load_benchmark("math_500"), metrics=("pass@1", "cons@64", "cons@4", "rating"))
    metrics, remarks = metrics_of(benchmark, 4, has_standings=False)
    assert metrics == ("pass@1", "cons@4")
    assert remarks == [
        "cons@64 needs 64 samples: cons@4 in its place",
        "rating needs contest standings: standings=FILE",
    ]
    assert metrics_of(benchmark, 64, has_standings=True) == (benchmark.metrics, [])


def test_a_benchmark_gets_its_own_settings_or_those_that_are_given(tmp_path: Path) -> None:
    (own,) = tasks_of(configured(tmp_path))
    (given,) = tasks_of(configured(tmp_path, "samples=3", "temperature=0.5", "max_tokens=77", "template=none"))
    assert (own.samples, own.temperature) == (own.benchmark.samples, own.benchmark.temperature)
    assert (given.samples, given.temperature, given.max_tokens, given.template) == (3, 0.5, 77, "none")
    assert own.digest == given.digest, "of the benchmark and its data alone"


def test_own_prompts_of_several_sets_are_one_benchmark_with_groups(tmp_path: Path) -> None:
    for name, domains in (("a", ("math",)), ("b", ("math", "code"))):
        rows = [{"prompt": "q", "check": {"type": "math", "answer": "1"}, "domain": domain} for domain in domains]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = f"{{aime: {tmp_path}/a.jsonl, all: [{tmp_path}/b.jsonl]}}"
    config = configured(tmp_path, "benchmarks=prompts", f"data={sets}")
    (task,) = tasks_of(config)
    assert [(item.id, item.groups) for item in task.items] == [
        ("aime/0", {"set": "aime", "domain": "math"}),
        ("all/1", {"set": "all", "domain": "math"}),
        ("all/2", {"set": "all", "domain": "code"}),
    ]
    (tmp_path / "b.jsonl").write_text((tmp_path / "a.jsonl").read_text())
    (changed,) = tasks_of(config)
    assert changed.digest != task.digest
    (globbed,) = tasks_of(configured(tmp_path, "benchmarks=prompts", f"data={tmp_path}/[ab].jsonl"))
    assert [item.groups for item in globbed.items] == [{"domain": "math"}] * 2
    with pytest.raises(UserError, match=r"data=.*: has nothing for benchmark=math_500"):
        tasks_of(configured(tmp_path, f"data={sets}"))


def test_several_benchmarks_need_a_file_each(tmp_path: Path) -> None:
    config = configured(tmp_path, "benchmarks=[math_500,gpqa_diamond]", f"data={tmp_path}/rows.jsonl")
    with pytest.raises(UserError, match=r"data=.*rows\.jsonl: several benchmarks need a file each"):
        tasks_of(config)
    with pytest.raises(UserError, match=r"data=.*: has nothing for benchmark=gpqa_diamond"):
        tasks_of(configured(tmp_path, "benchmarks=[math_500,gpqa_diamond]", "data={math_500: miniature}"))
