"""Kubernetes objects against their schemas: its own for its own kinds, a CRD's for the others. Unknown fields are
errors (a cluster drops them in silence)."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.37"
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
FOLDER = os.environ.get("R1RAY_KUBERAY_CRDS")
"""A folder with CRDs as YAML: KubeRay's ray.io_rayjobs.yaml and ray.io_rayclusters.yaml; others are read too. Folders
in it have those of other versions."""
RELEASES = (
    [FOLDER, *sorted(str(path.parent) for path in Path(FOLDER).glob("*/ray.io_rayjobs.yaml"))] if FOLDER else [None]
)
"""The folder of each version of KubeRay; one None where there is none."""


class NoSchema(Exception):
    """Nothing here describes objects of the kind."""


def problems(thing: dict[str, Any], release: str | None = FOLDER) -> list[str]:
    """What is wrong with an object, by the CRDs of a release. Raises NoSchema."""
    return list(_problems(json.dumps(thing), release))


@functools.cache
def _problems(text: str, release: str | None) -> tuple[str, ...]:
    thing = json.loads(text)
    custom = crds(release).get((thing["apiVersion"], thing["kind"]))
    if custom is not None:
        found = jsonschema.Draft7Validator(custom).iter_errors(thing)
        return tuple(f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in found)
    try:
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)
    except kubernetes_validate.SchemaNotFoundError as error:
        raise NoSchema(f"{thing['apiVersion']} {thing['kind']}") from error
    except kubernetes_validate.ValidationError as error:
        return (str(error).splitlines()[0],)
    return ()


@functools.cache
def crds(folder: str | None) -> dict[tuple[str, str], dict[str, Any]]:
    """JSON schemas of the CRDs in a folder, by version and kind."""
    found = {}
    for path in sorted(Path(folder).glob("*.yaml")) if folder else ():
        for crd in yaml.load_all(path.read_text(), Loader=FAST):
            for version in crd["spec"]["versions"]:
                kind = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                found[kind] = strict(version["schema"]["openAPIV3Schema"])
    return found


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON schema that allows no field it does not have. (Its x-kubernetes-validations are
    expressions for the API server, and are left out.)"""
    made = dict(_translated(schema))
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = bool(schema.get("x-kubernetes-preserve-unknown-fields", False))
    if schema.get("nullable"):
        return {"anyOf": [{"type": "null"}, made]}
    return made


def _translated(schema: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    is_int_or_string = schema.get("x-kubernetes-int-or-string", False)
    for key, value in schema.items():
        if key == "properties":
            yield key, {name: strict(each) for name, each in value.items()}
        elif key == "items" or (key == "additionalProperties" and isinstance(value, dict)):
            yield key, strict(value)
        elif key in ("type", "anyOf") and is_int_or_string:
            continue
        elif not key.startswith("x-kubernetes") and key not in ("nullable", "description", "default", "format"):
            yield key, value
    if is_int_or_string:
        yield "type", ["integer", "string"]
