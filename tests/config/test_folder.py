from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.config.folder import GROUPS, config_folder, names_in, own_folder


def test_every_group_has_files_that_ship() -> None:
    assert all(names_in(group) for group in GROUPS)


def test_names_of_both_folders_can_be_chosen(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "mine.yaml").write_text("clip_high: 0.3\n")
    assert own_folder(str(tmp_path)) == tmp_path
    assert {"mine", "dapo"} <= set(names_in("algo", tmp_path))


def test_a_file_with_the_name_of_one_that_ships_is_refused(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "mmlu.yaml").write_text((config_folder() / "benchmark" / "mmlu.yaml").read_text())
    with pytest.raises(ValueError, match=r"benchmark=mmlu is the name of a file that ships"):
        own_folder(str(tmp_path))


def test_a_file_without_the_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text("steps: 3\n")
    with pytest.raises(ValueError, match="needs '# @package _global_' as its first line"):
        own_folder(str(tmp_path))
