"""Tasks of reasoning-gym as prompts: made once for a run, and written to a file of r1ray's own layout.

    reasoning_gym:chain_sum+countdown --write_tasks--> data.train.tasks-<digest>.jsonl --(as any file)--> prompts

Each row has its set as domain, and as check what the set's own checker needs (:mod:`r1ray.reward.task`). The tasks are
a function of the settings and the package's version, both in the digest.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import itertools
import json
import logging
from collections.abc import Iterator, Set
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from r1ray.config.reasoning_gym import ReasoningGymConfig
from r1ray.errors import UserError
from r1ray.reward.task import missing
from r1ray.runtime.files import digest_of, written_aside
from r1ray.sandbox.inside.codec import encode

logger = logging.getLogger(__name__)

PREFIX = "reasoning_gym:"
OPTIONS = "data.reasoning_gym.sets"
MIXED = "composite"
"""A set that mixes others: they are named themselves."""
HELD_OUT_SEED = 1_000_000_000
"""Added to the seed of held-out tasks: a task's own seed is that of its set plus its number."""
NONSENSE = "no answer to anything"
MAX_TRIES = 10
"""Seeds that are tried for each held-out task, until one asks something that no training task asks."""


def names_tasks(source: Any) -> bool:
    """Return whether a value of ``data.train`` or ``data.eval`` names tasks, and no file."""
    return isinstance(source, str) and source.startswith(PREFIX)


def files_of(source: Any) -> Any:
    """Return what of such a value is files: a part of a list or of named sets, or None."""
    if isinstance(source, list):
        return [each for each in source if not names_tasks(each)] or None
    if isinstance(source, dict):
        return {name: files for name, each in source.items() if (files := files_of(each)) is not None} or None
    return None if names_tasks(source) else source


def version_of(*sources: Any) -> str | None:
    """Return the version of reasoning-gym if any of these values names tasks, which depend on it."""
    if all(files_of(source) == source for source in sources):
        return None
    return None if missing() else importlib.metadata.version("reasoning-gym")


def write_tasks(source: Any, folder: Path, settings: ReasoningGymConfig, *, key: str, apart_from: Any = None) -> Any:
    """Return the same value with the path of a file in the place of each ``reasoning_gym:SET+SET``. A list of nothing
    else becomes one file.

    Args:
        key: ``data.train``, or ``data.eval``, whose tasks are held out.
        apart_from: a value that this has returned; held-out tasks ask nothing that its tasks ask.

    Raises:
        UserError: reasoning-gym is not installed, or has no such set or option.
    """
    if isinstance(source, list) and source and files_of(source) is None:
        source = PREFIX + "+".join(each.removeprefix(PREFIX) for each in source)
    if isinstance(source, list):
        return [write_tasks(each, folder, settings, key=key, apart_from=apart_from) for each in source]
    if isinstance(source, dict):
        return {
            name: write_tasks(each, folder, settings, key=key, apart_from=apart_from) for name, each in source.items()
        }
    if not names_tasks(source):
        return source
    if message := missing():
        raise UserError(f"{key}={source}: {message}.")
    names = list(dict.fromkeys(source.removeprefix(PREFIX).split("+")))
    made = {"names": names, "settings": asdict(settings), "version": version_of(source), "apart_from": apart_from}
    path = folder / f"{key}.tasks-{digest_of(made)[:12]}.jsonl"
    if not path.exists():
        sets = [(name, _config_of(name, settings, key=key)) for name in names]
        _write(path, sets, settings, key=key, taken=_questions(apart_from, folder))
    return str(path)


def _write(path: Path, sets: list[tuple[str, Any]], settings: ReasoningGymConfig, *, key: str, taken: Set[str]) -> None:
    size = settings.size if key == "data.train" else settings.eval_size
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside, aside.open("w") as file:
        for name, config in sets:
            rows = list(itertools.islice(_rows(name, config, settings, taken=taken), size))
            logger.info(f"{key}: {len(rows)} tasks of reasoning-gym's {name}")
            if not rows:
                raise UserError(
                    f"{key}: none of {size} tasks of reasoning-gym's {name} can be used: its checker refuses its own "
                    "answers, or takes any, or all are training tasks; leave the set out."
                )
            if len(rows) < size:
                logger.warning(
                    f"{key}: only {len(rows)} of {size} tasks of {name} can be used: its checker has to take its own "
                    "answer and not any, and a held-out task must not be one of training (a harder "
                    "data.reasoning_gym.difficulty has more tasks)"
                )
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _rows(name: str, config: Any, settings: ReasoningGymConfig, *, taken: Set[str]) -> Iterator[dict[str, Any]]:
    """Yield tasks whose question is not taken, and whose checker takes the set's own answer, if it gives one, and
    not any other."""
    from reasoning_gym.factory import DATASETS

    tasks = DATASETS[name][0](config=config)
    usual = type(config)()  # and may hold what no file can
    given = {each.name: getattr(config, each.name) for each in fields(config)}
    options = json.dumps(encode({name: value for name, value in given.items() if value != getattr(usual, name)}))
    for number in range(config.size):
        entry = tasks[number]
        question, answer = entry["question"], entry["answer"]
        is_own_wrong = isinstance(answer, str) and not _takes(tasks, answer.strip(), entry)
        if question in taken or is_own_wrong or _takes(tasks, NONSENSE, entry):
            continue
        check = {
            "type": "reasoning_gym",
            "name": name,
            "options": options,
            "entry": json.dumps(encode(entry)),
            "threshold": settings.threshold,
        }
        yield {"id": f"{name}-{config.seed}-{number}", "prompt": question, "domain": name, "check": check}


def _takes(tasks: Any, answer: str, entry: dict[str, Any]) -> bool:
    """Return whether a checker gives full credit. Some raise on what they do not expect."""
    try:
        return bool(tasks.score_answer(answer, entry) >= 1)
    except Exception:
        return False


def _config_of(name: str, settings: ReasoningGymConfig, *, key: str) -> Any:
    """Return the configuration of a set. Raises UserError."""
    kind = _sets(settings, name, key=key)[name][1]
    options = _options_of(name, kind, settings)
    is_held_out = key != "data.train"
    options["seed"] = settings.seed + (HELD_OUT_SEED if is_held_out else 0)
    options["size"] = settings.eval_size * MAX_TRIES if is_held_out else settings.size
    try:
        config = kind(**options) if settings.difficulty is None else _at_level(settings.difficulty, options, name=name)
        if hasattr(config, "validate"):  # not every set's has
            config.validate()
    except UserError:
        raise
    except Exception as error:  # the package's own words on what a user gave
        raise UserError(f"{OPTIONS}.{name}={settings.sets.get(name, {})}: {error}.") from error
    return config


def _sets(settings: ReasoningGymConfig, name: str, *, key: str) -> dict[str, Any]:
    """Return the classes of every set. Raises UserError where the user's names are of none."""
    from reasoning_gym.factory import DATASETS

    known: dict[str, Any] = {each: classes for each, classes in DATASETS.items() if each != MIXED}
    for named, of_key in ((name, f"{key}=...{name}"), *((other, f"{OPTIONS}.{other}") for other in settings.sets)):
        if named not in known:
            near = difflib.get_close_matches(named, known, n=3) or sorted(known)
            raise UserError(f"{of_key}: reasoning-gym has no set {named!r}; needs some of {', '.join(near)}.")
    return known


def _options_of(name: str, kind: Any, settings: ReasoningGymConfig) -> dict[str, Any]:
    """Return the user's options of a set. Raises UserError."""
    known = {each.name for each in fields(kind)} - {"seed", "size"}
    options = {str(option): _tupled(value) for option, value in settings.sets.get(name, {}).items()}
    for option in options:
        if option not in known:
            raise UserError(
                f"{OPTIONS}.{name}.{option}: the set has no such option; needs some of {', '.join(sorted(known))}."
            )
    return options


def _at_level(level: int, options: dict[str, Any], *, name: str) -> Any:
    """Return the configuration of a level of a set's curriculum, with the user's options in the place of its own.
    Raises UserError."""
    from reasoning_gym.factory import CURRICULA

    if name not in CURRICULA:
        raise UserError(
            f"data.reasoning_gym.difficulty={level}: the set {name} has no levels; needs null, and "
            f"{OPTIONS}.{name} for its options."
        )
    curriculum = CURRICULA[name]()
    curriculum.set_global_level(level)
    config = curriculum.generate_configuration()
    for option, value in options.items():
        setattr(config, option, value)
    return config


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _questions(source: Any, folder: Path) -> Set[str]:
    """Return what the tasks of a value ask, of which :func:`write_tasks` made files."""
    if isinstance(source, list):
        return set().union(*(_questions(each, folder) for each in source))
    if not isinstance(source, str) or Path(source).parent != folder or ".tasks-" not in source:
        return set()
    return {json.loads(line)["prompt"] for line in Path(source).read_text().splitlines()}
