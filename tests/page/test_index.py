from __future__ import annotations

from pathlib import Path

from r1ray.page.folders import RolloutFile, parts_of, rollout_files
from r1ray.page.index import LIGHT, read_index, read_rows
from tests.page.planted import plant, write_rows


def test_the_index_says_where_each_row_stands(tmp_path: Path) -> None:
    files = rollout_files(parts_of([plant(tmp_path / "one", num_steps=3, groups=2, size=4)]))
    index = read_index(files)
    rows = index.to_pylist()
    assert {row["file"] for row in rows} == {0, 1, 2}
    third = next(row for row in rows if row["step"] == 2 and row["trajectory"] == 3)
    (read,) = read_rows(files[third["file"]].path, [third["row"]]).values()
    assert {name: read[name] for name in LIGHT.names if name in read} == {
        name: third[name] for name in LIGHT.names if name in read
    }
    assert "tokens" not in read["segments"][0] and read["segments"][0]["text"]


def test_columns_can_be_chosen_and_those_of_tokens_left_out(tmp_path: Path) -> None:
    plant(tmp_path / "one", num_steps=1)
    path = tmp_path / "one/rollouts/step=000001.parquet"
    assert set(read_rows(path, [1], columns=["response_text"])[1]) == {"response_text"}
    assert "logprobs" not in read_rows(path, [1], has_tokens=False)[1]["segments"][0]


def test_old_torn_and_missing_files_are_no_fault(tmp_path: Path) -> None:
    write_rows(tmp_path / "step=000001.parquet", [{"step": 1, "group_id": "a"}], is_old=True)
    (tmp_path / "step=000002.parquet").write_bytes(b"PAR1 torn")
    paths = [tmp_path / f"step={step:06d}.parquet" for step in (1, 2, 3)]
    index = read_index([RolloutFile(0, "training", step, path) for step, path in enumerate(paths)])
    assert index.to_pylist()[0] | {"group_id": "a", "reward": None, "file": 0, "row": 0} == index.to_pylist()[0]
    assert len(index) == 1
    assert read_rows(paths[1], [0]) == read_rows(paths[2], [0]) == {}
    assert len(read_index([])) == 0
