"""The stage from files to its metrics, on a real group worker and a fake engine and scorer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.stages.base import Context
from r1ray.stages.evaluate.stage import Evaluate
from r1ray.types import Prompt, Scored, ScoredTrajectory, Trajectory
from tests.fakes import Events, FakeEngine, FakeGroups, FakeRunning, FakeScorer


class ScorerOfColumn(FakeScorer):
    """Gives what the row's column ``paid`` says."""

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        value = float(str(prompt.columns["paid"]))
        return ScoredTrajectory.of(trajectory, Scored(value, {"accuracy": value}), extracted=str(value))


@pytest.fixture(autouse=True)
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    async def launch(*arguments: object, **keywords: object) -> FakeRunning:
        return FakeRunning(FakeGroups(FakeEngine(Events()), ScorerOfColumn()))

    monkeypatch.setattr("r1ray.stages.evaluate.missing.launch_evaluation", launch)


def written(path: Path, *paid: tuple[str, float]) -> Path:
    """A file with a row for each domain and value."""
    rows = [
        {"prompt": "1+1?", "check": {"type": "math", "answer": "2"}, "domain": domain, "paid": value}
        for domain, value in paid
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def metrics(tmp_path: Path, model: Path, data: str) -> dict[str, float]:
    own: list[Any] = ["recipe=evaluate", f"model={model}", f"data.eval={data}", "data.template=none"]
    config = compose([*own, "eval.final_samples=2", "algo.max_completion_tokens=8"])
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    return Evaluate(config).run(Context(run_dir, tmp_path / "shared"), {}, "d").metrics


def test_several_sets_and_domains_have_metrics_of_their_own(tmp_path: Path, llama_folder: Path) -> None:
    aime = written(tmp_path / "a.jsonl", ("math", 1.0), ("math", 0.0))
    mixed = written(tmp_path / "b.jsonl", ("math", 1.0), ("code", 0.0), ("code", 0.0))
    found = metrics(tmp_path, llama_folder, f"{{aime: {aime}, mixed: {mixed}}}")
    assert found["pass@1"] == pytest.approx(2 / 5)
    assert found["aime/pass@1"] == pytest.approx(1 / 2)
    assert found["mixed/pass@1"] == pytest.approx(1 / 3)
    assert found["domain/math/pass@1"] == pytest.approx(2 / 3)
    assert found["domain/code/pass@1"] == 0.0


def test_one_file_without_a_name_has_no_set(tmp_path: Path, llama_folder: Path) -> None:
    rows = written(tmp_path / "a.jsonl", ("math", 1.0), ("code", 0.0), ("math", 1.0), ("code", 0.0))
    found = metrics(tmp_path, llama_folder, str(rows))
    assert found["pass@1"] == 0.5 and found["domain/math/pass@1"] == 1.0
    assert {name for name in found if "/" in name and not name.startswith("cons@")} == {
        "domain/math/pass@1",
        "domain/code/pass@1",
    }
