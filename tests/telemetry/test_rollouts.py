from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from r1ray.telemetry.rollouts import RolloutLog, reflection_rows
from r1ray.types import GroupRecord, Scored, ScoringFailed, Verdict
from tests.fakes import make_completion, make_prompt


def verdict(index: int, outcome: object) -> Verdict:
    return Verdict(
        index=index,
        outcome=outcome,  # type: ignore[arg-type]
        extracted="4",
        num_prompt_tokens=2,
        num_tokens=3,
        truncated=False,
        oldest_version=5,
    )


def test_every_completion_of_a_group_is_a_row_with_its_reward_and_tokens(tmp_path: Path) -> None:
    verdicts = (verdict(1, Scored(1.5, {"accuracy": 1.0, "format": 0.5})), verdict(0, ScoringFailed("late")))
    trained = GroupRecord("0/3", make_prompt(), verdicts, (0.7, None), "trained")
    lost = GroupRecord("0/4", make_prompt("p1"), (), (), "dropped:engine_lost")
    chunks = [(make_completion(index=1, version=5, text="a"),), (make_completion(index=0, version=5, text="b"),)]
    path = RolloutLog(tmp_path).write(12, [trained, lost], [2, 0], *chunks)
    assert path.name == "step=000012.parquet"
    first, second, third = pq.read_table(path).to_pylist()
    assert (first["occurrence"], first["index"], first["text"], first["advantage"]) == ("0/3", 1, "a", 0.7)
    assert dict(first["reward_parts"]) == {"accuracy": 1.0, "format": 0.5}
    assert first["token_ids"] == [5, 6, 7] and first["versions"] == [{"version": 5, "start": 0, "end": 3}]
    assert (second["reward"], second["outcome"], second["advantage"]) == (None, "ScoringFailed: late", None)
    assert (third["fate"], third["text"]) == ("dropped:engine_lost", None)


def test_groups_set_aside_survive_a_resumed_run(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    path = log.write(3, [GroupRecord("0/4", make_prompt("p1"), (), (), "not_finite")], [0], name="not_finite_step")
    log.rewind(0)
    assert pq.read_table(path).to_pylist()[0]["fate"] == "not_finite"


def test_a_resumed_run_removes_the_files_it_will_write_again(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, [], [])
    log.rewind(1)
    assert [path.name for path in tmp_path.iterdir()] == ["step=000001.parquet"]


def write(log: RolloutLog, step: int, *texts: str, fate: str = "trained", name: str = "step") -> None:
    verdicts = tuple(verdict(index, Scored(1.0, {"accuracy": 1.0})) for index in range(len(texts)))
    chunk = tuple(make_completion(index=index, text=text) for index, text in enumerate(texts))
    record = GroupRecord("0/3", make_prompt(), verdicts, (0.0,) * len(texts), fate)
    log.write(step, [record], [1], chunk, name=name)


def test_a_step_is_a_line_on_reflection_with_quotes_as_they_were_written(tmp_path: Path) -> None:
    write(RolloutLog(tmp_path), 3, "等等\uff0c不对", "4")
    (row,) = reflection_rows(tmp_path)
    assert (row["step"], row["share"], row["share_right"], row["share_wrong"]) == (3, 0.5, 0.5, None)
    assert row["by_language"]["en"]["num_completions"] == 2
    assert "等等\uff0c不对" in (tmp_path / "reflection.jsonl").read_text(encoding="utf-8")


def test_only_trained_groups_of_steps_are_measured(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    write(log, 1, "Wait!", fate="dropped:stale")
    write(log, 2, "Wait!", name="not_finite_step")
    log.write(3, [], [])
    assert reflection_rows(tmp_path) == []


def test_a_resumed_run_forgets_the_lines_it_will_write_again(tmp_path: Path) -> None:
    log = RolloutLog(tmp_path)
    for step in (1, 2, 3):
        write(log, step, "Wait!")
    with (tmp_path / "reflection.jsonl").open("a") as file:
        file.write('{"step": 4, "sha')
    RolloutLog(tmp_path).rewind(2)
    write(log, 3, "4")
    assert [(row["step"], row["share"]) for row in reflection_rows(tmp_path)] == [(1, 1.0), (2, 1.0), (3, 0.0)]
