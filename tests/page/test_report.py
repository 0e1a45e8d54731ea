from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from r1ray.page.document import sources
from r1ray.page.report import read_runs, write_report
from tests.page.planted import HOSTILE, plant, plant_recipe, plant_turns


def part(text: str, name: str) -> str:
    (found,) = re.findall(rf'<script type="application/octet-stream" id="{name}">([^<]*)</script>', text)
    return gzip.decompress(base64.b64decode(found)).decode()


def data_in(path: Path) -> dict[str, Any]:
    return json.loads(part(path.read_text(), "data"))  # type: ignore[no-any-return]


def test_runs_are_laid_over_each_other(tmp_path: Path) -> None:
    runs = [plant(tmp_path / "a", num_steps=4), plant(tmp_path / "b", num_steps=6, clip_high=0.28)]
    write_report(read_runs(runs), tmp_path / "both.html")
    data = data_in(tmp_path / "both.html")
    assert [each["name"] for each in data["parts"]] == ["a", "b"]
    assert [each["steps"][-1] for each in data["parts"]] == [4, 6]
    assert [row["key"] for row in data["differences"]] == ["algo.clip_high"]
    assert data["timelines"][0]["actors"][0] == "driver"
    assert data["charts"][0]["metric"] == "eval/heldout/pass@1"
    assert data["parts"][0]["lines"]["grad_norm"]["y"][2] is None


def test_the_diagnosis_of_each_run_has_an_example_that_is_not_in_the_file_as_text(tmp_path: Path) -> None:
    runs = [plant(tmp_path / "a", num_steps=6), plant(tmp_path / "b", num_steps=6)]
    metrics = runs[1] / "metrics.jsonl"
    metrics.write_text(
        metrics.read_text().replace('"completion/truncated_rate": 0.1', '"completion/truncated_rate": 0.5')
    )
    write_report(read_runs(runs), tmp_path / "both.html")
    of_a, of_b = (each["findings"] for each in data_in(tmp_path / "both.html")["parts"])
    assert of_a == [] and [finding["rule"] for finding in of_b] == ["truncated"]
    assert "algo.max_completion_tokens" in of_b[0]["advice"] and "truncated" in of_b[0]["example"]
    assert of_b[0]["example"] not in (tmp_path / "both.html").read_text()


def test_re_evaluation_is_a_curve_beside_the_metrics(tmp_path: Path) -> None:
    run = plant(tmp_path / "a", num_steps=2)
    (run / "rollouts/reflection.jsonl").write_text('{"step": 2, "share": 0.5, "per_1k_tokens": 3.0}\n')
    write_report(read_runs([run]), tmp_path / "report.html")
    data = data_in(tmp_path / "report.html")
    assert data["parts"][0]["lines"]["reflection/share"] == {"y": [None, 0.5]}
    assert "reflection/share" in [chart["metric"] for chart in data["charts"]]


def test_nothing_that_a_model_wrote_stands_in_the_file_as_text(tmp_path: Path) -> None:
    run = plant(tmp_path / "</script><script>alert(1)</script>", num_steps=1)
    write_report(read_runs([run]), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    library, script, style = sources()
    rest = text.replace(library, "").replace(script, "").replace(style, "")
    assert "owned" not in rest and "<script>alert" not in rest and "<img" not in rest
    assert json.dumps(HOSTILE)[1:-1] in part(text, "groups")


def test_a_recipe_has_its_stages_and_a_run_with_turns_its_tools(tmp_path: Path) -> None:
    write_report(read_runs([plant_recipe(tmp_path / "recipe")]), tmp_path / "recipe.html")
    (run,) = data_in(tmp_path / "recipe.html")["runs"]
    assert [stage["reads"] for stage in run["stages"]] == [["/models/base"], ["fine_tuned"]]
    write_report(read_runs([plant_turns(tmp_path / "turns")]), tmp_path / "turns.html")
    groups = [json.loads(line) for line in part((tmp_path / "turns.html").read_text(), "groups").splitlines()]
    (trajectory,) = next(group for group in groups if group["environment"])["trajectories"]
    assert [segment["tool"] for segment in trajectory["segments"]] == ["", "calculator", ""]
    assert trajectory["tests"] == {"passed": 3, "run": 4, "total": 5}


def test_a_run_that_has_only_begun_has_a_page(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    assert write_report(read_runs([tmp_path]), tmp_path / "report.html") == 0
    assert data_in(tmp_path / "report.html")["parts"] == []


def test_a_file_of_many_texts_stays_below_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, path = (
        read_runs([plant(tmp_path / "long", num_steps=4, groups=2, size=8, words=200)]),
        tmp_path / "report.html",
    )
    num_all = write_report(runs, path)
    limit = path.stat().st_size - 5_000
    monkeypatch.setattr("r1ray.page.report.MAX_BYTES", limit)
    assert 0 < write_report(runs, path) < num_all == len(runs.index)
    assert path.stat().st_size <= limit
