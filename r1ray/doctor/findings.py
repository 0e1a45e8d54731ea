"""What a check found, as a row of a table and as JSON."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Status = Literal["green", "yellow", "red"]
SEVERITY: tuple[Status, ...] = ("green", "yellow", "red")
DRIVER, CLUSTER = "driver", "cluster"
"""In the place of a node: this process's machine, and all nodes together."""

MANY = 3
FILE_WIDTH = 140
"""Columns of the table where no terminal says how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check of one node."""

    check: str
    """``versions``, ``gpus``, ``storage``, ..."""
    node: str
    """Address; ``driver``, or ``cluster`` for what is between nodes."""
    status: Status
    """``red``: the run would fail, or come to harm. ``yellow``: it may, or is slower than it could be."""
    found: str
    needed: str = ""
    advice: str = ""
    """What to do; empty where it is green."""
    seconds: float = 0.0


def worst(findings: Iterable[Finding]) -> Status:
    """The most severe status; green where there is nothing."""
    return max((finding.status for finding in findings), key=SEVERITY.index, default="green")


def to_json(findings: Sequence[Finding]) -> str:
    """A list of objects with check, node, status, found, needed, advice and seconds."""
    rows = [asdict(finding) | {"seconds": round(finding.seconds, 3)} for finding in findings]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def show(findings: Sequence[Finding], console: Any = None) -> None:
    """A table on the terminal: nodes with the same finding share a row, and what is green says no more than what was
    found."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, FILE_WIDTH)
    table = Table(show_edge=False, pad_edge=False)
    for name in ("check", "node", ""):
        table.add_column(name, no_wrap=name != "node")
    for name in ("found", "needed, and what to do"):
        table.add_column(name, overflow="fold")
    for finding, nodes in grouped(findings):
        where = f"{len(nodes)} nodes: {', '.join(nodes[:3])}{' ...' * (len(nodes) > 3)}"
        colour = finding.status
        what = "" if colour == "green" else f"needs {finding.needed}: {finding.advice}"
        cells = [nodes[0] if len(nodes) == 1 else where, f"[{colour}]{colour}[/{colour}]"]
        table.add_row(finding.check, *cells, escape(finding.found), escape(what))
    console.print(table)
    counts = [f"{sum(f.status == status for f in findings)} {status}" for status in reversed(SEVERITY)]
    console.print(", ".join(counts), highlight=False)


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "node"), counted(2, "node")
    ('1 node', '2 nodes')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def grouped(findings: Sequence[Finding]) -> list[tuple[Finding, list[str]]]:
    """Findings that differ in nothing but their node and their time, with the nodes. Of more than ``MANY`` nodes that
    are green the first stands for all: their metrics differ and do not matter."""
    green = Counter(_kind(finding) for finding in findings if finding.status == "green")
    groups: dict[object, tuple[Finding, list[str]]] = {}
    for finding in findings:
        is_one_of_many = finding.status == "green" and green[_kind(finding)] > MANY
        key = _kind(finding) if is_one_of_many else replace(finding, node="", seconds=0.0)
        groups.setdefault(key, (finding, []))[1].append(finding.node)
    return list(groups.values())


def _kind(finding: Finding) -> tuple[str, str]:
    return finding.check, finding.needed


def bounded(check: str, node: str, function: Callable[[], list[Finding]], *, deadline_s: float) -> list[Finding]:
    """The findings of a check. One that raises, or takes longer, is a finding too: the others go on. A check that hangs
    is left behind in its thread, which does not keep the process alive."""
    results: list[list[Finding]] = []

    def work() -> None:
        try:
            results.append(function())
        except Exception as error:  # a check that cannot be made must not end the others
            text = f"{type(error).__name__}: {str(error).strip() or 'no message'}".splitlines()[0]
            advice = "look at this machine, or report it: the check itself failed."
            results.append([Finding(check=check, node=node, status="red", found=text, advice=advice)])

    started = time.monotonic()
    thread = threading.Thread(target=work, name=f"doctor {check}", daemon=True)
    thread.start()
    thread.join(deadline_s)
    seconds = time.monotonic() - started
    if not results:
        found = f"no result within {deadline_s:g} s"
        advice = "something that it reads hangs: a network file system, a device, or a node."
        return [Finding(check=check, node=node, status="red", found=found, advice=advice, seconds=seconds)]
    return [each if each.seconds else replace(each, seconds=seconds) for each in results[0]]
