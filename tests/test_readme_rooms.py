"""r1ray/README.md says what is there: rooms, files, what is made from the code, and the metrics that are logged."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.config import AlgoConfig, DataConfig, EvalConfig, RewardConfig, RunConfig
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.controller import Controller
from r1ray.loop.roles import Roles
from r1ray.telemetry.eval_result import EvalResult
from r1ray.telemetry.metric_table import METRICS, metric_of
from r1ray.telemetry.metrics import MetricsFile
from r1ray.types import EngineTimes
from tests.docs import PARTS, README, READMES, made
from tests.fakes import (
    Events,
    FakeEngine,
    FakeGroups,
    FakeLearner,
    FakePrompts,
    FakeRecorder,
    FakeScorer,
    FakeWeightSync,
)
from tests.loop.test_reading import IDEA
from tests.test_layering import ROOT

TEXT = README.read_text()
TELEMETRY = (ROOT / "telemetry/README.md").read_text()
FILE = re.compile(r"(?<![\w./<=>-])([\w/]+\.(?:py|md))\b")
FOLDER = re.compile(r"`([a-z_]+(?:/[a-z_]+)*/)`")
ADDED = ("stage", "wall_time")
"""To each line, which the text says."""
LOGS_METRICS = [
    *sorted((ROOT / "loop").rglob("*.py")),
    *(ROOT / "learner" / name for name in ("grpo.py", "given_answers.py", "routers.py", "teachers.py")),
    ROOT / "data/difficulty.py",
    ROOT / "mirror/supervision.py",
    ROOT / "telemetry/trackers/supervision.py",
]


def section(title: str) -> str:
    """Return the text below a heading of the second level."""
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


# ---------------------------------------------------------------------- rooms and files


def test_what_is_made_from_the_code_is_as_the_code_has_it() -> None:
    texts = [readme.read_text() for readme in READMES]
    for text in texts:
        assert made(text) == text, "run: python -m tests.docs --write"
    assert sorted(re.findall(r"<!-- made: ([\w-]+) -->", "".join(texts))) == sorted(PARTS)


def test_a_part_that_is_out_of_date_is_found() -> None:
    assert made(TEXT.replace("| 130 |", "| 131 |")) == TEXT


def rooms() -> set[str]:
    """Return the folders and modules at the top of the package."""
    folders = {f"{path.name}/" for path in ROOT.iterdir() if (path / "__init__.py").is_file()}
    return folders | {path.name for path in ROOT.glob("*.py") if not path.name.startswith("__")}


def test_every_room_has_a_line_and_every_line_a_room() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", section("Rooms"), re.MULTILINE)
    assert sorted(named) == sorted(rooms())


def test_every_folder_that_is_named_exists() -> None:
    named = FOLDER.findall(TEXT)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).is_dir()] == []


def test_the_hour_names_the_files_that_are_kept_short() -> None:
    hour = TEXT.partition("**In an hour:**")[2].partition("\n\n")[0]
    assert [name for name in FILE.findall(hour) if name in IDEA] == list(IDEA)


def test_names_in_a_run_folder_are_names_in_the_code() -> None:
    code = "\n".join(path.read_text() for path in ROOT.rglob("*.py"))
    listed = "\n".join(re.findall(r"^    .*", section("Run folder"), re.MULTILINE))
    names = re.findall(r"[\w.=]*\w+\.(?:yaml|jsonl?|png|parquet)\b|\.lock", listed)
    assert len(names) > 8
    assert [name for name in names if name.partition("=")[0] not in code] == []


# ---------------------------------------------------------------------- metrics


def patterns() -> dict[str, re.Pattern[str]]:
    """Return the names in the table of metrics; ``<x>`` stands for a word."""
    words = {name: re.split(r"<\w+>", name) for metric in METRICS for name in metric.names}
    return {name: re.compile("[^/]+".join(map(re.escape, parts))) for name, parts in words.items()}


class TimedGroups(FakeGroups):
    """Groups of an engine that says how it spent its time."""

    async def engine_times(self) -> dict[str, EngineTimes]:
        return {"rollout-0": EngineTimes(3.0, 2.0, 1.0, 0.5)}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    """The lines that a run of the controller among fakes logs."""
    folder = tmp_path_factory.mktemp("run")
    config = RunConfig(
        model="m",
        steps=3,
        reward=RewardConfig(parts={"accuracy": {}}),
        algo=AlgoConfig(group_size=4, prompts_per_step=2, minibatches_per_step=1, min_group_size=2),
        data=DataConfig(train="t"),
        eval=EvalConfig(every=2),
    )
    events = Events()
    engine = FakeEngine(events)
    groups = TimedGroups(engine, FakeScorer())
    metrics = MetricsFile(folder / "metrics.jsonl", stage="rl")

    async def evaluate(version: int) -> EvalResult:
        return EvalResult("heldout", {"pass@1": 0.5, "cons@16/tie_rate": 0.0})

    controller = Controller(
        config,
        Roles(groups, FakeLearner(events), FakeWeightSync(events, engine), FakeRecorder(), groups),
        FakePrompts(),
        checkpoints=Checkpoints(folder / "checkpoints", keep=1),
        log=metrics.append,
        evaluate=evaluate,
        domains=("math", "code"),
    )
    asyncio.run(controller.run())
    return [{name: value for name, value in line.items() if name not in ADDED} for line in metrics.read()]


def test_every_metric_of_a_run_has_a_row(lines: list[dict[str, float]]) -> None:
    names = {name for line in lines for name in line}
    assert len(lines) == 4
    assert sorted(name for name in names if metric_of(name) is None) == []


def test_the_parts_of_a_step_add_up_to_it(lines: list[dict[str, float]]) -> None:
    found = re.search(r"`time/step_s` = ((?:`\w+/\w+`(?:\s\+\s)?)+)\.\s", TELEMETRY)
    assert found is not None
    told = re.findall(r"`([^`]+)`", found[1])
    assert all(any(name in line for line in lines) for name in told)
    for line in lines[1:]:
        assert line["time/step_s"] == pytest.approx(sum(line.get(name, 0.0) for name in told), abs=1e-6)


def names_in(path: Path) -> Iterator[str]:
    """Yield the metrics that a file makes by the keys of its dictionaries, with ``*`` in the place of what it fills
    in. A name without a slash is one beside others that have it."""
    for node in ast.walk(ast.parse(path.read_text())):
        keys: list[ast.expr | None] = []
        if isinstance(node, ast.Dict):
            keys = node.keys
        elif isinstance(node, ast.DictComp):
            keys = [node.key]
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            keys = [node.slice]
        names = [name for key in keys if (name := template(key))]
        if any("/" in name for name in names):
            yield from names


def template(key: ast.expr | None) -> str | None:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return key.value
    if isinstance(key, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in key.values)
    return None


def made_in_the_code() -> set[str]:
    return {name for path in LOGS_METRICS for name in names_in(path)}


def test_every_metric_in_the_source_has_a_row(lines: list[dict[str, float]]) -> None:
    names = made_in_the_code()
    logged = {name for line in lines for name in line}
    assert {"kl/ref", "lr", "train/*", "engine/*/busy_s"} <= names
    unfilled = {name for name in names if not any(re.fullmatch(filled(name), each) for each in logged)}
    assert sorted(name for name in unfilled if metric_of(name.replace("*", "x")) is None) == []


def filled(name: str) -> str:
    return ".+".join(map(re.escape, name.split("*")))


def test_every_row_is_of_a_metric_that_is_made(lines: list[dict[str, float]]) -> None:
    logged = {name for line in lines for name in line} | {name.replace("*", "x") for name in made_in_the_code()}
    assert [name for name, pattern in patterns().items() if not any(map(pattern.fullmatch, logged))] == []
