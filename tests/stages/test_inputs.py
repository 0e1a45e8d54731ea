from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.errors import UserError
from r1ray.recipes import build
from r1ray.stages.graph import graph_of
from r1ray.stages.inputs import check_inputs


def check(run_dir: Path, *entries: str) -> None:
    check_inputs(graph_of(compose([f"graph.{entry}" for entry in entries]), build), run_dir)


def test_a_file_that_a_late_stage_reads_is_looked_for_first(llama_folder: Path, tmp_path: Path) -> None:
    evaluate = f"s={{recipe: evaluate, model: {llama_folder}, data: {{eval: /nowhere.parquet}}}}"
    with pytest.raises(UserError, match=r"graph\.s\.data\.eval=/nowhere\.parquet: no such file"):
        check(tmp_path, f"first={{recipe: extend, model: {llama_folder}}}", evaluate)


def test_a_model_that_a_late_stage_reads_is_looked_at_first(llama_folder: Path, tmp_path: Path) -> None:
    late = "late={recipe: extend, model: /nowhere/model}"
    with pytest.raises(UserError, match=r"graph\.late\.model=/nowhere/model: no such folder"):
        check(tmp_path, f"first={{recipe: extend, model: {llama_folder}}}", late)


def test_names_of_a_hub_and_what_other_stages_make_are_looked_at_later(llama_folder: Path, tmp_path: Path) -> None:
    first = f"first={{recipe: extend, model: {llama_folder}}}"
    check(tmp_path, first, 'second={recipe: extend, model: "@first"}', "third={recipe: extend, model: owner/name}")


def test_a_run_does_not_write_into_the_model_that_it_reads(llama_folder: Path) -> None:
    with pytest.raises(UserError, match=r"output_dir: .* is inside of graph\.first\.model="):
        check(llama_folder / "runs" / "a", f"first={{recipe: extend, model: {llama_folder}}}")
