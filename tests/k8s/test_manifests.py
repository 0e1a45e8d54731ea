"""Every overlay renders to objects that a cluster takes, and their pods are what k8s/README.md says of them."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.k8s import schemas
from tests.k8s.image import ROOT, stages
from tests.k8s.manifests import (
    JOBS,
    K8S,
    OVERLAYS,
    Manifest,
    group,
    groups,
    of_kind,
    overlay,
    quantity,
    ray_cluster,
    render,
)


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


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_object_is_one_of_its_schema(name: str) -> None:
    unknown = []
    for thing in overlay(name):
        try:
            assert schemas.problems(thing) == [], f"{thing['kind']} {thing['metadata']['name']}"
        except schemas.NoSchema as error:
            unknown.append(str(error))
    unknown = [kind for kind in unknown if not kind.endswith("PodMonitor")]
    if unknown and schemas.FOLDER is None:
        pytest.skip(f"R1RAY_KUBERAY_CRDS names no folder with the CRD of {', '.join(unknown)}")
    assert unknown == []


def test_the_bubblewrap_component_changes_only_the_reward_pods(tmp_path: Path) -> None:
    here = tmp_path / "with-bubblewrap"
    here.mkdir()
    relative = Path(*[".."] * (len(here.resolve().parts) - 1)) / str(K8S.resolve()).lstrip("/")
    (here / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [str(relative / "overlays" / "1x8")],
                "components": [str(relative / "components" / "bubblewrap")],
            }
        )
    )
    objects, before = render(here), overlay("1x8")
    [job] = of_kind(objects, "RayJob")
    reward = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["securityContext"]
    assert reward["seccompProfile"] == {"type": "Localhost", "localhostProfile": "profiles/r1ray-reward.json"}
    assert reward.pop("appArmorProfile") == {"type": "Unconfined"}
    reward["seccompProfile"] = {"type": "RuntimeDefault"}
    assert [thing for thing in objects if thing["kind"] != "Namespace"] == [
        thing for thing in before if thing["kind"] != "Namespace"
    ]


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
    assert to_ray == {"to": [{"podSelector": {"matchLabels": {"ray.io/is-ray-node": "yes"}}}]}
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
def test_every_ray_node_is_probed_and_measured(name: str) -> None:
    for each in groups(name):
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert each.container[probe]["httpGet"] == {"path": "/api/healthz", "port": 52365}
        liveness = each.container["livenessProbe"]
        assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 300  # a node that loads a model is slow
        assert {"name": "metrics", "containerPort": 8080} in each.container["ports"]
    monitored = {
        endpoint["port"]
        for each in of_kind(overlay(name), "PodMonitor")
        for endpoint in each["spec"]["podMetricsEndpoints"]
    }
    head = {port["name"] for port in group(name, "head").container["ports"]}
    assert monitored <= head and (monitored or name == "cpu")


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
