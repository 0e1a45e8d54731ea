"""``r1ray replay``: the loss and the gradient of a logged step, computed again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r1ray.commands.arguments import Parser
from r1ray.commands.run_dir_words import split_words
from r1ray.config.keys import Key, Section
from r1ray.errors import UserError
from r1ray.runtime.exit_codes import DONE, NOT_RIGHT
from r1ray.runtime.user_paths import path_of

if TYPE_CHECKING:
    from r1ray.stages.replay import Compared
    from r1ray.stages.replayable import RunLog, Source

MEANINGS = {
    "step": "Step that is computed again; null lists those that can be.",
    "stage": "Stage of a recipe's folder; null takes the newest stage that has the step.",
}
REPLAY_SECTION = Section(
    "",
    "One replay: `r1ray replay` with its keys.",
    tuple(
        Key(name=name, type=kind, default="null", meaning=MEANINGS[name], unit="", section="")
        for name, kind in (("step", "int | null"), ("stage", "str | null"))
    ),
)


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "replay",
        "Compute loss and gradient of a logged step again, and compare them with metrics.jsonl. They are made of the\n"
        "trajectories in rollouts/ and of the checkpoint directly before the step (for step 1, of the model). The\n"
        "learner is started as in the run, and nothing in RUN_DIR changes. If the two differ, it ends with 1. Without\n"
        "step=N it lists the steps that can be replayed.",
        usage="RUN_DIR [step=N] [stage=NAME]",
        word="RUN_DIR, key=value",
        meaning="the run's folder; the step; and, of a recipe's folder, the stage",
        examples="""
            r1ray replay runs/mine
            r1ray replay runs/mine step=51 --json
        """,
        composes=False,
        sections=lambda: [REPLAY_SECTION],
    )
    made.flags.add_argument("--json", action="store_true", help="print one JSON object")
    return made


def command(arguments: Sequence[str]) -> int:
    """Compute a step again, or list those that can be; returns 1 where the step is not what was logged."""
    given = parser().read(arguments)
    run_dir, values = split_words(given.words, verb="replay", keys=MEANINGS)
    step = _step(values.get("step"))
    from r1ray.mirror.view import folder_of
    from r1ray.stages.replayable import find_log

    run = path_of(folder_of(run_dir, with_units=True), key="")

    log = find_log(run, step=step, stage=values.get("stage"))
    if step is None:
        print(json.dumps(_listed(log), indent=2) if given.json else "\n".join(_list_lines(log)))
        return DONE
    source = log.source(step)
    from r1ray.stages.replay import replay_step

    compared = replay_step(log, source)
    shown = _compared(log, source, compared)
    print(json.dumps(shown, indent=2) if given.json else "\n".join(_table(log, source, compared)))
    return NOT_RIGHT if _differing(compared) else DONE


def _listed(log: RunLog) -> dict[str, Any]:
    return {"run": str(log.folder), "logged": log.num_logged, "steps": log.steps}


def _list_lines(log: RunLog) -> list[str]:
    counted = f"{log.folder}: {len(log.steps)} of {log.num_logged} logged steps can be replayed"
    return [counted, log.advice]


def _compared(log: RunLog, source: Source, compared: Sequence[Compared]) -> dict[str, Any]:
    return {
        "run": str(log.folder),
        "step": source.step,
        "from": _origin(source),
        "agrees": not _differing(compared),
        "metrics": {
            each.key: {
                "logged": each.logged,
                "replayed": each.replayed,
                "difference": each.difference,
                "allowed": each.allowed,
                "agrees": each.agrees,
            }
            for each in compared
        },
    }


def _table(log: RunLog, source: Source, compared: Sequence[Compared]) -> list[str]:
    cells: list[tuple[str, ...]] = [("key", "logged", "replayed", "difference", "allowed", "")]
    cells += [
        (
            each.key,
            *(f"{value:.9g}" for value in (each.logged, each.replayed)),
            *(f"{value:.2g}" for value in (each.difference, each.allowed)),
            "" if each.agrees else "differs",
        )
        for each in compared
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    differing = ", ".join(_differing(compared))
    end = f"differs in {differing}" if differing else "agrees with what was logged"
    return [f"step {source.step} of {log.folder}, from {_origin(source)}", *lines, f"step {source.step} {end}"]


def _differing(compared: Sequence[Compared]) -> list[str]:
    return [each.key for each in compared if not each.agrees]


def _origin(source: Source) -> str:
    return f"model {source.model}" if source.checkpoint is None else f"checkpoint {source.checkpoint.parent.name}"


def _step(text: str | None) -> int | None:
    """Return the number of a step. Raises UserError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise UserError(f"step={text}: needs the number of a step, at least 1.")
    return int(text)
