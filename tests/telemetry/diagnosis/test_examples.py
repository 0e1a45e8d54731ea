from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from r1ray.telemetry.diagnosis.examples import MAX_CHARS, Examples, clipped
from tests.page.planted import plant
from tests.telemetry.diagnosis.test_groups import rollouts_of


def test_a_text_of_a_model_is_one_short_line_without_control_characters() -> None:
    assert clipped("a\x1b[31mred\x1b[0m\n\tb\u202e\u2028") == '"a [31mred [0m b"'
    assert clipped("x" * 500) == f'"{"x" * MAX_CHARS}..."'
    assert clipped("x" * 500 + "end", is_end=True).endswith('xend"')


def test_the_last_step_has_the_pass_rate_and_the_example(tmp_path: Path) -> None:
    folder = rollouts_of(tmp_path / "r", labels=["correct", "wrong", "no_answer", "timeout"], rewards=[1, 0, 0, 0])
    examples = Examples(folder)
    assert examples.pass_rate == 0.25
    assert "no_answer, reward 0" in examples.first(lambda row: row["label"] == "no_answer")
    assert examples.first(lambda row: row["label"] == "nothing of the kind") == ""


def test_rollouts_of_which_nothing_can_be_read_have_no_examples(tmp_path: Path) -> None:
    assert Examples(None).pass_rate is None
    assert Examples(tmp_path / "absent").first(lambda row: True) == ""
    (tmp_path / "step=000001.parquet").write_bytes(b"PAR1 torn")
    assert Examples(tmp_path).pass_rate is None and Examples(tmp_path).first(lambda row: True) == ""


def test_a_file_that_is_older_than_some_columns_has_what_it_has(tmp_path: Path) -> None:
    folder = rollouts_of(tmp_path / "r", labels=["correct", "wrong"], rewards=[1, 0])
    (path,) = folder.iterdir()
    pq.write_table(pq.read_table(path).drop_columns(["response_text", "detail"]), path)
    assert Examples(folder).pass_rate == 0.5 and Examples(folder).first(lambda row: True) == ""


def test_groups_that_were_dropped_before_anything_arrived_are_passed_over(tmp_path: Path) -> None:
    folder = plant(tmp_path / "run", num_steps=3) / "rollouts"
    assert all(row["outcome"] == "scored" for row in Examples(folder).rows)
