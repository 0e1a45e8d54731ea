"""The pods of an overlay are what its command asks for."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from r1ray.cluster.placement import Needs, Node, missing, needs
from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.planning.plan import host_of_node, plan_run
from tests.k8s.image import ROOT
from tests.k8s.manifests import GPU_JOBS, JOBS, OVERLAYS, driver_takes, group, groups, overrides, ray_cluster, rayjob

SPARE_S = 60.0


@functools.cache
def config_of(name: str) -> RunConfig:
    return compose(overrides(name))


def need_of(name: str) -> Needs:
    return needs(config_of(name), cluster_has_gpus=name != "cpu")


def nodes_of(name: str, number: str = "replicas") -> Iterator[Node]:
    """The Ray nodes of an overlay, beside the driver."""
    driver = driver_takes(name)
    for each in groups(name):
        for index in range(1 if each.name == "head" else each.spec[number]):
            is_drivers = index == 0 and each.node.holds(driver)
            yield each.node.without(driver) if is_drivers else each.node


@pytest.mark.parametrize("name", JOBS)
def test_the_pods_hold_the_run_and_its_driver(name: str) -> None:
    nodes = list(nodes_of(name))
    assert missing(need_of(name), nodes) is None
    whole = sum(each.spec["replicas"] * each.node.resources["CPU"] for each in groups(name)[1:])
    assert sum(node.resources["CPU"] for node in nodes) == whole - driver_takes(name)["CPU"]  # it found a place


@pytest.mark.parametrize("name", GPU_JOBS)
def test_no_gpu_is_asked_for_that_the_run_does_not_use(name: str) -> None:
    assert sum(node.resources["GPU"] for node in nodes_of(name)) == need_of(name).gpus


def test_the_split_overlay_has_a_rank_for_every_gpu_of_its_learner_pods() -> None:
    need, config = need_of("8x8"), config_of("8x8")
    learner, rollout = group("8x8", "learner"), group("8x8", "rollout")
    assert config.learner.num_ranks == learner.spec["replicas"] * learner.limits["nvidia.com/gpu"]
    assert (
        need.of("rollout").count * need.of("rollout").gpus
        == rollout.spec["replicas"] * rollout.limits["nvidia.com/gpu"]
    )
    assert rollout.limits["nvidia.com/gpu"] % need.of("rollout").gpus == 0  # an engine is inside one pod


@pytest.mark.parametrize("name", JOBS)
def test_every_kind_of_actor_is_bound_to_a_group_and_only_rewards_to_the_locked_one(name: str) -> None:
    config = config_of(name)
    pools = {each.name: each.spec["labels"]["r1ray.io/pool"] for each in groups(name)}
    assert all(group_name == pool for group_name, pool in pools.items())
    assert config.reward.labels == config.environment.labels == {"r1ray.io/pool": "reward"}
    assert config.learner.labels == {"r1ray.io/pool": "learner"}
    assert config.rollout.labels == {"r1ray.io/pool": "rollout" if name == "8x8" else "learner"}
    for each in groups(name):
        assert each.labels["r1ray.io/pool"] == pools[each.name]  # Kubernetes' label, for the network policies


@pytest.mark.parametrize("name", JOBS)
def test_the_driver_runs_where_the_runs_folder_is(name: str) -> None:
    driver = driver_takes(name)
    assert [each.name for each in groups(name) if each.node.holds(driver)] == ["learner"]
    config = config_of(name)
    paths = [config.output_dir, config.data.train, config.data.eval]
    for path in paths:
        assert path is None or path.startswith("/storage/")
    for each in groups(name):
        has_storage = {"name": "storage", "mountPath": "/storage"} in each.container["volumeMounts"]
        assert has_storage == (each.name != "reward"), each.name


@pytest.mark.parametrize("name", JOBS)
def test_the_grace_of_a_pod_fits_a_step_its_publish_and_its_checkpoint(name: str) -> None:
    deadlines = plan_run(config_of(name)).deadlines
    needed = deadlines.learn_s + deadlines.publish_s + deadlines.checkpoint_s + SPARE_S
    for each in groups(name):
        assert each.pod["terminationGracePeriodSeconds"] >= needed, each.name


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_run_ends_first_where_a_pod_that_it_needs_has_to_go(name: str) -> None:
    needed = {"learner"} if "gcsFaultToleranceOptions" in ray_cluster(name) else {"learner", "head"}
    for each in groups(name):
        hook = each.container["lifecycle"]["preStop"]["exec"]["command"]
        assert hook == (["end-run"] if each.name in needed else ["end-run", "--if-asked"]), each.name


@pytest.mark.parametrize("name", JOBS)
def test_what_the_autoscaler_takes_away_the_run_waits_for(name: str) -> None:
    config, cluster = config_of(name), ray_cluster(name)
    scaled = [each for each in cluster["workerGroupSpecs"] if each["minReplicas"] < each["maxReplicas"]]
    assert bool(scaled) == bool(cluster.get("enableInTreeAutoscaling"))
    if scaled:
        assert config.cluster.wait_s >= 600  # a node that is bought, its image and its start
        # With no node of the kind there, "one GPU where the cluster has GPUs" would depend on the moment.
        assert None not in (config.learner.gpus_per_rank, config.rollout.gpus_per_actor)
    for each in cluster["workerGroupSpecs"]:
        assert each["minReplicas"] <= each["replicas"] <= each["maxReplicas"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_rays_autoscaler_reads_the_same_nodes_and_bounds_from_the_manifest(name: str) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr

    resource = {"metadata": {"name": "r1ray", "namespace": "r1ray"}, "spec": ray_cluster(name)}
    types = _derive_autoscaling_config_from_ray_cr(resource)["available_node_types"]
    for each in groups(name):
        found = types["headgroup" if each.name == "head" else each.name]
        taken = {key: float(found["resources"].get(key, 0)) for key in each.node.resources}
        assert (taken, found["labels"]) == (dict(each.node.resources), dict(each.node.labels)), each.name
        if each.name != "head":
            bounds = (each.spec["minReplicas"], each.spec["maxReplicas"])
            assert (found["min_workers"], found["max_workers"]) == bounds


@pytest.mark.parametrize("name", GPU_JOBS)
def test_the_memory_of_learner_pods_holds_a_checkpoint_that_is_being_written(name: str) -> None:
    """Optimizer state and weights, 14 bytes a parameter, copied to the host's memory (checkpoint.asynchronous)."""
    billions = float(str(config_of(name).model).rpartition("-")[2].removesuffix("B"))
    learner = group(name, "learner")
    assert learner.limits["memory"] * learner.spec["replicas"] >= 3 * 14e9 * billions


def test_the_memory_of_a_pod_with_one_gpu_holds_what_leaves_the_gpu() -> None:
    config = config_of("1x1")
    plan = plan_run(replace(config, plan=replace(config.plan, gpu="a10g")))
    assert plan.problems == ()
    needed, _ = host_of_node(config, plan.shape, plan.actors[0])
    pod = group("1x1", "learner")
    shared_memory = 16 * 2**30  # counts as the pod's
    assert pod.limits["memory"] >= needed + shared_memory


def test_every_command_for_gpus_composes_in_a_process_of_its_own() -> None:
    """Also where there is no GPU: what it asks of the cluster is looked at when it runs."""
    processes = {
        name: subprocess.Popen(
            [sys.executable, *rayjob(name)["entrypoint"].split()[1:], "--cfg", "job"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in GPU_JOBS
    }
    for name, process in processes.items():
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error.decode()
        shown = yaml.load(out, Loader=yaml.CSafeLoader)
        assert shown["rollout"]["num_actors"] == need_of(name).of("rollout").count
        assert shown["output_dir"] == "/storage/runs"
