from __future__ import annotations

import json
import re
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from r1ray.runtime.activity import IDLE, Doing
from r1ray.runtime.actor_status import ActorStatus
from r1ray.runtime.advance import advancing
from r1ray.runtime.own_process import Told
from r1ray.runtime.processes import own_process_id
from r1ray.telemetry.live import Live
from r1ray.telemetry.live_view import MOST_ROWS, actor_rows, metrics, view_of, waits

ROW = {
    "step": 12.0,
    "time/step_s": 3.0,
    "reward/mean": 0.75,
    "reward/accuracy": 0.25,
    "completion/length_mean": 12.34,
    "group/uniform_rate": 0.5,
    "entropy": 0.51,
    "kl/ref": 0.0021,
    "staleness/mean": 0.5,
    "mismatch/kl": 1e-6,
    "throughput/generated_tokens_per_s": 4321.0,
}


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "mine" / "logs").mkdir(parents=True)
    live = Live(tmp_path / "mine")
    live.begin_stage("rl")
    live.expect_steps(40)
    live.end_step({"step": 0.0, "eval/heldout/pass@1": 0.5})
    live.end_step({"step": 11.0, "time/step_s": 3.0, "reward/mean": 0.25})
    live.end_step(ROW)
    return live


def an_actor(run_dir: Path, index: int, *, role: str = "rollout worker") -> None:
    now = time.time()
    told = Told(role, index, own_process_id(), "a group", now - 65, "", str(run_dir / "logs" / f"{index}.log"), now)
    (run_dir / "logs" / f"{role}-{index}.json").write_text(json.dumps(asdict(told)))


STATUS = ActorStatus("rollout worker", 0, "n", 1, "running", "a group", 5.0, "", "")


def test_the_view_shows_where_the_run_is_its_metrics_and_its_actors(live: Live) -> None:
    an_actor(live.run_dir, 0)
    with advancing("evaluation of heldout", total=8) as advance:
        advance.done = 2
        text = "\n".join(view_of(live, 80, 24))
    for expected in (
        *("mine", "stage rl", "step 12/40", "left", "reward 0.750 (mean of 5: 0.500)", "accuracy 0.250"),
        *("heldout/pass@1 0.500", "length 12.3", "uniform groups 50%", "entropy 0.51", "KL 0.0021", "staleness 0.5"),
        *("mismatch 1e-06", "tokens/s 4321", "rollout worker 0 waits for a group (1:05)"),
        *("evaluation of heldout 25%", "[#"),
    ):
        assert expected in text


@pytest.mark.parametrize("width", [200, 80, 40, 12])
@pytest.mark.parametrize("height", [50, 10, 2])
def test_the_view_keeps_within_the_terminal(live: Live, width: int, height: int) -> None:
    for index in range(4):
        an_actor(live.run_dir, index, role=f"role {index}")
    live.sample = "1 + 1 = ?\n" + "\u4e8c" * 300
    with advancing("evaluation of heldout", total=8):
        rows = [re.sub(r"\x1b\[[\d;]*m", "", row) for row in view_of(live, width, height)]
    assert 0 < len(rows) <= min(height, MOST_ROWS) and all(cell_len(row) <= width for row in rows)


def test_colours_are_for_those_who_have_not_forbidden_them(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[3" not in "".join(view_of(live, 80, 24))
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[" in "".join(view_of(live, 80, 24))


def test_what_a_model_wrote_moves_nothing(live: Live) -> None:
    live.sample = "answer\x1b[2J\x1b]0;title\x07\rover\u202ekcab [red]text[/red]"
    text = "\n".join(view_of(live, 100, 24))
    assert "\x1b[2J" not in text and "\x1b]" not in text and "\r" not in text and "\u202e" not in text
    assert "answer\\x1b[2J" in text and "[red]text[/red]" in text


def test_before_the_first_step_the_view_says_what_is_awaited(tmp_path: Path) -> None:
    live = Live(tmp_path)
    live.begin_stage("rl")
    assert "stage rl" in "\n".join(view_of(live, 80, 24)) and metrics(live) == []
    assert [row.plain for row in waits(Doing("3 rollout workers", 100.0), now=175.0)] == [
        "waits for 3 rollout workers (1:15)"
    ]
    assert waits(Doing(IDLE, 100.0), now=175.0) == []


def test_many_actors_of_a_role_share_a_row_but_for_those_that_do_not_run() -> None:
    actors = [replace(STATUS, index=index, since_s=float(index)) for index in range(100)]
    actors[7] = replace(STATUS, index=7, state="dead", last_error="it was killed")
    rows = [row.plain for row in actor_rows(actors)]
    assert rows == [
        "rollout worker 7: dead; it was killed",
        "rollout worker: 99 running; the longest: 99 waits for a group (1:39)",
    ]


def test_an_actor_without_work_is_idle() -> None:
    assert [row.plain for row in actor_rows([replace(STATUS, waits_for=IDLE)])] == ["rollout worker 0 is idle (0:05)"]


def test_metrics_that_are_no_numbers_are_left_out(live: Live) -> None:
    live.end_step(ROW | {"entropy": float("nan"), "kl/ref": float("inf")})
    text = " ".join(metrics(live))
    assert "entropy" not in text and "KL" not in text and "length" in text


def test_a_redraw_takes_little_of_a_second(live: Live) -> None:
    for index in range(12):
        an_actor(live.run_dir, index, role=f"role {index}")
    view_of(live, 80, 24)
    begun = time.thread_time()
    for _ in range(10):
        view_of(live, 80, 24)
    assert (time.thread_time() - begun) / 10 < 0.05
