"""A short run of the command line, followed by trackers and scraped while it goes on, and resumed."""

from __future__ import annotations

import http.client
import importlib
import json
import re
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from r1ray.telemetry.series import families
from tests.real.running import LEFT_OPEN, SMALL, end, environment, metrics, own, r1ray, start

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.filterwarnings(LEFT_OPEN)]
pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
PATIENCE_S = 480.0
SERIES = re.compile(r"^ray_(r1ray_\w+)\{", re.MULTILINE)
SETTINGS = (
    *(*SMALL, "data.template=none", "data.max_prompt_tokens=16", "name=tracked", "trackers=[tensorboard]"),
    "checkpoint.every=1",
)


@dataclass(frozen=True, slots=True)
class Tracked:
    """A run of sixty steps and two more in two commands: what Ray offered of it, and its folder."""

    folder: Path
    scraped: str
    ids: tuple[str, str]


def agents(driver: int) -> list[int]:
    """Return the ports on which Ray's agents of a run listen."""
    ports = []
    for process in psutil.Process(driver).children(recursive=True):
        try:
            if "agent" in " ".join(process.cmdline()).lower():  # Ray gives them a title of its own
                ports += [each.laddr.port for each in process.net_connections("tcp") if each.status == "LISTEN"]
        except psutil.Error:
            continue
    return ports


def scrape(driver: int) -> str:
    """Return what the agents of a run offer Prometheus now."""
    text = ""
    for port in agents(driver):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                text += answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException):  # others of its ports speak gRPC
            continue
    return text


def scraped_until_its_end(process: subprocess.Popen[str]) -> str:
    """Return the last scrape that had anything of r1ray's."""
    last, until = "", time.monotonic() + PATIENCE_S
    while process.poll() is None:
        assert time.monotonic() < until
        try:
            text = scrape(process.pid)
        except psutil.NoSuchProcess:
            break
        last = text if SERIES.search(text) else last
        time.sleep(1)
    return last


@pytest.fixture(scope="module")
def tracked(qwen_folder: Path, running_total: Path, tmp_path_factory: pytest.TempPathFactory) -> Tracked:
    output_dir = tmp_path_factory.mktemp("tracked")
    folder = output_dir / "tracked"
    settings = [
        *own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", output_dir),
        *SETTINGS,
    ]
    log = output_dir / "printed.txt"
    process = start(*["run", *settings, "steps=60"], cwd=output_dir, into=log, env=environment())
    try:
        scraped = scraped_until_its_end(process)
    finally:
        end(process)
    assert process.returncode == 0, log.read_text()[-4000:]
    first = id_of(folder)
    r1ray("run", *settings, "steps=62", cwd=output_dir)
    return Tracked(folder, scraped, (first, id_of(folder)))


def id_of(folder: Path) -> str:
    return str(json.loads((folder / "trackers" / "tensorboard.json").read_text())[""]["id"])


def events(folder: Path) -> Any:
    accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    return accumulator.EventAccumulator(
        str(folder / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0}
    ).Reload()


def test_every_metric_of_every_line_is_in_the_tracker_in_one_run_over_a_resume(tracked: Tracked) -> None:
    assert tracked.ids[0] == tracked.ids[1]
    read, lines = events(tracked.folder), metrics(tracked.folder)
    logged: dict[str, list[int]] = {}
    for line in lines:
        for name in line.keys() - {"stage", "wall_time", "step"}:
            logged.setdefault(name, []).append(int(line["step"]))
    assert {name: [each.step for each in read.Scalars(name)] for name in read.Tags()["scalars"]} == logged
    assert not any("unsent" in name for name in lines[-1]) and "faults/tracker" not in lines[-1]


def test_answers_of_evaluations_and_the_model_are_in_the_tracker(tracked: Tracked) -> None:
    read = events(tracked.folder)
    assert [each.step for each in read.Tensors("samples/0/text_summary")][:3] == [0, 2, 4]
    assert read.Tensors("model/text_summary")[-1].tensor_proto.string_val[0].decode().endswith("hf/62")


def test_rays_metrics_have_the_run_under_the_names_of_the_table(tracked: Tracked) -> None:
    found = set(SERIES.findall(tracked.scraped))
    assert {"r1ray_step", "r1ray_reward_mean", "r1ray_reward_by_part", "r1ray_eval", "r1ray_time_step_s"} <= found
    assert found <= set(families())
    [line] = [each for each in tracked.scraped.splitlines() if each.startswith("ray_r1ray_step{")]
    assert 'run="tracked"' in line and 'stage="rl"' in line
