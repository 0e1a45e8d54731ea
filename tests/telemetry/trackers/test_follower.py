from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.config import TrackingConfig
from r1ray.telemetry.metrics import rewind_rows
from r1ray.telemetry.trackers.follower import MAX_TEXT, Follower, samples_of, stages_read
from r1ray.telemetry.trackers.sent import Sent
from r1ray.telemetry.trackers.tracker import Place
from tests.telemetry.trackers.planted import HOSTILE, Kept, plant, plant_answers


def follower(run_dir: Path, kept: Kept, *, samples: int = 2) -> Follower:
    """As in a helper process that has just started."""
    return Follower(kept, Sent(run_dir, "kept"), Place(run_dir, TrackingConfig(samples=samples)))


def test_a_run_of_one_stage_is_followed_with_its_answers_and_models(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, [0, 1])
    plant_answers(run, 0)
    following = follower(run, kept)
    assert following.look() and not following.look()
    plant(run, [2])
    (run / "hf" / "2").mkdir(parents=True)
    following.look()
    following.end()
    assert kept.calls == ["begin mine/rl new -1", "log [0, 1]", "show 0", "log [2]", "model 2 2", "end"]
    assert [row[0] for row in kept.samples[0].rows] == ["prompt 0", "prompt 1"]
    assert kept.samples[0].rows[0][1:] == (f"{HOSTILE} 0.0", 0.5, "7", "", "wrong")


def test_answers_and_models_that_come_after_their_lines_are_sent_too(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, [0])
    following = follower(run, kept)
    following.look()
    plant_answers(run, 0)
    (run / "hf" / "0").mkdir(parents=True)
    following.look()
    assert kept.calls[2:] == ["show 0", "model 0 0"]


def test_answers_that_are_there_before_their_line_come_with_it(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, [0])
    plant_answers(run, 1)
    following = follower(run, kept)
    following.look()
    assert not following.look()
    plant(run, [1])
    following.look()
    assert kept.calls[1:] == ["log [0]", "log [1]", "show 1"]


def test_no_answers_are_sent_where_none_are_asked_for(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, [0])
    plant_answers(run, 0)
    follower(run, kept, samples=0).look()
    assert kept.calls == ["begin mine/rl new -1", "log [0]"]


def test_another_process_goes_on_in_the_same_run_with_what_is_new(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, [0, 1])
    follower(run, Kept()).look()
    following = follower(run, kept)
    assert not following.look()
    assert kept.calls == []
    plant(run, [2])
    following.look()
    assert kept.calls == ["begin mine/rl id of rl 1", "log [2]"]


def test_undone_steps_are_taken_back_and_come_again_with_their_answers_and_models(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, range(4))
    plant_answers(run, 3)
    (run / "hf" / "3").mkdir(parents=True)
    following = follower(run, kept)
    following.look()
    rewind_rows(run / "metrics.jsonl", 1)
    plant(run, [2, 3])
    following.look()
    assert kept.calls[4:] == ["go back 1", "log [2, 3]", "show 3", "model 3 3"]


def test_what_failed_is_sent_again_by_the_next_process(tmp_path: Path) -> None:
    class Away(Kept):
        def log(self, lines: object) -> None:
            raise ConnectionError("no server")

    run, kept = tmp_path / "mine", Kept()
    plant(run, [0, 1])
    with pytest.raises(ConnectionError):
        follower(run, Away()).look()
    follower(run, kept).look()
    assert kept.calls == ["begin mine/rl id of rl -1", "log [0, 1]"]


def test_the_stages_of_a_recipe_are_runs_of_one_group_that_name_what_they_read(tmp_path: Path) -> None:
    run, kept = tmp_path / "r1", Kept()
    first, second = run / "stages" / "warm_up", run / "stages" / "reasoning"
    plant(first, [0, 1], stage="sft")
    following = follower(run, kept)
    following.look()
    plant(second, [0], stage="rl")
    (second / "config.yaml").write_text(f"model: {first}/hf/1\nsteps: 3\n")
    following.look()
    following.end()
    assert kept.calls == [
        *("begin r1/warm_up new -1", "log [0, 1]", "end"),
        *("begin r1/reasoning new -1", "log [0]", "end"),
    ]
    assert {stage.run for stage in kept.stages} == {"r1"}
    assert kept.stages[1].inputs == {"warm_up": "id of warm_up"}
    assert kept.stages[1].config["steps"] == 3


def test_a_torn_file_of_what_was_sent_has_everything_sent_again(tmp_path: Path) -> None:
    run, kept = tmp_path / "mine", Kept()
    plant(run, [0])
    follower(run, Kept()).look()
    (run / "trackers" / "kept.json").write_text('{"": {"id')
    follower(run, kept).look()
    assert kept.calls == ["begin mine/rl new -1", "log [0]"]


def test_only_paths_below_the_runs_stages_are_links(tmp_path: Path) -> None:
    config = {"model": f"{tmp_path}/stages/a/hf/3", "data": {"train": [f"{tmp_path}/stages/b/rows.parquet", "/c/d"]}}
    assert stages_read(config, tmp_path) == ["a", "b"]


def test_long_texts_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.telemetry.trackers.follower.MAX_TEXT", 5)
    plant_answers(tmp_path, 0)
    [(prompt, *_)] = samples_of(tmp_path / "rollouts", 0, count=1).rows
    assert prompt == "promp…" and MAX_TEXT > 1000
