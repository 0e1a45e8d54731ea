"""Overlays of a user's own, on those that ship: patches of single groups, names, namespaces, components, two runs."""

from __future__ import annotations

import copy
import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from r1ray.commands.compose import compose
from tests.k8s import schemas
from tests.k8s.manifests import (
    JOBS,
    K8S,
    OVERLAYS,
    Manifest,
    cluster_of,
    example,
    kubectl,
    of_kind,
    overlay,
    own,
    pod_templates,
    render,
)

OF_USERS = {"r1ray-credentials", "r1ray-redis", "r1ray-registry"}
"""Secrets, which no manifest holds."""
LIMITS = {"grace_s": "777", "attempts": "50", "head_losses": "7", "preemption": "Never"}
BOTH = ["8x8", "8x8-cluster"]
RUN = "r1ray.io/run"


RAYJOB = {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "r1ray"}}


def patch(folder: str, **spec: Any) -> dict[str, str]:
    """A strategic-merge patch of an overlay's Ray cluster."""
    kind = "RayCluster" if folder.endswith("-cluster") else "RayJob"
    inside = spec if kind == "RayCluster" else {"rayClusterSpec": spec}
    thing = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": "r1ray"}, "spec": inside}
    return {"patch": yaml.safe_dump(thing)}


def generated(**literals: str) -> list[Manifest]:
    return [{"name": "r1ray-limits", "literals": [f"{name}={value}" for name, value in literals.items()]}]


def problems(objects: tuple[Manifest, ...]) -> list[str]:
    """What is wrong with any of the objects, by any release of KubeRay that is here."""
    found = []
    for thing in objects:
        for release in schemas.RELEASES:
            try:
                found += [f"{release} {thing['kind']} {each}" for each in schemas.problems(thing, release)]
            except schemas.NoSchema:
                assert thing["kind"] == "PodMonitor" or release is None
    return found


def names(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Kind and name of every object that something refers to."""
    kinds = {
        "configMapRef": "ConfigMap",
        "configMapKeyRef": "ConfigMap",
        "configMap": "ConfigMap",
        "secretRef": "Secret",
        "secretKeyRef": "Secret",
        "imagePullSecrets": "Secret",
    }
    if isinstance(value, dict):
        for key, inside in value.items():
            if key == "name" and at and at[-1] in kinds:
                yield kinds[at[-1]], inside
            elif key == "secretName":
                yield "Secret", inside
            elif key == "claimName":
                yield "PersistentVolumeClaim", inside
            elif key == "serviceAccountName":
                yield "ServiceAccount", inside
            elif key == "priorityClassName":
                yield "PriorityClass", inside
            else:
                yield from names(inside, (*at, key))
    elif isinstance(value, list):
        for inside in value:
            yield from names(inside, at)


def runs_named(value: Any) -> Iterator[str]:
    """Every value of the label r1ray.io/run, where pods have it and where something selects by it."""
    if isinstance(value, dict):
        for key, inside in value.items():
            if key == RUN:
                yield inside
            else:
                yield from runs_named(inside)
    elif isinstance(value, list):
        for inside in value:
            yield from runs_named(inside)


def dangling(objects: tuple[Manifest, ...]) -> set[tuple[str, str]]:
    there = {(thing["kind"], thing["metadata"]["name"]) for thing in objects}
    named = {pair for thing in objects for pair in names(thing)}
    return {pair for pair in named - there if pair[1] not in OF_USERS}


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_suffix_a_prefix_and_a_namespace_rename_both_ends_of_every_reference(name: str, tmp_path: Path) -> None:
    objects = own(
        tmp_path,
        f"overlays/{name}",
        nameSuffix="-two",
        namePrefix="my-",
        namespace="research",
        components=["monitor", "grafana", "pull-secret"],
    )
    assert problems(objects) == []
    assert dangling(objects) == set()
    [run] = [*of_kind(objects, "RayJob"), *of_kind(objects, "RayCluster")]
    assert run["metadata"]["name"] == "my-r1ray-two"
    labels = list(runs_named(list(objects)))
    selecting = 3 + 2 + 1 + 1  # network policies (and whom they let in), disruption budget, monitor
    assert len(labels) >= len(pod_templates(objects)) + selecting - 1 and set(labels) == {"my-r1ray-two"}
    for thing in objects:
        if thing["kind"] == "Namespace":
            assert thing["metadata"]["name"] == "research"
        else:
            assert thing["metadata"]["name"].startswith("my-") and thing["metadata"]["name"].endswith("-two")
            if thing["kind"] != "PriorityClass":
                assert thing["metadata"]["namespace"] == "research", thing["metadata"]["name"]


@pytest.mark.parametrize(
    ("name", "group"),
    [*((name, group) for name in BOTH for group in ("head", "learner")), ("8x8", "submitter")],
)
def test_a_setting_and_a_secret_that_an_overlay_generates_are_found_by_their_hashed_names(
    name: str, group: str, tmp_path: Path
) -> None:
    container = {
        "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "mine", "key": "a"}}}],
        "envFrom": [{"secretRef": {"name": "hidden"}}],
    }
    container["name"] = {"head": "ray-head", "submitter": "ray-job-submitter"}.get(group, "ray-worker")
    extra = {"name": "extra", "projected": {"sources": [{"configMap": {"name": "mine"}}]}}
    template = {"template": {"spec": {"containers": [container], "volumes": [extra]}}}
    if group == "submitter":
        change = {"patch": yaml.safe_dump({**RAYJOB, "spec": {"submitterPodTemplate": template["template"]}})}
    elif group == "head":
        change = patch(name, headGroupSpec=template)
    else:
        change = patch(name, workerGroupSpecs=[{"groupName": group, **template}])
    objects = own(
        tmp_path,
        f"overlays/{name}",
        namespace="r1ray",  # generated ones have none else
        patches=[change],
        configMapGenerator=[{"name": "mine", "literals": ["a=b"]}],
        secretGenerator=[{"name": "hidden", "literals": ["c=d"]}],
    )
    assert dangling(objects) == set()
    pod = pod_templates(objects)[group]["spec"]
    [found] = [each["valueFrom"] for each in pod["containers"][0]["env"] if each["name"] == "A"]
    assert found["configMapKeyRef"]["name"].startswith("mine-")


def test_two_runs_side_by_side_share_their_namespace_and_nothing_else(tmp_path: Path) -> None:
    one, two = (
        own(tmp_path / name, "overlays/8x8", nameSuffix=f"-{name}", components=["monitor"]) for name in ("one", "two")
    )

    def ids(objects: tuple[Manifest, ...]) -> dict[tuple[str, str], Manifest]:
        return {(thing["kind"], thing["metadata"]["name"]): thing for thing in objects}

    shared = ids(one).keys() & ids(two).keys()
    assert shared == {("Namespace", "r1ray")}
    assert all(ids(one)[each] == ids(two)[each] for each in shared)
    pods_of_two = [each["metadata"]["labels"] for each in pod_templates(two).values()]
    selectors = [
        selector
        for thing in one
        for selector in (thing.get("spec", {}).get("podSelector"), thing.get("spec", {}).get("selector"))
        if selector
    ]
    assert len(selectors) == 4
    for selector in selectors:
        for labels in pods_of_two:
            assert not selector["matchLabels"].items() <= labels.items()


def test_runs_side_by_side_can_share_one_claim(tmp_path: Path) -> None:
    objects = own(tmp_path, "overlays/1x8", nameSuffix="-two", components=["existing-storage"])
    assert of_kind(objects, "PersistentVolumeClaim") == []
    assert dangling(objects) == {("PersistentVolumeClaim", "r1ray-storage")}


# ---------------------------------------------------------------------- patches


@pytest.mark.parametrize("name", BOTH)
def test_a_patch_of_one_group_of_workers_changes_that_group_alone(name: str, tmp_path: Path) -> None:
    here = {
        "nodeSelector": {"gpu": "h100"},
        "containers": [{"name": "ray-worker", "env": [{"name": "A", "value": "b"}]}],
    }
    change = patch(name, workerGroupSpecs=[{"groupName": "rollout", "replicas": 6, "template": {"spec": here}}])
    objects = own(tmp_path, f"overlays/{name}", patches=[change])
    expected = copy.deepcopy(cluster_of(overlay(name)))
    [rollout] = [each for each in expected["workerGroupSpecs"] if each["groupName"] == "rollout"]
    rollout["replicas"] = 6
    rollout["template"]["spec"]["nodeSelector"] = {"gpu": "h100"}
    rollout["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "b"}]
    assert by_name(cluster_of(objects)) == by_name(expected)
    assert problems(objects) == []


def by_name(cluster: Manifest) -> Manifest:
    """A cluster whose groups have no order: a patch puts its own first."""
    return cluster | {"workerGroupSpecs": {each["groupName"]: each for each in cluster["workerGroupSpecs"]}}


def test_a_job_that_became_a_cluster_is_not_patched_in_silence(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="RayJob"):
        own(tmp_path, "overlays/8x8-cluster", patches=[patch("8x8", enableInTreeAutoscaling=False)])


@pytest.mark.parametrize("name", BOTH)
def test_the_bubblewrap_component_changes_only_the_reward_pods_wherever_they_stand(name: str, tmp_path: Path) -> None:
    change = patch(name, workerGroupSpecs=[{"groupName": "learner", "maxReplicas": 9, "minReplicas": 4}])
    below = own(tmp_path / "below", f"overlays/{name}", patches=[change])  # the learner is the first now
    objects = own(tmp_path / "above", "../below", components=["bubblewrap"])
    pods = {who: each["spec"]["securityContext"] for who, each in pod_templates(objects).items()}
    reward = pods.pop("reward")
    assert reward["seccompProfile"] == {"type": "Localhost", "localhostProfile": "profiles/r1ray-reward.json"}
    assert reward["appArmorProfile"] == {"type": "Unconfined"}
    before = pod_templates(below)
    assert pods == {who: before[who]["spec"]["securityContext"] for who in pods}
    [namespace] = of_kind(objects, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


def test_lists_of_kubernetes_own_kinds_are_merged_as_without_this_base(tmp_path: Path) -> None:
    """A schema of its own takes the place of the one that kustomize has."""
    pods = {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]}
    made = [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {"template": {"spec": pods}},
        },
        {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}, "spec": {"template": {"spec": pods}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pods},
        {
            "apiVersion": "batch/v1",
            "kind": "CronJob",
            "metadata": {"name": "c"},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pods}}}},
        },
    ]
    (tmp_path / "made.yaml").write_text(yaml.safe_dump_all(made))
    text = json.dumps(made).replace('{"name": "a", "image": "x"}, ', "").replace('"y"', '"z"')
    patches = [{"patch": json.dumps(each)} for each in json.loads(text)]
    found = {}
    for name, resources in (("with", ["overlays/cpu", "../made.yaml"]), ("without", ["../made.yaml"])):
        objects = own_beside(tmp_path, name, resources, patches)
        found[name] = [thing for thing in objects if thing["metadata"]["name"] in "djpc"]
    assert found["with"] == found["without"] and len(found["with"]) == 4
    assert json.dumps(found["with"]).count('"x"') == json.dumps(found["with"]).count('"z"') == 4


def own_beside(folder: Path, name: str, resources: list[str], patches: list[Any]) -> tuple[Manifest, ...]:
    """An overlay in a folder of its own, with the files beside that folder in it."""
    here = folder / name
    here.mkdir()
    for path in folder.glob("*.yaml"):
        (here / path.name).write_text(path.read_text())
    return own(here, *(each.removeprefix("../") for each in resources), patches=patches)


# ---------------------------------------------------------------------- components and keys


@pytest.mark.parametrize("name", OVERLAYS)
def test_limits_come_from_keys(name: str, tmp_path: Path) -> None:
    objects = own(tmp_path, f"overlays/{name}", components=["limits"], configMapGenerator=generated(**LIMITS))
    pods = pod_templates(objects)
    pods.pop("submitter", None)
    assert {who: each["spec"]["terminationGracePeriodSeconds"] for who, each in pods.items()} == dict.fromkeys(
        pods, 777
    )
    for job in of_kind(objects, "RayJob"):
        assert (job["spec"]["backoffLimit"], job["spec"]["submitterConfig"]["backoffLimit"]) == (50, 7)
    assert {each["preemptionPolicy"] for each in of_kind(objects, "PriorityClass")} == {"Never"}
    assert not [each for each in of_kind(objects, "ConfigMap") if "limits" in each["metadata"]["name"]]
    assert problems(objects) == []


def test_a_limit_that_is_left_out_or_changed_without_the_component_is_no_silence(tmp_path: Path) -> None:
    some = {name: value for name, value in LIMITS.items() if name != "attempts"}
    with pytest.raises(AssertionError, match="attempts"):
        own(tmp_path / "some", "overlays/8x8", components=["limits"], configMapGenerator=generated(**some))
    [alone] = generated(attempts="50")
    with pytest.raises(AssertionError, match="r1ray-limits"):
        own(tmp_path / "alone", "overlays/8x8", configMapGenerator=[alone | {"behavior": "merge"}])


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_image_is_pulled_by_its_digest_and_with_the_secret(name: str, tmp_path: Path) -> None:
    digest = "sha256:" + "0" * 64
    mine = [{"name": "registry.example.com/r1ray", "newName": "mine/r1ray", "digest": digest}]
    objects = own(tmp_path, f"overlays/{name}", components=["pull-secret"], images=mine)
    for who, each in pod_templates(objects).items():
        assert [container["image"] for container in each["spec"]["containers"]] == [f"mine/r1ray@{digest}"], who
        assert each["spec"]["imagePullSecrets"] == [{"name": "r1ray-registry"}], who
    assert problems(objects) == []


def test_a_component_on_an_overlay_in_another_namespace_is_in_that_one_and_can_be_patched(tmp_path: Path) -> None:
    own(tmp_path / "below", "overlays/1x8", namespace="research", nameSuffix="-a")
    monitor = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PodMonitor", "metadata": {"name": "r1ray"}}
    labelled = {**monitor, "metadata": {"name": "r1ray", "labels": {"release": "mine"}}}
    objects = own(
        tmp_path / "above", "../below", components=["monitor", "grafana"], patches=[{"patch": yaml.safe_dump(labelled)}]
    )
    [monitor] = of_kind(objects, "PodMonitor")
    assert monitor["metadata"]["labels"] == {"release": "mine"}
    assert {thing["metadata"].get("namespace", "research") for thing in objects} == {"research"}
    assert set(runs_named(list(objects))) == {"r1ray-a"}


@pytest.mark.parametrize("name", JOBS)
def test_the_doctor_is_a_job_of_its_own_with_the_runs_overrides_and_volume(name: str, tmp_path: Path) -> None:
    objects, before = own(tmp_path, f"overlays/{name}", components=["doctor"]), overlay(name)
    [job], [run] = of_kind(objects, "RayJob"), of_kind(before, "RayJob")
    words, of_run = shlex.split(job["spec"]["entrypoint"]), shlex.split(run["spec"]["entrypoint"])
    assert words == [*of_run[:3], "doctor", *of_run[4:]]
    assert (job["metadata"]["name"], job["spec"]["backoffLimit"]) == ("r1ray-doctor", 0)
    assert set(runs_named(list(objects))) == {"r1ray-doctor"} and dangling(objects) == set()
    shared = [thing for thing in objects if thing in before]
    assert {thing["kind"] for thing in shared} >= {"PersistentVolumeClaim", "ConfigMap", "ServiceAccount"}
    ids = {(thing["kind"], thing["metadata"]["name"]) for thing in before}
    assert all(thing in before or (thing["kind"], thing["metadata"]["name"]) not in ids for thing in objects)
    assert problems(objects) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_drain_may_take_every_pod_but_head_and_learner(name: str) -> None:
    [budget] = of_kind(overlay(name), "PodDisruptionBudget")
    spec = budget["spec"]
    [chosen] = spec["selector"]["matchExpressions"]
    assert (chosen["key"], set(chosen["values"])) == ("r1ray.io/pool", {"head", "learner"})
    labels = {who: each["metadata"]["labels"] for who, each in pod_templates(overlay(name)).items()}
    assert spec["selector"]["matchLabels"].items() <= labels["head"].items() & labels["learner"].items()
    count = 1 + sum(each["maxReplicas"] for each in cluster_of(overlay(name))["workerGroupSpecs"])
    assert spec["minAvailable"] > count and spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_pods_that_exchange_gradients_and_weights_are_near_each_other_and_rewards_apart() -> None:
    pods = pod_templates(overlay("8x8"))
    for who in ("learner", "rollout"):
        [term] = pods[who]["spec"]["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        wanted = term["podAffinityTerm"]
        assert wanted["topologyKey"] == "topology.kubernetes.io/zone"
        assert wanted["labelSelector"]["matchLabels"].items() <= pods["learner"]["metadata"]["labels"].items()
    [spread] = pods["reward"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"].items() <= pods["reward"]["metadata"]["labels"].items()


# ---------------------------------------------------------------------- examples


def test_the_example_of_an_own_run_has_what_it_says() -> None:
    objects = example("my-run")
    assert problems(objects) == [] and dangling(objects) == set()
    [job] = of_kind(objects, "RayJob")
    assert (job["metadata"]["name"], job["metadata"]["namespace"]) == ("r1ray-lr", "research")
    assert (job["spec"]["backoffLimit"], of_kind(objects, "PodMonitor") != []) == (50, True)
    overrides = shlex.split(job["spec"]["entrypoint"])[4:]
    assert (compose(overrides).name, compose(overrides).learner.lr) == ("lr", 5e-7)
    pods = pod_templates(objects)
    selected = {who for who, each in pods.items() if "nodeSelector" in each["spec"]}
    assert selected == {"learner", "rollout"}
    assert all(each["spec"]["containers"][0]["image"].partition("@")[2] for each in pods.values())
    [doctor] = of_kind(example("my-doctor"), "RayJob")
    assert doctor["spec"]["entrypoint"] == job["spec"]["entrypoint"].replace("r1ray run", "r1ray doctor")


def test_the_oldest_kubectl_that_the_readme_names_is_not_newer_than_this_one() -> None:
    told = json.loads(subprocess.run([kubectl(), "version", "--client", "-o", "json"], capture_output=True).stdout)
    text = (K8S / "README.md").read_text()
    assert "kubectl 1.32 or later" in text
    assert int(told["clientVersion"]["minor"].rstrip("+")) >= 32
    assert render(K8S / "storage")
