from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.runtime.run_files import holds_work, name_of


@pytest.mark.parametrize(
    ("name", "is_work"),
    [
        ("config.yaml", False),
        ("stages/rl/started.json", False),
        ("data/data.train.arrow", False),
        ("stages/cold_start/data/supervised.train.json", False),
        ("metrics.jsonl", True),
        ("checkpoints/1/manifest.json", True),
        ("notes.txt", True),
    ],
)
def test_rows_as_they_were_read_and_notes_of_what_was_asked_are_no_work(
    tmp_path: Path, name: str, is_work: bool
) -> None:
    assert not holds_work(tmp_path)
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()
    assert not holds_work(tmp_path)
    file.write_text("{}")
    assert holds_work(tmp_path) == is_work


@pytest.mark.parametrize(
    ("folder", "names"),
    [("runs/mine", ("mine", "rl")), ("runs/r1/stages/cold_start", ("r1", "cold_start"))],
)
def test_a_stage_of_a_recipe_is_called_as_its_folder_and_its_run_as_the_folder_above(
    folder: str, names: tuple[str, str]
) -> None:
    assert name_of(Path(folder), stage="rl") == names
