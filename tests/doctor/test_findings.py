"""Findings as a table and as JSON; checks that fail or hang."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace

import pytest
from rich.console import Console

from r1ray.doctor.findings import Finding, Status, bounded, grouped, show, to_json, worst

GREEN = Finding(check="disk", node="10.0.0.1", status="green", found="9 GiB free", needed="5 GiB")
RED = Finding(
    check="clock", node="10.0.0.2", status="red", found="90 s [behind]", needed="within 1 s", advice="chrony."
)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [([], "green"), (["green", "yellow"], "yellow"), (["red", "green", "yellow"], "red")],
)
def test_the_worst_status_is_that_of_the_run(statuses: list[Status], expected: Status) -> None:
    assert worst([replace(GREEN, status=status) for status in statuses]) == expected


def test_the_json_has_the_published_fields_and_no_others() -> None:
    rows = json.loads(to_json([GREEN, replace(RED, seconds=1.23456)]))
    assert [set(row) for row in rows] == [{"check", "node", "status", "found", "needed", "advice", "seconds"}] * 2
    assert rows[1]["seconds"] == 1.235


def test_nodes_with_the_same_finding_share_a_row() -> None:
    other = replace(GREEN, node="10.0.0.3", seconds=2.0)
    assert [nodes for _, nodes in grouped([GREEN, RED, other])] == [["10.0.0.1", "10.0.0.3"], ["10.0.0.2"]]


def test_of_many_green_nodes_one_stands_for_all_and_a_red_one_for_itself() -> None:
    clocks = [replace(GREEN, node=f"10.0.0.{n}", found=f"{n} ms") for n in range(5)]
    shown = [(finding.found, len(nodes)) for finding, nodes in grouped([*clocks, RED, replace(RED, found="95 s")])]
    assert shown == [("0 ms", 5), (RED.found, 1), ("95 s", 1)]


def test_the_table_says_what_to_do_about_what_is_not_green() -> None:
    printed = io.StringIO()
    show([GREEN, RED], Console(file=printed, width=140))
    text = printed.getvalue()
    assert "90 s [behind]" in text and "needs within 1 s: chrony." in text and "5 GiB" not in text
    assert "1 red, 0 yellow, 1 green" in text


def test_a_check_that_raises_is_a_finding() -> None:
    def broken() -> list[Finding]:
        raise RuntimeError("first line\nsecond line")

    (finding,) = bounded("ports", "driver", broken, deadline_s=5)
    assert (finding.check, finding.status, finding.found) == ("ports", "red", "RuntimeError: first line")


def test_a_check_that_hangs_is_a_finding_and_is_not_waited_for() -> None:
    release, ended = threading.Event(), threading.Event()

    def hang() -> list[Finding]:
        release.wait(60)
        ended.set()
        return [GREEN]

    (finding,) = bounded("storage", "driver", hang, deadline_s=0.2)
    assert not ended.is_set()
    release.set()
    assert (finding.status, finding.found) == ("red", "no result within 0.2 s")
