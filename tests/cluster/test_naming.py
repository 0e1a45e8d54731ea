"""Names of actors, and what their deaths say, on a real Ray."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import ray
from ray.exceptions import RayActorError, RayError

from r1ray.cluster.host import Handle, cause_of, host, import_path
from r1ray.errors import EngineLost
from r1ray.runtime.actor_status import read_told, status_of
from r1ray.runtime.own_process import Name, OwnProcess, be, environment

pytestmark = pytest.mark.real


class Rank:
    """Prints, fails, and dies, as it is told."""

    def say(self, text: str) -> int:
        print(text, flush=True)
        os.system("echo a child says so too")
        return os.getpid()

    def die(self) -> None:
        print("Traceback (most recent call last):\nMemoryError: planted", flush=True)
        os._exit(1)

    def title(self) -> str:
        return " ".join(psutil.Process().cmdline())


class Engine:
    """Loses its engine core."""

    async def lose(self) -> None:
        raise EngineLost("vLLM has died: see above")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("run") / "logs"
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    folder.mkdir()
    be(OwnProcess(Name("driver", 0), folder / "driver-0.log"))
    yield folder
    be(None)
    ray.shutdown()


def started(kind: str, name: Name, *, is_async: bool = False) -> Handle:
    env = {"env_vars": import_path() | environment(name)}
    return host(f"tests.cluster.test_naming:{kind}", is_async=is_async, num_cpus=0, runtime_env=env)


def test_an_actor_is_called_after_its_role_in_ray_in_ps_in_its_log_and_in_its_death(logs: Path) -> None:
    actor = started("Rank", Name("learner rank", 1))
    pid = ray.get(actor.say.remote("hello"))
    log = logs / "learner-rank-1.log"
    assert "hello\n" in log.read_text() and "a child says so too\n" in log.read_text()
    deadline = time.monotonic() + 10
    while (told := read_told(log.with_suffix(".json"))) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (told.role, told.index, told.process.pid) == ("learner rank", 1, pid)
    assert "learner-rank-1" in ray.get(actor.title.remote())
    with pytest.raises(RayActorError) as caught:
        ray.get(actor.die.remote())
    assert "class_name: learner-rank-1" in str(caught.value)
    text = cause_of(caught.value)
    assert "MemoryError: planted" in text and str(log) in text and f"process {pid}" in text
    assert status_of(told).state == "dead" and status_of(told).last_error == "MemoryError: planted"


def test_a_lost_engine_says_what_its_core_died_of(logs: Path) -> None:
    actor = started("Engine", Name("rollout worker", 0), is_async=True)
    (logs / "engine-core-0.log").write_text("RuntimeError: planted in the core\n")
    with pytest.raises(RayError) as caught:
        ray.get(actor.lose.remote())
    assert "RuntimeError: planted in the core" in cause_of(caught.value)
    assert str(logs / "engine-core-0.log") in cause_of(caught.value)
    actor.kill()
