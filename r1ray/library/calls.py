"""The verbs ``run``, ``eval`` and ``score`` as functions. They take the same arguments as the command: words as on the
command line, and keys by name. They raise :class:`r1ray.errors.R1RayError` where the command would print a message.

    r1ray.run("recipe=r1_zero", model="/models/base", data={"train": "train.jsonl"}, steps=100)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from os import PathLike, fspath
from typing import Any

from r1ray.commands.compose import compose
from r1ray.commands.evaluate import evaluate_benchmarks
from r1ray.commands.run import run_recipe
from r1ray.config import ScoreConfig
from r1ray.errors import UserError
from r1ray.evaluation.score_file import Row, read_rows, score_rows
from r1ray.library.functions import Reward, path_here, path_of, words_of_rewards
from r1ray.library.saved_run import Run, load_run
from r1ray.library.words import words_of
from r1ray.telemetry.logs import console


def run(
    *words: str, rewards: Mapping[str, Reward] | None = None, config_dir: str | None = None, **values: object
) -> Run:
    """Run a recipe, or resume it, as ``r1ray run`` does, and return the run.

    Args:
        words: overrides as on the command line: ``"experiment=quickstart"``, ``"~reward.parts.format"``.
        rewards: functions that are parts of the reward, by the names of the parts. Reward workers, which are separate
            processes, have to be able to import them; paths of functions are accepted, too.
        config_dir: a folder with more files to choose from.
        values: keys of the configuration, see :func:`r1ray.library.words.words_of`.
    """
    _refuse_in_loop("run")
    given = [*words, *words_of(values), *words_of_rewards(rewards, path_of)]
    with console(sys.stdout):
        return load_run(run_recipe(compose(given, config_dir=config_dir)))


def evaluate(
    *words: str, rewards: Mapping[str, Reward] | None = None, config_dir: str | None = None, **values: object
) -> list[dict[str, Any]]:
    """Evaluate a model on benchmarks, or two models, as ``r1ray eval`` does. Returns the results of the model on each
    benchmark, then those of the other model. For the arguments see :func:`run`."""
    _refuse_in_loop("eval")
    given = [*words, *words_of(values), *words_of_rewards(rewards, path_of)]
    with console(sys.stdout):
        return evaluate_benchmarks(given, config_dir=config_dir)


def score(
    rows: Iterable[Mapping[str, Any]] | str | PathLike[str],
    *words: str,
    rewards: Mapping[str, Reward] | None = None,
    config_dir: str | None = None,
    **values: object,
) -> list[dict[str, Any]]:
    """Score given responses as ``r1ray score`` does. Returns one outcome for each row, in order.

    Args:
        rows: rows of the form ``{"id", "check", "response", "prompt"?, "language"?}``, or a file of them.
        words: as in :func:`run`; so are ``config_dir`` and ``values``.
        rewards: functions that are parts of the reward, by the names of the parts. Function objects are called in this
            process: one that exits, or never returns, ends or blocks it. Functions given by path are called in another
            process.
    """
    given = [*words, *words_of(values), *words_of_rewards(rewards, path_here)]
    config = compose(given, schema=ScoreConfig, name="score", config_dir=config_dir)
    if config.output is not None:
        raise UserError(f"output={config.output}: r1ray.score returns the outcomes; needs no file for them.")
    is_isolated = not any(not isinstance(each, str) for each in (rewards or {}).values())
    found: list[Row] = []
    scoring = score_rows(_numbered(rows), config.reward, config.sandbox, found.append, is_isolated=is_isolated)
    with ThreadPoolExecutor(1) as thread:  # the caller may have an event loop, as in a notebook
        thread.submit(asyncio.run, scoring).result()
    return found


def _numbered(rows: Iterable[Mapping[str, Any]] | str | PathLike[str]) -> Iterator[tuple[int, Row | str]]:
    if isinstance(rows, str | PathLike):
        return read_rows(str(fspath(rows)))
    return enumerate((dict(row) for row in rows), start=1)


def _refuse_in_loop(verb: str) -> None:
    """Raise UserError if an event loop is running: a run has its own, and handles signals in the main thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UserError(
        f"an event loop runs here, as in a notebook: needs a program without one, or the command r1ray {verb}."
    )
