from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.evaluate import _with_own
from r1ray.main import main


def test_an_evaluation_at_a_cluster_that_is_not_there_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "model=m", "benchmark=math_500", "data=miniature", "cluster.address=127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.startswith("r1ray: cluster.address=127.0.0.1:1: no Ray answers there: ")


def test_a_benchmark_of_the_users_own_is_found_by_its_name(
    tmp_path: Path, llama_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "mine.yaml").write_text("layout: nothing\n")
    assert _with_own(["mine", "mmlu"], tmp_path) == [str(tmp_path / "benchmark" / "mine.yaml"), "mmlu"]
    assert _with_own("mine", None) == "mine"
    words = [
        f"model={llama_folder}",
        "benchmark=mine",
        "data=d",
        f"output_dir={tmp_path}/runs",
        "--config-dir",
        str(tmp_path),
    ]
    assert main(["eval", *words]) == 2
    assert "benchmark=mine: " in capsys.readouterr().err
