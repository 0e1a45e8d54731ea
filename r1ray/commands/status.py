"""``r1ray status``: what a run does and waits for, read from its folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from r1ray.commands.arguments import Parser
from r1ray.errors import UserError


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "status",
        "Show what a run does and what its processes wait for. Of each process it shows the state, what it waits for\n"
        "and since when, its last error and its log. It reads the run's folder and /proc alone, and so it answers\n"
        "where the run is stopped or dead, too.",
        usage="RUN_DIR",
        word="RUN_DIR",
        meaning="the run's folder, or that of one of its stages, or the address of a run in an object store",
        composes=False,
        examples="""
            r1ray status runs/mine
            r1ray status runs/mine --json
            r1ray status runs/mine --stacks
        """,
    )
    made.flags.add_argument("--json", action="store_true", help="print one JSON object")
    made.flags.add_argument(
        "--stacks", action="store_true", help="print the stacks of all threads of the run's processes on this node"
    )
    return made


def command(arguments: Sequence[str]) -> None:
    """Show what a run does and waits for."""
    given = parser().read(arguments)
    if len(given.words) != 1:
        raise UserError(f"status needs one RUN_DIR, found {len(given.words)}: {', '.join(given.words) or 'none'}.")
    if given.json and given.stacks:
        raise UserError("--json --stacks: stacks are text; give one of the two flags.")
    from r1ray.mirror.view import folder_of
    from r1ray.telemetry.run_status import find_run, read_status

    run_dir = find_run(Path(folder_of(given.words[0], with_units=False)).expanduser().resolve())
    status = read_status(run_dir)
    print(status.as_json() if given.json else "\n".join([*status.lines(), *_diagnosis(run_dir)]))
    if given.stacks:
        _print_stacks(run_dir)


def _diagnosis(run_dir: Path) -> list[str]:
    """Return what is wrong with the stage that runs, or ran last, a line each."""
    from r1ray.telemetry.diagnosis.diagnose import diagnose_folder
    from r1ray.telemetry.run_status import last_stage

    _, folder = last_stage(run_dir)
    return [f"diagnosis: {finding.line}" for finding in diagnose_folder(Path(folder))] if folder else []


def _print_stacks(run_dir: Path) -> None:
    from r1ray.runtime.stacks import ask_for_stacks
    from r1ray.telemetry.run_status import on_this_node

    processes = on_this_node(run_dir)
    running = {pid: each for pid, each in processes.items() if each.state == "running" and _is_ours(pid)}
    stacks = ask_for_stacks({pid: Path(each.log) for pid, each in running.items()})
    for pid, each in processes.items():
        print(f"\n--- {each.role} {each.index}, process {pid}")
        if each.state == "stopped":
            print("it is stopped (SIGSTOP): it writes its stacks once it goes on")
        else:
            print(stacks.get(pid) or "it wrote nothing")


def _is_ours(pid: int) -> bool:
    """Return whether this user may send a process a signal."""
    try:
        os.kill(pid, 0)
    except (PermissionError, ProcessLookupError):
        return False
    return True
