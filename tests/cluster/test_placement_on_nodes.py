"""Placement on a real Ray cluster of three nodes, all on this machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.exceptions import RayActorError

from r1ray.cluster.host import EngineShards, host, mistake_of
from r1ray.cluster.newcomers import newcomers
from r1ray.cluster.placement import Kind, Needs, Reservation, in_turns, missing, nodes_of_cluster, reserve
from r1ray.cluster.reachable import why_unreachable
from r1ray.cluster.spawn import Spawner
from r1ray.cluster.storage import check_storage
from r1ray.config.specs import EngineShardSpec
from r1ray.errors import UserError
from tests.listening import listening

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes. GPUs are only said to be there."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "include_dashboard": False, "labels": {"tier": "head", "zone": "a"}},
        connect=True,
    )
    try:
        cluster.add_node(num_cpus=4, num_gpus=4, labels={"tier": "learner"}, include_dashboard=False)
        cluster.add_node(num_cpus=4, num_gpus=4, labels={"tier": "rollout"}, resources={"rollout_node": 1})
        cluster.wait_for_nodes()
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(scope="module")
def tiers(cluster: Cluster) -> dict[str, str]:
    """The tier of each node, by its id."""
    return {node["NodeID"]: node["Labels"]["tier"] for node in ray.nodes()}


def kind(section: str, count: int = 1, cpus: float = 1, gpus: int = 0, **placed: dict[str, object]) -> Kind:
    each = "rank" if section == "learner" else "actor"
    return Kind(section=section, each=each, count=count, cpus=cpus, gpus=gpus, **placed)  # type: ignore[arg-type]


@pytest.mark.usefixtures("tiers")
def test_a_cluster_answers_at_its_address() -> None:
    assert why_unreachable(ray.get_runtime_context().gcs_address, timeout_s=10.0) is None


def test_every_node_is_read_with_its_id_address_and_labels(tiers: dict[str, str]) -> None:
    nodes = nodes_of_cluster()
    assert {node.id: node.labels["tier"] for node in nodes} == tiers
    assert all(node.address and node.resources["CPU"] >= 2 for node in nodes)


def test_a_run_without_an_address_leaves_the_clusters_of_others_alone(tiers: dict[str, str]) -> None:
    program = "import ray, r1ray.cluster.joining as j; j.connect(None); print(len(ray.nodes()))"
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=env)
    assert done.stdout.strip() == "1", done.stderr[-2000:]


@ray.remote
class Where:
    """Says which GPU of which node it was given."""

    def gpu(self) -> tuple[str, str | None]:
        return ray.get_runtime_context().get_node_id(), os.environ.get("CUDA_VISIBLE_DEVICES")


def test_in_turns_each_rank_has_the_gpu_of_one_engine_on_whatever_node(tiers: dict[str, str]) -> None:
    need = Needs(tuple(in_turns(kind("learner", 6, gpus=1), kind("rollout", 6, gpus=1))))
    reservation = asyncio.run(reserve(need, wait_s=10))
    try:
        where = {
            section: ray.get([Where.options(**reservation.options(section, i)).remote().gpu.remote() for i in range(6)])
            for section in ("learner", "rollout")
        }
    finally:
        reservation.remove()
    assert where["learner"] == where["rollout"] and len(set(where["learner"])) == 6
    assert len({node for node, _ in where["learner"]}) == 2 and all(gpu for _, gpu in where["learner"])


class Leading:
    def __init__(self, part: EngineShardSpec) -> None:
        raise AssertionError("was built although a part was not")


class Mistaken:
    def __init__(self, part: EngineShardSpec) -> None:
        raise UserError(f"model=x: part {part.node_rank} has no such model")


def test_what_a_part_of_a_spread_actor_finds_wrong_is_the_users_to_read(tiers: dict[str, str]) -> None:
    parts = EngineShards(f"{__name__}:Mistaken", [{"num_cpus": 0}])
    actor = host(f"{__name__}:Leading", is_async=True, parts=parts, num_cpus=0)
    with pytest.raises(RayActorError) as raised:
        ray.get(actor.alive(), timeout=60)
    mistake = mistake_of(raised.value)
    assert isinstance(mistake, UserError) and str(mistake) == "model=x: part 1 has no such model"


@ray.remote
class Somewhere:
    def node(self) -> str:
        return str(ray.get_runtime_context().get_node_id())


def reserved(need: Needs) -> Reservation:
    """A reservation on a cluster that nobody else uses: what was removed before it is free only a moment later."""
    deadline = time.monotonic() + 60
    while any(ray.available_resources().get(name, 0) < ray.cluster_resources()[name] for name in ("CPU", "GPU")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with listening(pytest.fail):
        return asyncio.run(reserve(need, wait_s=10))


def places(reservation: Reservation, tiers: dict[str, str]) -> dict[str, list[str]]:
    """Where actors really are, by their sections."""
    actors = {
        kind.section: [
            Somewhere.options(**reservation.options(kind.section, index)).remote()  # type: ignore[attr-defined]
            for index in range(kind.count)
        ]
        for kind in reservation.need.kinds
    }
    try:
        return {
            section: [tiers[node] for node in ray.get([actor.node.remote() for actor in started], timeout=60)]
            for section, started in actors.items()
        }
    finally:
        for started in actors.values():
            for actor in started:
                ray.kill(actor)


def test_every_kind_runs_where_its_labels_and_resources_are(tiers: dict[str, str]) -> None:
    need = Needs(
        (
            kind("learner", 2, labels={"tier": "!in(rollout, head)"}),
            kind("rollout", resources={"rollout_node": 0.5}),
            kind("eval", resources={"rollout_node": 0.5}),
            kind("reward", cpus=0, labels={"zone": "a"}),
        )
    )
    reservation = reserved(need)
    found = places(reservation, tiers)
    reservation.remove()
    assert found == {"learner": ["learner"] * 2, "rollout": ["rollout"], "eval": ["rollout"], "reward": ["head"]}


def test_ranks_are_together_and_engines_inside_a_node(tiers: dict[str, str]) -> None:
    need = Needs((kind("learner", 4, gpus=1), kind("rollout", 2, gpus=2)))
    reservation = reserved(need)
    nodes = {section: [tiers[node] for node in reservation.nodes(section)] for section in ("learner", "rollout")}
    reservation.remove()
    assert sorted(map(len, nodes.values())) == [1, 1]
    assert nodes["learner"] != nodes["rollout"]


def test_a_path_that_only_the_driver_sees_is_named_with_its_node(tiers: dict[str, str]) -> None:
    reservation = reserved(Needs((kind("learner", labels={"tier": "learner"}),)))
    with tempfile.TemporaryFile() as file:
        only_here = f"/proc/self/fd/{os.dup2(file.fileno(), 777)}"
        stored = {"learner": {"output_dir": "/proc/self", "model": only_here}}
        spawner = Spawner(reservation, [])
        try:
            with pytest.raises(UserError, match=rf"model: {only_here} is not on node [0-9.]+, where learner actors"):
                asyncio.run(check_storage(spawner, stored, start_s=60))
        finally:
            os.close(777)
            reservation.remove()


def test_what_is_missing_is_said_in_time(tiers: dict[str, str], said: list[str]) -> None:
    started = time.monotonic()
    message = (
        r"cannot place the run: no node has 8 GPUs at once \(rollout.gpus_per_actor=8\).*largest has 4.*cluster.wait_s"
    )
    with pytest.raises(UserError, match=message):
        asyncio.run(reserve(Needs((kind("rollout", gpus=8),)), wait_s=1.5))
    assert time.monotonic() - started < 30
    assert len(said) == 1


def test_what_takes_nothing_waits_for_its_labels_too(tiers: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"no node's label tier is cpu \(reward.labels\): nodes have head, learner"):
        asyncio.run(reserve(Needs((kind("reward", cpus=0, labels={"tier": "cpu"}),)), wait_s=0))


def test_what_others_use_is_said_and_waited_for(tiers: dict[str, str]) -> None:
    need = Needs((kind("learner", 3, gpus=2),))
    first = reserved(need)
    with pytest.raises(
        UserError, match=r"the run needs 3 CPUs and 6 GPUs, .* others use .*; free now: 7 CPUs and 2 GPUs"
    ):
        asyncio.run(reserve(need, wait_s=0))

    def free(text: str) -> None:
        first.remove()

    with listening(free):
        asyncio.run(reserve(need, wait_s=30)).remove()


def test_the_scheduler_agrees_about_what_fits(tiers: dict[str, str]) -> None:
    """What is called possible on empty nodes is placed at once, what is not is not."""
    for learner, rollout, is_possible in [
        (kind("learner", 4, gpus=1), kind("rollout", 1, gpus=4), True),
        (kind("learner", 1, gpus=4), kind("rollout", 2, gpus=2), True),
        (kind("learner", 2, gpus=3), kind("rollout", 1, gpus=2), False),
        (kind("learner", 2, gpus=1, cpus=2), kind("rollout", 3, gpus=2), False),
    ]:
        need = Needs((learner, rollout))
        assert (missing(need, nodes_of_cluster()) is None) == is_possible
        if is_possible:
            reserved(need).remove()


def test_engines_join_one_after_the_other_as_nodes_come(cluster: Cluster, tiers: dict[str, str]) -> None:
    """The last test: it adds a node."""
    placement = reserved(Needs((kind("rollout", 2, gpus=4),)))
    come = newcomers(placement, "rollout", first=2, end=4)

    async def scenario() -> None:
        waiting = asyncio.ensure_future(anext(come))
        await asyncio.wait({waiting}, timeout=3.0)
        assert not waiting.done() and len(placement.joined) == 1, "there is no room, and it is asked for once"
        cluster.add_node(num_cpus=1, num_gpus=4, labels={"tier": "late"}, include_dashboard=False)
        assert await asyncio.wait_for(waiting, 60) == "rollout 2"
        actor = Somewhere.options(**placement.options("rollout", 2)).remote()  # type: ignore[attr-defined]
        late = {node["NodeID"] for node in ray.nodes()} - tiers.keys()
        assert {await actor.node.remote()} == late == {placement.node("rollout", 2)}
        assert tiers[placement.node("rollout", 0) or ""] in ("learner", "rollout")

    asyncio.run(scenario())
    placement.remove()
