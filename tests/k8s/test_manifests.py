"""Every overlay renders to objects that a cluster takes, and their pods are what k8s/README.md says of them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest

from tests.k8s import schemas
from tests.k8s.image import ROOT, stages
from tests.k8s.manifests import (
    EXAMPLES,
    JOBS,
    K8S,
    OVERLAYS,
    Manifest,
    group,
    groups,
    of_kind,
    overlay,
    own,
    pod_templates,
    quantity,
    ray_cluster,
    render,
)

RENDERED = [
    *(f"overlays/{name}" for name in OVERLAYS),
    *(f"examples/{name}" for name in EXAMPLES),
    *("storage", "jobs/bring", "jobs/send"),
]
"""Every folder that is applied."""


def pods(name: str) -> list[tuple[str, Manifest]]:
    """Every pod of an overlay, with the job's submitter."""
    found = [(each.name, each.pod) for each in groups(name)]
    for job in of_kind(overlay(name), "RayJob"):
        found.append(("submitter", job["spec"]["submitterPodTemplate"]["spec"]))
    return found


def containers(name: str) -> list[tuple[str, Manifest]]:
    """Every container with a security context of its own, also the autoscaler's."""
    found = [(f"{pod}/{each['name']}", each) for pod, spec in pods(name) for each in spec["containers"]]
    autoscaler = ray_cluster(name).get("autoscalerOptions")
    return [*found, ("head/autoscaler", autoscaler)] if autoscaler else found


# ---------------------------------------------------------------------- schemas


@pytest.mark.parametrize("release", schemas.RELEASES, ids=lambda folder: Path(folder or "none").name)
@pytest.mark.parametrize("name", RENDERED)
def test_every_object_is_one_of_its_schema(name: str, release: str | None) -> None:
    unknown = []
    for thing in render(K8S / name):
        try:
            assert schemas.problems(thing, release) == [], f"{thing['kind']} {thing['metadata']['name']}"
        except schemas.NoSchema as error:
            unknown.append(str(error))
    unknown = [kind for kind in unknown if not kind.endswith("PodMonitor")]
    if unknown and release is None:
        pytest.skip(f"R1RAY_KUBERAY_CRDS names no folder with the CRD of {', '.join(unknown)}")
    assert unknown == []


@pytest.mark.skipif(schemas.FOLDER is None, reason="R1RAY_KUBERAY_CRDS names no folder with KubeRay's CRDs")
def test_the_releases_of_kuberay_are_those_that_the_readme_names() -> None:
    assert [Path(str(folder)).name for folder in schemas.RELEASES[1:]] == ["v1.5.2", "v1.6.2"]
    assert "CRDs of KubeRay 1.5, 1.6 and 1.7" in (K8S / "README.md").read_text()


@pytest.mark.skipif(schemas.FOLDER is None, reason="R1RAY_KUBERAY_CRDS names no folder with KubeRay's CRDs")
@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (["spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"], 1, "minReplica"),
        (["spec", "rayClusterSpec", "headGroupSpec", "template", "spec", "containers", 0, "lifecyle"], {}, "lifecyle"),
        (["spec", "backoffLimit"], "2", "is not of type 'integer'"),
        (["spec", "rayClusterSpec", "autoscalerOptions", "version"], "v3", "v3"),
    ],
)
def test_a_slip_in_a_rayjob_is_found(path: list[Any], value: Any, says: str) -> None:
    job = copy.deepcopy(of_kind(overlay("8x8"), "RayJob")[0])
    *parents, last = path
    place = job
    for part in parents:
        place = place[part]
    place[last] = value
    assert any(says in problem for problem in schemas.problems(job))


def test_the_long_lived_cluster_has_the_pods_of_8x8() -> None:
    assert ray_cluster("8x8-cluster") == ray_cluster("8x8")
    assert of_kind(overlay("8x8-cluster"), "RayJob") == []


# ---------------------------------------------------------------------- secrets, accounts, network


@pytest.mark.parametrize("name", OVERLAYS)
def test_no_secret_is_in_the_manifests(name: str) -> None:
    assert of_kind(overlay(name), "Secret") == []
    secret = re.compile(r"key|token|secret|password", re.IGNORECASE)
    for config in of_kind(overlay(name), "ConfigMap"):
        assert [key for key in config["data"] if secret.search(key)] == []
    for where, container in containers(name):
        given = [env["name"] for env in container.get("env", []) if secret.search(env["name"]) and "value" in env]
        assert given == [], where


@pytest.mark.parametrize("name", OVERLAYS)
def test_reward_pods_hold_and_reach_nothing(name: str) -> None:
    reward = group(name, "reward")
    assert reward.pod["automountServiceAccountToken"] is False
    assert reward.pod["serviceAccountName"] == "r1ray-reward"
    assert "envFrom" not in reward.container and "env" not in reward.container
    assert all("emptyDir" in volume for volume in reward.pod["volumes"])
    policies = [
        policy["spec"]
        for policy in of_kind(overlay(name), "NetworkPolicy")
        if "Egress" in policy["spec"]["policyTypes"]
        and policy["spec"]["podSelector"]["matchLabels"].items() <= reward.labels.items()
    ]
    [policy] = policies
    to_ray, to_names = policy["egress"]
    of_the_run = {"ray.io/is-ray-node": "yes", "r1ray.io/run": "r1ray"}
    assert to_ray == {"to": [{"podSelector": {"matchLabels": of_the_run}}]}
    assert [port["port"] for port in to_names["ports"]] == [53, 53]
    assert to_names["to"][0]["podSelector"]["matchLabels"] == {"k8s-app": "kube-dns"}
    for each in groups(name):
        assert (each.name == "reward") == (policy["podSelector"]["matchLabels"].items() <= each.labels.items())


@pytest.mark.parametrize("name", OVERLAYS)
def test_only_an_autoscaler_may_talk_to_kubernetes(name: str) -> None:
    scales = bool(ray_cluster(name).get("enableInTreeAutoscaling"))
    for who, pod in pods(name):
        assert (who == "head" and scales) == pod.get("automountServiceAccountToken", True), who


# ---------------------------------------------------------------------- what a pod may do


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_pod_is_within_the_restricted_standard(name: str) -> None:
    [namespace] = of_kind(overlay(name), "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for who, pod in pods(name):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] and context["seccompProfile"] == {"type": "RuntimeDefault"}, who
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), who
        assert not any("hostPath" in volume for volume in pod["volumes"]), who
    for where, container in containers(name):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, where
        assert context["capabilities"] == {"drop": ["ALL"]}, where


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_root_file_system_is_read_only_and_what_is_written_has_a_volume(name: str) -> None:
    declared = {volume["name"] for each in groups(name) for volume in each.pod["volumes"]}
    for where, container in containers(name):
        assert container["securityContext"]["readOnlyRootFilesystem"] is True, where
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/home/r1ray"} <= mounted, where
        assert {mount["name"] for mount in container["volumeMounts"]} <= declared, where


def test_the_images_user_is_the_pods() -> None:
    for stage in ("cpu", "gpu"):
        [user] = stages()[stage].of("USER")
        assert user == "1000:1000"
        assert stages()[stage].of("WORKDIR") == ["/home/r1ray"]
    for who, pod in pods("8x8"):
        context = pod["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (1000, 1000, 1000), who


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_claim_account_class_and_setting_that_a_pod_names_is_there(name: str) -> None:
    there = {(thing["kind"], thing["metadata"]["name"]) for thing in overlay(name)}
    for who, pod in pods(name):
        named = {("ServiceAccount", pod.get("serviceAccountName")), ("PriorityClass", pod.get("priorityClassName"))}
        for volume in pod["volumes"]:
            named.add(("PersistentVolumeClaim", volume.get("persistentVolumeClaim", {}).get("claimName")))
        for container in pod["containers"]:
            for source in container.get("envFrom", []):
                named.add(("ConfigMap", source.get("configMapRef", {}).get("name")))
                if "secretRef" in source:
                    assert source["secretRef"]["optional"] is True
        assert {pair for pair in named if pair[1] is not None} <= there, who


# ---------------------------------------------------------------------- memory, probes, metrics, queues


@pytest.mark.parametrize("name", OVERLAYS)
def test_shared_memory_holds_the_object_store_and_counts_as_memory(name: str) -> None:
    for each in groups(name):
        shm = each.volume("shm")["emptyDir"]
        assert shm["medium"] == "Memory"
        store = float(each.spec["rayStartParams"]["object-store-memory"])
        spare = 1.9 if each.limits.get("nvidia.com/gpu") else 1.0  # NCCL's and vLLM's buffers
        assert spare * store <= quantity(shm["sizeLimit"]) <= each.limits["memory"] / 2, each.name
        assert {"name": "shm", "mountPath": "/dev/shm"} in each.container["volumeMounts"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pods_share_of_a_nodes_disk_holds_its_volumes(name: str) -> None:
    """A pod that goes beyond it is evicted; what is in its volumes counts, and its containers' logs."""
    for who, pod in pods(name):
        on_disk = [each["emptyDir"] for each in pod["volumes"] if "emptyDir" in each]
        volumes = sum(quantity(each["sizeLimit"]) for each in on_disk if each.get("medium") != "Memory")
        for container in pod["containers"]:
            resources = container["resources"]
            asked, limit = (quantity(resources[kind]["ephemeral-storage"]) for kind in ("requests", "limits"))
            assert 0 < asked <= limit, who
            assert limit > volumes, who


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_ray_node_is_probed_and_measured(name: str) -> None:
    for each in groups(name):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert each.container[probe]["httpGet"] == {"path": "/api/healthz", "port": 52365}
        liveness = each.container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 300  # a node that loads a model is slow
        assert {"name": "metrics", "containerPort": 8080} in each.container["ports"]


def test_the_monitor_asks_every_port_that_has_metrics(tmp_path: Path) -> None:
    objects = own(tmp_path, "overlays/8x8", components=["monitor"])
    [monitor] = of_kind(objects, "PodMonitor")
    asked = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
    head = {port["name"] for port in pod_templates(objects)["head"]["spec"]["containers"][0]["ports"]}
    assert asked == {port for port in head if port.endswith("metrics")}
    assert monitor["metadata"]["namespace"] == "r1ray"
    for name in OVERLAYS:
        assert of_kind(overlay(name), "PodMonitor") == []  # the kind is the Prometheus operator's


@pytest.mark.parametrize("name", JOBS)
def test_a_run_can_be_queued_by_kueue(name: str) -> None:
    [job] = of_kind(overlay(name), "RayJob")
    spec = job["spec"]
    queue = job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name")
    assert queue == (None if name == "cpu" else "r1ray")
    if queue:  # what Kueue's webhook asks of a RayJob
        assert spec["shutdownAfterJobFinishes"] is True and "clusterSelector" not in spec
        assert len(spec["rayClusterSpec"]["workerGroupSpecs"]) <= 7
        if spec["rayClusterSpec"].get("enableInTreeAutoscaling"):
            assert job["metadata"]["annotations"]["kueue.x-k8s.io/elastic-job"] == "true"


@pytest.mark.parametrize("name", [name for name in OVERLAYS if name != "cpu"])
def test_the_heads_state_outlives_it(name: str) -> None:
    options = ray_cluster(name)["gcsFaultToleranceOptions"]
    assert options["redisPassword"]["valueFrom"]["secretKeyRef"] == {"name": "r1ray-redis", "key": "password"}
    assert group(name, "head").spec["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("name", JOBS)
def test_a_run_is_not_given_up_with_the_third_head_that_is_lost(name: str) -> None:
    """With each the submitter ends (``test_head_restart.py``); KubeRay's default is two more."""
    [job] = of_kind(overlay(name), "RayJob")
    assert job["spec"]["submitterConfig"]["backoffLimit"] >= 10


def test_the_split_overlay_scales_its_rollout_workers_within_bounds() -> None:
    assert ray_cluster("8x8")["enableInTreeAutoscaling"] is True
    bounds = {
        each.name: tuple(each.spec[key] for key in ("minReplicas", "replicas", "maxReplicas"))
        for each in groups("8x8")[1:]
    }
    assert bounds == {"learner": (4, 4, 4), "rollout": (0, 4, 8), "reward": (1, 2, 8)}


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_that_hold_state_go_last(name: str) -> None:
    value = {each["metadata"]["name"]: each["value"] for each in of_kind(overlay(name), "PriorityClass")}
    classes = {who: value.get(pod.get("priorityClassName"), 0) for who, pod in pods(name)}
    lasting = {classes.pop(who) for who in ("head", "learner", "submitter") if who in classes}
    assert min(lasting) > max(classes.values())


def test_the_image_has_the_version_of_ray_that_kuberay_is_told() -> None:
    lock = (ROOT / "launch" / "requirements-cpu.txt").read_text()
    [version] = re.findall(r"^ray==(\S+)$", lock, re.MULTILINE)
    assert {ray_cluster(name)["rayVersion"] for name in OVERLAYS} == {version}
