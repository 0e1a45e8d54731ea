"""``r1ray export``: a Hugging Face folder of any checkpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from r1ray.commands.arguments import Parser
from r1ray.commands.run_dir_words import split_words
from r1ray.config.keys import Key, Section
from r1ray.errors import UserError
from r1ray.runtime.user_paths import path_of

MEANINGS = {
    "version": "Version of the checkpoint: a number, or `best`; null takes the newest.",
    "stage": "Stage of a recipe's folder; null takes the newest stage that has the version.",
    "learner.lora.export": "Form of a model with adapters: `merged` or `adapter`; null takes that of the run.",
}
EXPORT_SECTION = Section(
    "",
    "One export: `r1ray export` with its keys.",
    tuple(
        Key(name=name, type="str | null", default="null", meaning=meaning, unit="", section="")
        for name, meaning in MEANINGS.items()
    ),
)


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "export",
        "Make a Hugging Face folder of a checkpoint, and print where it lies. It needs neither GPUs nor Ray.\n"
        "Of a recipe's folder, the newest stage that has the version is meant; stage=NAME chooses.",
        usage="RUN_DIR [version=N|best] [stage=NAME] [learner.lora.export=merged|adapter]",
        word="RUN_DIR, key=value",
        meaning="the run's folder; the checkpoint's version, by default the newest; the stage; and, of a run with "
        "adapters, what is written",
        examples="""
            r1ray export runs/mine
            r1ray export runs/mine version=best --out exported/best
        """,
        composes=False,
        sections=lambda: [EXPORT_SECTION],
    )
    made.flags.add_argument("--out", metavar="DIR", help="the folder to make; by default RUN_DIR/hf/VERSION")
    return made


def command(arguments: Sequence[str]) -> None:
    """Make a Hugging Face folder of a checkpoint, and print where it lies."""
    given = parser().read(arguments)
    run_dir, values = split_words(given.words, verb="export", keys=MEANINGS)
    if given.out == "":
        raise UserError("--out: needs a value.")
    version, kind = values.get("version"), values.get("learner.lora.export")
    if version is not None and version != "best" and not (version.isascii() and version.isdigit()):
        raise UserError(f"version={version}: needs a version's number, or best.")
    if kind not in (None, "merged", "adapter"):
        raise UserError(f"learner.lora.export={kind}: needs one of merged, adapter.")
    from r1ray.mirror.view import folder_of, is_stored
    from r1ray.stages.export import export_checkpoint, find_folder

    if is_stored(run_dir) and not given.out:
        raise UserError(f"{run_dir}: needs --out DIR, a folder of this machine.")
    number = int(version) if version is not None and version != "best" else version
    run = path_of(folder_of(run_dir, with_units=True), key="")
    target = _target(given.out, run) if given.out else None
    folder = find_folder(run, version=number, stage=values.get("stage"))
    print(export_checkpoint(folder, version=number, out=target, kind=kind))


def _target(out: str, run_dir: Path) -> Path:
    """Return where to, which is nothing yet and no place of the run's own. Raises UserError."""
    target = path_of(out, key="--out")
    if os.path.lexists(target):
        raise UserError(f"--out={out}: is there already; needs a folder that is not.")
    above = next(each for each in target.parents if each.exists())
    if not above.is_dir():
        raise UserError(f"--out={out}: {above} is no folder; needs the path of one that can be made.")
    if target.is_relative_to(run_dir) and {"checkpoints", "stages", "hf"} & set(target.relative_to(run_dir).parts):
        raise UserError(f"--out={out}: is among the run's own checkpoints; needs a folder outside of them.")
    return target
