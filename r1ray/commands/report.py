"""``r1ray report``: the page of runs, as a file or served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from r1ray.commands.arguments import Parser
from r1ray.errors import UserError
from r1ray.runtime.run_files import REPORT
from r1ray.runtime.user_paths import path_of


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "report",
        "Make one HTML page of a run, or of several laid over each other: curves, who was busy, ledger and faults,\n"
        "stages, and a browser of rollouts. The file needs nothing else, no network either, and carries a sample of\n"
        "the rollouts; --serve shows all of them. The runs may be going on. Of one run the file is report.html in its\n"
        "folder, of several report.html in the current folder.",
        usage="RUN_DIR [RUN_DIR ...]",
        word="RUN_DIR",
        meaning="the folder of a run, of a recipe, or of one of its stages",
        examples="""
            r1ray report runs/mine
            r1ray report runs/mine runs/other --out both.html
            r1ray report runs/mine --serve
        """,
        composes=False,
    )
    made.flags.add_argument("--out", metavar="FILE", help="where the page goes")
    made.flags.add_argument("--serve", action="store_true", help="serve it to this machine until Ctrl-C")
    return made


def command(arguments: Sequence[str]) -> None:
    """Write the page, or serve it."""
    given = parser().read(arguments)
    if not given.words:
        raise UserError("report needs a RUN_DIR, found none.")
    if given.serve and given.out is not None:
        raise UserError("--serve --out: a page that is served is no file; give one of the two flags.")
    from r1ray.mirror.view import folder_of, is_stored
    from r1ray.page.folders import find_runs

    folders = find_runs([path_of(folder_of(word, with_units=False), key="") for word in given.words])
    is_here = not any(map(is_stored, given.words))
    try:
        _serve(folders) if given.serve else _write(folders, given.out, is_here=is_here)
    except OSError as error:
        if error.filename is None:
            raise
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}.") from error


def _serve(folders: Sequence[Path]) -> None:
    from r1ray.page.server import serve

    serve(folders, told=lambda address: print(f"{address}  (Ctrl-C ends it)", flush=True))


def _write(folders: Sequence[Path], named: str | None, *, is_here: bool) -> None:
    """Write the page to where it belongs, or to the file that is named. That of several runs, or of one in an object
    store, belongs into the working directory."""
    out = Path(REPORT).resolve() if len(folders) > 1 or not is_here else folders[0] / REPORT
    out = out if named is None else path_of(named, key="--out")
    if out.is_dir():
        raise UserError(f"{out}: is a folder; needs the name of a file.")
    from r1ray.page.report import read_runs, write_report

    runs = read_runs(folders)
    num_sampled = write_report(runs, out)
    print(f"{out}: {num_sampled} of {len(runs.index)} rollouts")
