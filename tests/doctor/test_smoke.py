"""The two steps by the run's own stage, with fakes in the place of the actors; no Ray."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r1ray import main as cli
from r1ray.cluster.placement import Kind, Needs, Node
from r1ray.config import RunConfig
from r1ray.doctor.smoke import PROBE_IDS, exported_logprobs, timely, working_folder
from r1ray.errors import DeadlineExceeded, R1RayError, UserError
from r1ray.loop.roles import Roles
from r1ray.types import Float32Array, Int32Array
from tests.fakes import Events, FakeEngine, FakeGroups, FakeLearner, FakeRecorder, FakeScorer, FakeWeightSync


class Learner(FakeLearner):
    """Exports the model that it was given, and says that every step moves log-probabilities by a nat."""

    def __init__(self, model: str) -> None:
        super().__init__(Events())
        self.model, self.is_frozen, self.exports_right = model, False, True

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        steps_left = 0 if self.is_frozen else 2 - len(self.trained)
        found: Float32Array = exported_logprobs(Path(self.model), PROBE_IDS) + np.float32(steps_left)
        return found if self.exports_right else found - np.float32(1.0)

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        shutil.copytree(self.model, folder)


class Actors:
    """Fakes of all actors and of their reservation, in the place of :class:`r1ray.cluster.launch.Running`."""

    def __init__(self, model: str) -> None:
        events = Events()
        engine = FakeEngine(events)
        groups = FakeGroups(engine, FakeScorer())
        self.learner, self.placement, self.ended = Learner(model), self, False
        self.need = Needs((Kind(section="learner", each="rank", count=1, cpus=1, gpus=0),))
        self.roles = Roles(
            groups=groups,
            learner=self.learner,
            weights=FakeWeightSync(events, engine),
            recorder=FakeRecorder(),
            eval_groups=groups,
        )

    @property
    def environments(self) -> Actors:
        return self

    def metrics(self) -> dict[str, float]:
        return {}

    def nodes(self, section: str) -> list[str]:
        return ["n"]

    def shutdown(self) -> None:
        self.ended = True


class Cluster:
    """Starts fakes, with a planted failure."""

    def __init__(self) -> None:
        self.plant: Callable[[Actors], None] = lambda actors: None
        self.refuses: Exception | None = None
        self.started: list[Actors] = []

    async def launch(self, config: RunConfig, *, model: str, **arguments: object) -> Actors:
        if self.refuses is not None:
            raise self.refuses
        self.started.append(Actors(model))
        self.plant(self.started[-1])
        return self.started[-1]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Cluster]:
    found = Cluster()
    node = Node({"CPU": 2.0}, id="n", address="10.0.0.1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("r1ray.doctor.smoke.joining.connect", lambda address: (2.0, 0.0))
    monkeypatch.setattr("r1ray.doctor.smoke.joining.is_remote", lambda address: True)
    for module in ("smoke", "watch"):
        monkeypatch.setattr(f"r1ray.doctor.{module}.nodes_of_cluster", lambda: [node])
    monkeypatch.setattr("r1ray.doctor.smoke.preflight", lambda config: None)
    monkeypatch.setattr("r1ray.stages.rl.launch", found.launch)
    for drawing in ("redraw", "finish"):
        monkeypatch.setattr(f"r1ray.stages.rl.Curves.{drawing}", lambda curves: None)  # a process of its own each
    yield found
    assert all(actors.ended for actors in found.started), "everything that was started is ended"
    assert list(tmp_path.iterdir()) == [], "nothing is left behind"


def doctor(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = cli.main(["doctor", "--smoke", "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def test_two_steps_pass_through_every_phase_without_a_model_or_data_of_the_user(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    code, found = doctor(capsys)
    assert code == 0 and found["passed"], found["failure"]
    assert [row["phase"] for row in found["phases"]] == [
        *("cluster", "model", "start", "generate", "reward", "learn", "publish", "probe", "export", "reload")
    ]
    metrics = {row["phase"]: row["metrics"] for row in found["phases"]}
    assert metrics["generate"]["tokens"] == 2 * 8 * 4 * 3
    assert metrics["learn"]["moved_nats"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["publish"]["publishes"] == 3
    assert metrics["reload"]["max_nats"] == 0.0
    assert found["placement"] == {"learner": ["10.0.0.1"]}


def test_the_text_is_one_block_and_the_runs_own_lines_are_not_in_it(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    assert cli.main(["doctor", "--smoke", "experiment=quickstart"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("r1ray doctor --smoke:")
    assert printed.out.splitlines()[-1].startswith("PASSED")
    assert "stage rl: 2 steps" in printed.err and "stage rl" not in printed.out


def crash(actors: Actors) -> None:
    actors.learner.crash_at = 1


def freeze(actors: Actors) -> None:
    actors.learner.is_frozen = True


def export_other(actors: Actors) -> None:
    actors.learner.exports_right = False


@pytest.mark.parametrize(
    ("plant", "phase", "cause"),
    [
        (crash, "learn", "RuntimeError: planted"),
        (freeze, "learn", "a step moves log-probabilities by 0 nats at most"),
        (export_other, "reload", "the export is not what the learner has: transformers differs from the learner by 1"),
    ],
)
def test_a_planted_failure_is_reported_by_its_phase_with_exit_code_1(
    capsys: pytest.CaptureFixture[str], cluster: Cluster, plant: Callable[[Actors], None], phase: str, cause: str
) -> None:
    cluster.plant = plant
    code = cli.main(["doctor", "--smoke"])
    last = capsys.readouterr().out.splitlines()[-1]
    assert code == 1
    assert last.startswith(f"FAILED in {phase}: {cause}"), last


def test_what_keeps_the_actors_from_starting_is_a_failed_start(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    cluster.refuses = UserError("the cluster cannot place the run: no node has 8 GPUs at once.")
    code, found = doctor(capsys)
    assert code == 1
    assert found["failure"] == {
        "phase": "start",
        "cause": "the cluster cannot place the run: no node has 8 GPUs at once.",
    }
    assert found["placement"] == {} and found["phases"][-1]["phase"] == "start"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["weights.backend=nccl"], "weights.backend=nccl needs GPUs"),
        (["recipe=sft"], "recipe=sft: has no reinforcement learning"),
        (["algo.grop_size=4"], "the nearest is algo.group_size"),
        (["--smok"], "--smok: no such flag; the nearest is --smoke"),
        (["prepare.maker=nowhere:make"], "prepare.maker=nowhere:make: needs package.module:function"),
    ],
)
def test_a_mistake_of_the_user_ends_with_2_and_a_sentence(
    capsys: pytest.CaptureFixture[str], cluster: Cluster, overrides: list[str], said: str
) -> None:
    assert cli.main(["doctor", "--smoke", *overrides]) == 2
    printed = capsys.readouterr()
    assert said in printed.err and not printed.out


def test_an_output_dir_that_cannot_be_written_is_refused(capsys: pytest.CaptureFixture[str], cluster: Cluster) -> None:
    assert cli.main(["doctor", "--smoke", "output_dir=/proc/nowhere"]) == 2
    assert "output_dir=/proc/nowhere: cannot be written" in capsys.readouterr().err


def test_a_shared_folder_goes_with_all_folders_that_were_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with working_folder(tmp_path / "kept" / "new" / "runs") as folder:
        assert folder.parent == tmp_path / "kept" / "new" / "runs"
        (folder / "run").mkdir()
    assert list(tmp_path.rglob("*")) == [tmp_path / "kept"]


def test_a_shared_folder_that_was_there_keeps_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(R1RayError), working_folder(tmp_path):
        raise R1RayError("planted")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_of_this_machine_alone_goes_too() -> None:
    with working_folder(None) as folder:
        assert folder.is_dir()
    assert not folder.exists()


def test_what_hangs_in_this_process_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.doctor.smoke.PATIENCE_S", 0.1)
    release = threading.Event()
    with pytest.raises(DeadlineExceeded, match=r"waited 0.1 s for the export to be read"):
        timely(lambda: release.wait(30), what="the export to be read")
    release.set()


def test_what_is_raised_in_time_is_raised_here() -> None:
    def broken() -> None:
        raise OSError("torn")

    with pytest.raises(OSError, match="torn"):
        timely(broken, what="it")
    assert timely(lambda: 3, what="it") == 3
