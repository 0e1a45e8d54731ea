"""The manifests of k8s/, rendered, and what they say of a Ray cluster."""

from __future__ import annotations

import functools
import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from r1ray.cluster.placement import Node
from tests import tools
from tests.k8s.image import ROOT

K8S = ROOT / "k8s"
OVERLAYS = sorted(path.name for path in (K8S / "overlays").iterdir())
JOBS = [name for name in OVERLAYS if not name.endswith("-cluster")]
"""Overlays with a run of their own."""
EXAMPLES = sorted(path.name for path in (K8S / "examples").iterdir())
"""Overlays of a user's own, to be copied."""
GPU_JOBS = [name for name in JOBS if name != "cpu"]
UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "m": 1e-3}

Manifest = dict[str, Any]


def kubectl() -> str:
    """The machine's, or that of the environment; the test skips where there is none."""
    tools.require("kubectl")
    return str(tools.path_of("kubectl"))


@functools.cache
def render(folder: Path) -> tuple[Manifest, ...]:
    """What ``kubectl apply -k FOLDER`` would send."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no warning of anything deprecated
    return tuple(yaml.load_all(done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def overlay(name: str) -> tuple[Manifest, ...]:
    return render(K8S / "overlays" / name)


def example(name: str) -> tuple[Manifest, ...]:
    return render(K8S / "examples" / name)


def own(folder: Path, *resources: str, **kustomization: Any) -> tuple[Manifest, ...]:
    """What an overlay of a user's own renders to, that lies in ``folder`` and names paths below ``k8s/`` or itself.

    Args:
        kustomization: the other fields of its kustomization.yaml.
    """
    folder.mkdir(parents=True, exist_ok=True)
    above = Path(*[".."] * (len(folder.resolve().parts) - 1)) / str(K8S.resolve()).lstrip("/")
    written = {"resources": [str(above / each) if (K8S / each).exists() else each for each in resources]}
    components = [str(above / "components" / each) for each in kustomization.pop("components", ())]
    text = yaml.safe_dump(written | {"components": components} | kustomization)
    (folder / "kustomization.yaml").write_text(text)
    return render(folder)


def of_kind(objects: tuple[Manifest, ...], kind: str) -> list[Manifest]:
    return [each for each in objects if each["kind"] == kind]


def rayjob(name: str) -> Manifest:
    """The spec of an overlay's RayJob."""
    [job] = of_kind(overlay(name), "RayJob")
    return dict(job["spec"])


def cluster_of(objects: tuple[Manifest, ...]) -> Manifest:
    """The spec of the Ray cluster, whether a job brings it or not."""
    jobs = of_kind(objects, "RayJob")
    return dict(jobs[0]["spec"]["rayClusterSpec"] if jobs else of_kind(objects, "RayCluster")[0]["spec"])


def ray_cluster(name: str) -> Manifest:
    """The spec of an overlay's Ray cluster."""
    return cluster_of(overlay(name))


def pod_templates(objects: tuple[Manifest, ...]) -> dict[str, Manifest]:
    """The template of every pod by its group, and the submitter's."""
    cluster = cluster_of(objects)
    found = {"head": cluster["headGroupSpec"]["template"]}
    found |= {each["groupName"]: each["template"] for each in cluster["workerGroupSpecs"]}
    for job in of_kind(objects, "RayJob"):
        found["submitter"] = job["spec"]["submitterPodTemplate"]
    return found


def quantity(text: str | int | float) -> float:
    """A Kubernetes quantity as a number: bytes, CPUs, GPUs."""
    suffix = next((each for each in UNITS if str(text).endswith(each)), "")
    return float(str(text).removesuffix(suffix)) * UNITS.get(suffix, 1)


@dataclass(frozen=True)
class Group:
    """The head, or one group of workers."""

    name: str
    spec: Manifest

    @property
    def pod(self) -> Manifest:
        return dict(self.spec["template"]["spec"])

    @property
    def container(self) -> Manifest:
        """Ray's, which is the first."""
        return dict(self.pod["containers"][0])

    @property
    def labels(self) -> dict[str, str]:
        """Of the pod, in Kubernetes."""
        return dict(self.spec["template"]["metadata"]["labels"])

    @property
    def limits(self) -> dict[str, float]:
        return {name: quantity(value) for name, value in self.container["resources"]["limits"].items()}

    @property
    def node(self) -> Node:
        """One pod as a Ray node, by the rules by which KubeRay writes its ``ray start``."""
        parameters, extra = self.spec["rayStartParams"], self.spec.get("resources", {})
        resources = {
            "CPU": float(parameters.get("num-cpus", self.limits["cpu"])),
            "GPU": self.limits.get("nvidia.com/gpu", 0.0),
            **{name: quantity(value) for name, value in extra.items()},
        }
        return Node(resources, self.spec["labels"])

    def volume(self, name: str) -> Manifest:
        return next(dict(volume) for volume in self.pod["volumes"] if volume["name"] == name)


def groups(name: str) -> list[Group]:
    """Head and workers of an overlay."""
    cluster = ray_cluster(name)
    workers = [Group(spec["groupName"], spec) for spec in cluster["workerGroupSpecs"]]
    return [Group("head", cluster["headGroupSpec"]), *workers]


def group(overlay_name: str, name: str) -> Group:
    return next(each for each in groups(overlay_name) if each.name == name)


def overrides(name: str) -> list[str]:
    """The Hydra overrides of an overlay's command, as a shell splits it."""
    command = shlex.split(rayjob(name)["entrypoint"])
    assert command[:4] == ["python", "-m", "r1ray", "run"]
    return command[4:]


def driver_takes(name: str) -> dict[str, float]:
    job = rayjob(name)
    return {"CPU": float(job["entrypointNumCpus"]), **json.loads(job["entrypointResources"])}
