"""Definition of a benchmark: one small YAML file, read and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeAlias

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from r1ray.config import TEMPLATES
from r1ray.config.folder import config_folder
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.metrics import METRICS

Column: TypeAlias = str | list[str]
KINDS: dict[str, tuple[str, ...]] = {
    "math": ("question", "answer"),
    "choice": ("question",),
    "reading": ("passage", "question", "answers"),
    "instructions": ("question", "rules", "arguments"),
    "judged": ("question", "reference"),
    "pairwise": ("question", "baseline"),
    "code": ("question",),
    "command": ("question",),
    "own": (),
}
"""Kinds of check, and the fields that each needs. A choice needs ``options`` and ``answer``, or ``correct`` and
``wrong``, which are shuffled; the tests of ``code`` are recognised by their layout; ``own`` rows are prompts of a run,
in any layout of :mod:`r1ray.data.layouts`."""
STANDINGS_METRICS = ("rating", "percentile")
"""Metrics from contest standings, which need the solved problems of a whole contest."""
_GENERAL_METRIC = re.compile(r"(pass|cons)@[1-9]\d*")
"""Metrics of any check: pass@K, and a vote of K samples if its answers can be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark. Raises ValueError that names the key."""

    name: str
    title: str
    check: str
    """Kind of check, which determines the ``fields``: one of :data:`KINDS`."""
    fields: dict[str, Column]
    """Fields that the check needs, and the published column of each: ``a.b.0`` reaches into objects and lists, `` | ``
    separates the names that different publications of the set use, a list combines several columns."""
    prompt: str | dict[str, str]
    """Prompt for the model, with ``{names}`` of fields and groups; one for each kind of tests if a set has several."""
    samples: int
    """k, the number of samples for each question: the paper's, or within its range of 4 to 64."""
    metrics: tuple[str, ...]
    """Metrics of the benchmark; the first is the one to quote."""
    source: str
    """Place of the published set."""
    licence: str
    language: str = "en"
    template: str = "chat"
    """Template of the prompt, as in ``data.template``."""
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 32768
    groups: dict[str, str] = field(default_factory=dict)
    """Columns by whose values grouped means are named."""
    keep: dict[str, list[Any]] = field(default_factory=dict)
    """Values of a column in usable rows; if a file lacks the column, all of its rows are usable."""
    window: tuple[str, str] | None = None
    """First and last date, by the field ``date``; rows outside are not part of the benchmark."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of single kinds of check: ``rubric``, ``program_language``, ``deadline_s``."""
    notes: str = ""
    folder: Path = Path()
    """Folder of the file."""

    def __post_init__(self) -> None:
        _one_of("check", self.check, tuple(KINDS))
        needed = [name for name in KINDS[self.check] if name not in self.fields]
        if self.check == "choice" and not ({"options", "answer"} <= set(self.fields)):
            needed += [name for name in ("correct", "wrong") if name not in self.fields]
        if needed:
            raise ValueError(f"fields: check={self.check} needs {', '.join(needed)}.")
        _one_of("template", self.template, TEMPLATES)
        for key, value, least in (("samples", self.samples, 1), ("max_tokens", self.max_tokens, 1)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{key}={value}: needs a whole number of at least {least}.")
        if not self.metrics:
            raise ValueError("metrics is empty: needs at least one.")
        for metric in self.metrics:
            if metric not in METRICS and metric not in STANDINGS_METRICS and not _GENERAL_METRIC.fullmatch(metric):
                raise ValueError(
                    f"metrics: {metric} is not a metric; needs pass@1, cons@K, pass@K, or one of "
                    f"{', '.join([*METRICS, *STANDINGS_METRICS])}."
                )

    @property
    def miniature(self) -> Path:
        """Return the file of the few rows in the same layout that ship with the project. Raises UserError."""
        found = sorted((self.folder / "miniature").glob(f"{self.name}.*"))
        if not found:
            raise UserError(f"data=miniature: the benchmark {self.name} has none in {self.folder / 'miniature'}.")
        return found[0]


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}={value}: needs one of {', '.join(allowed)}.")


def benchmark_folder() -> Path:
    """Return ``conf/benchmark/``."""
    return config_folder() / "benchmark"


def benchmark_names() -> list[str]:
    """Return the names of the benchmarks that ship."""
    return sorted(path.stem for path in benchmark_folder().glob("*.yaml"))


def load_benchmark(name_or_path: str) -> Benchmark:
    """Load a benchmark that ships, by name, or one of the user's, by the path of its YAML file. Raises UserError."""
    is_path = name_or_path.endswith((".yaml", ".yml"))
    path = Path(name_or_path).expanduser() if is_path else benchmark_folder() / f"{name_or_path}.yaml"
    if not path.is_file():
        near = difflib.get_close_matches(name_or_path, benchmark_names(), n=1, cutoff=0.0)
        raise UserError(
            f"benchmark={name_or_path}: no such benchmark; the nearest is {near[0]}; a file of your own ends in .yaml."
        )
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"benchmark={name_or_path}: cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise UserError(f"benchmark={name_or_path}: needs keys and values, found {str(values)[:60]!r}.")
    return parse_benchmark({"name": path.stem, **{str(key): value for key, value in values.items()}}, path.parent)


def parse_benchmark(values: Mapping[str, Any], folder: Path) -> Benchmark:
    """Return the benchmark that a file defines. Raises UserError for unknown, missing and impossible keys."""
    where = f"benchmark={values.get('name')}"
    known = {each.name: each for each in fields(Benchmark) if each.name != "folder"}
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise UserError(f"{where}: {key}: no such key; the nearest is {near[0]}.")
    missing = [
        name
        for name, each in known.items()
        if name not in values and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing:
        raise UserError(f"{where}: needs {', '.join(missing)}.")
    made = dict(values)
    made["metrics"] = tuple(map(str, values["metrics"] or ()))
    if values.get("window") is not None:
        made["window"] = tuple(map(str, values["window"]))
    try:
        return Benchmark(**made, folder=folder)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
