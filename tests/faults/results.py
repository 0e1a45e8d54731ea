"""The results of the fault matrix, in README.md beside this file: when each cell was met last, and how that ended.

With ``RECORD=1`` in the environment, tests of this folder write what they found.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.faults.cells import FAULTS, NOT_YET, PHASES, POSSIBLE, ROLES, RUNS, TABLE, Cell, why_impossible

README = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- made: results -->\n", "<!-- end -->\n"
UNKNOWN = "not yet"
RECORD = "RECORD"


def record(met: Sequence[Cell], *, has_passed: bool) -> None:
    """Note how a run ended that met these cells; where it failed, of the last of them alone."""
    if os.environ.get(RECORD) != "1" or not met:
        return
    date = time.strftime("%Y-%m-%d")
    found = dict.fromkeys(met, date) if has_passed else {met[-1]: f"**failed** {date}"}
    with README.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two runs may end at the same time
        text = file.read()
        file.seek(0)
        file.truncate()
        file.write(with_results(text, read_results(text) | found))


def read_results(text: str) -> dict[Cell, str]:
    """Return what a README says of each cell that was met."""
    rows = [[each.strip() for each in line.strip("|\n").split("|")] for line in _made(text)]
    found = {}
    for role, fault, *results in rows:
        for phase, result in zip(PHASES, results, strict=False):
            found[Cell(role, fault, phase)] = result
    beside = {str(cell): cell for cell in _beside()}
    found |= {beside[role]: fault for role, fault, *_ in rows if role in beside}
    return {cell: result for cell, result in found.items() if cell in (*POSSIBLE, *_beside()) and result != UNKNOWN}


def with_results(text: str, results: Mapping[Cell, str]) -> str:
    """Return a README with these results in it."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + "\n".join(_lines(results)) + "\n" + END + rest.partition(END)[2]


def _made(text: str) -> list[str]:
    made = text.partition(BEGIN)[2].partition(END)[0]
    return [line for line in made.splitlines() if line.startswith("|") and "---" not in line]


def _beside() -> list[Cell]:
    return [cell for cells in RUNS.values() for cell in cells if cell.is_beside]


def _lines(results: Mapping[Cell, str]) -> list[str]:
    reasons = list(dict.fromkeys(reason for cell in TABLE if (reason := why_impossible(cell)) is not None))

    def shown(cell: Cell) -> str:
        reason = why_impossible(cell)
        return results.get(cell, UNKNOWN) if reason is None else f"({reasons.index(reason) + 1})"

    return [
        f"| role | fault | {' | '.join(PHASES)} |",
        "|---" * (2 + len(PHASES)) + "|",
        *(
            f"| {role} | {fault} | {' | '.join(shown(Cell(role, fault, phase)) for phase in PHASES)} |"
            for role in ROLES
            for fault in FAULTS
        ),
        "",
        *(f"({number}) {reason}" for number, reason in enumerate(reasons, 1)),
        "",
        "| beside the table | result |",
        "|---|---|",
        *(f"| {cell} | {results.get(cell, UNKNOWN)} |" for cell in _beside()),
        *([""] if NOT_YET else []),
        *(f"* {name}: {seen}" for name, seen in NOT_YET.items()),
    ]
