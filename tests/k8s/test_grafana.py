"""The dashboard of components/grafana: what it asks Prometheus for is what a run offers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from r1ray.cluster.gauges import OF_RUN
from r1ray.telemetry.series import families
from tests.k8s.manifests import K8S, of_kind, overlay, own

DASHBOARD = K8S / "components" / "grafana" / "r1ray.json"
ASKED = re.compile(r"ray_(r1ray_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)=~?"')
BY = re.compile(r"max by \(([^)]*)\)")


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts(each)


def dashboard() -> dict[str, Any]:
    return dict(json.loads(DASHBOARD.read_text()))


def expressions() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


def test_every_metric_that_is_asked_for_is_in_the_table_of_metrics_with_its_labels() -> None:
    asked = [found for text in texts(dashboard()) for found in ASKED.findall(text)]
    assert len(asked) > 40
    for name, selectors in asked:
        assert name in families(), name
        assert set(LABEL.findall(selectors)) <= {*OF_RUN, *families()[name][0]}, name


def test_every_expression_takes_the_processes_of_a_run_together_and_shows_labels_that_it_has() -> None:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            kept = set(BY.search(target["expr"])[1].split(", "))  # type: ignore[index]
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            [(name, _)] = ASKED.findall(target["expr"])
            assert shown == kept <= {*OF_RUN, *families()[name][0]}, target


def test_panels_lie_side_by_side_and_have_an_id_and_a_description_each() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len({str(panel["gridPos"]) for panel in panels}) == len(panels)
    assert all(panel["description"] and panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert len(expressions()) == len(set(expressions()))


def test_the_component_adds_the_dashboard_alone(tmp_path: Path) -> None:
    objects, before = own(tmp_path, "overlays/1x8", components=["grafana"]), overlay("1x8")
    [extra] = [thing for thing in objects if thing not in before]
    assert len(objects) == len(before) + 1
    assert extra in of_kind(objects, "ConfigMap")
    assert extra["metadata"]["namespace"] == "r1ray"
    assert extra["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(extra["data"]["r1ray.json"]) == dashboard()
