"""An engine that is spread over two nodes, as stages of a pipeline: it serves what was published, and is lost as a
whole."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from r1ray.types import GroupRequest, PublishStats, Sampling, Trajectory
from tests.fakes import make_prompt
from tests.real.test_publish import System, config

pytestmark = [pytest.mark.real, pytest.mark.faults, pytest.mark.long]
LONGEST = 192
WORKERS = {"worker_extension_cls": "tests.real.extensions.Pid"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path) -> Iterator[System]:
    """A learner rank, and one engine on two nodes: no node has room for both of its parts."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, "resources": {"rollout": 1}}
    )
    cluster.add_node(num_cpus=1, include_dashboard=False, resources={"rollout": 1})
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    asked = config(qwen_folder, probe_every=1)
    asked.algo = replace(asked.algo, max_completion_tokens=LONGEST)
    asked.rollout = replace(asked.rollout, nodes_per_actor=2, resources={"rollout": 2}, engine_args=WORKERS)
    try:
        with asyncio.Runner() as runner:
            made = System(asked, tmp_path_factory.mktemp("system"), runner)
            yield made
            made.running.shutdown()
    finally:
        ray.shutdown()
        cluster.shutdown()


def test_its_parts_are_on_different_nodes(system: System) -> None:
    assert len(system.running.placement.nodes("rollout")) == 2
    assert system.pool.engines[0].num_workers == 2


def test_both_stages_get_what_is_published_and_serve_it(system: System) -> None:
    for _ in range(2):
        published = system.publish()
        assert (published.num_resent, published.num_engines) == (0, 1)
        assert published.probe_max_diff is not None and published.probe_max_diff < 1e-4
        system.step()


def test_what_is_generated_meanwhile_goes_on_under_the_new_version(system: System) -> None:
    before = system.version

    async def generate() -> list[Trajectory]:
        request = GroupRequest(
            group_id="0/meanwhile",
            prompt=make_prompt(),
            group_size=8,
            sampling=Sampling(1.0, 1.0, LONGEST),
            seed=1,
        )
        groups: Any = system.running.roles.groups
        return list(await groups.sample(request))

    async def both() -> tuple[list[Trajectory], PublishStats]:
        generating = asyncio.create_task(generate())
        await asyncio.sleep(0.5)
        published = await system.weights.publish(before + 1)
        return await generating, published

    completions, published = system.run(both())
    system.version += 1
    assert published.num_resent == 0 and published.probe_max_diff is not None and published.probe_max_diff < 1e-4
    spans = [[(span.version, span.start, span.end) for span in each.segments[0].versions] for each in completions]
    assert any(len(each) == 2 for each in spans), spans
    for each, trajectory in zip(spans, completions, strict=True):
        assert [version for version, _, _ in each] in ([before], [before, before + 1])
        assert [0, *(end for _, _, end in each)] == [*(start for _, start, _ in each), trajectory.num_policy_tokens]


def processes(system: System) -> list[psutil.Process]:
    """Of the engine: the worker of each stage, and its parent."""

    async def ask() -> list[int]:
        return list(await system.pool.engines[0].actor.call_workers.remote("pid"))

    workers = [psutil.Process(pid) for pid in system.run(ask())]
    parents = [worker.parent() for worker in workers]
    return workers + [parent for parent in parents if parent is not None]


def test_with_a_part_the_engine_is_lost_and_replaced_as_a_whole(system: System) -> None:
    before, engine = processes(system), system.pool.engines[0]
    before[1].send_signal(signal.SIGKILL)
    system.wait_until_replaced(engine)
    published = system.publish_again()
    assert (published.num_resent, published.num_engines) == (0, 1), "the learner sends it what is live"
    assert system.difference() < 1e-4
    system.step()
    assert not any(process.is_running() for process in before)


def test_the_other_parts_end_with_the_engine(system: System) -> None:
    before = processes(system)
    system.pool.engines[0].actor.kill()
    _, alive = psutil.wait_procs(before, timeout=30)
    assert not alive
