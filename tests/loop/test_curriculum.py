"""The loop with a curriculum: what groups say decides which prompts come, and a run goes on with the same ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray.config.difficulty import DifficultyConfig
from r1ray.data.difficulty import curriculum_of
from r1ray.data.position import Position
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptCursor, PromptTable
from r1ray.loop.ledger import position_of
from r1ray.types import Outcome, Scored, Trajectory
from tests.loop.test_controller import World, make_config

STEPS = 10


def some_right(trajectory: Trajectory) -> Outcome:
    """Every third group is all right."""
    value = 1.0 if position_of(trajectory.group_id).index % 3 == 0 else float(trajectory.index % 2)
    return Scored(value, {"accuracy": value})


def world(folder: Path, *, steps: int) -> World:
    """A controller on seven prompts, which come again unless they are solved, or have left the band."""
    made = World(folder, make_config(steps=steps, checkpoint_every=2))
    made.scorer.reward = some_right
    row = {"prompt": "q", "check": {"type": "math", "answer": "1"}}
    (folder / "rows.jsonl").write_text("".join(json.dumps(row | {"id": f"r{i}"}) + "\n" for i in range(7)))
    spool_prompts(str(folder / "rows.jsonl"), folder / "spool.arrow", key="data.train")
    table = PromptTable(folder / "spool.arrow", render=str)
    config = DifficultyConfig(band=[0.2, 0.8], retire_after=2, revisit_passes=2)
    made.prompts = PromptCursor(  # type: ignore[assignment]
        table, seed=3, position=Position(), curriculum=curriculum_of(config, table)
    )
    return made


def prompts_of(made: World) -> dict[int, list[str]]:
    return {step: [record.prompt.id for record in records] for step, records in made.recorder.records.items()}


@pytest.mark.parametrize("stop", [2, 4, 6])
def test_a_run_that_goes_on_has_the_same_prompts(tmp_path: Path, stop: int) -> None:
    (tmp_path / "whole").mkdir()
    whole = world(tmp_path / "whole", steps=STEPS)
    whole.run()
    begun = world(tmp_path, steps=STEPS)
    begun.learner.crash_at = stop + 1
    with pytest.raises(RuntimeError, match="planted"):
        begun.run()
    found = begun.checkpoints.latest()
    assert found is not None
    state = found[1]
    resumed = world(tmp_path, steps=STEPS)
    resumed.prompts.position = state.position
    resumed.prompts.load(state.curriculum)
    resumed.run(state=state)
    expected = prompts_of(whole)
    assert prompts_of(resumed) == {step: expected[step] for step in range(state.step + 1, STEPS + 1)}
    assert [row["difficulty/retired"] for row in whole.log[1:]][-1] > 0
    assert resumed.log[-1]["difficulty/in_band"] == whole.log[-1]["difficulty/in_band"]
