"""What a benchmark is: one small YAML file, read and checked."""

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
"""From contest standings: they need the solved problems of a whole contest."""
_GENERAL_METRIC = re.compile(r"(pass|cons)@[1-9]\d*")
"""Of any check: pass@K, and a vote of K samples where its answers can be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """One benchmark. Raises ValueError that names the key."""

    name: str
    title: str
    check: str
    """How a response is checked, and so which ``fields`` there are: one of :data:`KINDS`."""
    fields: dict[str, Column]
    """What the check needs, and the published column it is in: ``a.b.0`` reaches into objects and lists, `` | `` stands
    between the names that different publications of the set use, a list takes several columns together."""
    prompt: str | dict[str, str]
    """What the model is asked, with ``{names}`` of fields and groups; by kind of tests where a set has several."""
    samples: int
    """k, samples a question: the paper's, or inside its range of 4 to 64."""
    metrics: tuple[str, ...]
    """The first is the one that is quoted."""
    source: str
    """Where the published set is."""
    licence: str
    language: str = "en"
    template: str = "chat"
    """As ``data.template``."""
    temperature: float = 0.6
    top_p: float = 0.95
    max_tokens: int = 32768
    groups: dict[str, str] = field(default_factory=dict)
    """Columns whose values are named in grouped means."""
    keep: dict[str, list[Any]] = field(default_factory=dict)
    """Values that a column has in usable rows; a file without that column has none but usable rows."""
    window: tuple[str, str] | None = None
    """First and last date, by the field ``date``; rows outside are not part of the benchmark."""
    options: dict[str, Any] = field(default_factory=dict)
    """What only one kind of check has: ``rubric``, ``program_language``, ``deadline_s``."""
    notes: str = ""
    folder: Path = Path()
    """Where the file is."""

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
                    f"metrics: {metric} is none; needs pass@1, cons@K, pass@K, or one of "
                    f"{', '.join([*METRICS, *STANDINGS_METRICS])}."
                )

    @property
    def miniature(self) -> Path:
        """The project's own few rows in the same layout. Raises UserError."""
        found = sorted((self.folder / "miniature").glob(f"{self.name}.*"))
        if not found:
            raise UserError(f"data=miniature: the benchmark {self.name} has none in {self.folder / 'miniature'}.")
        return found[0]


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{key}={value}: needs one of {', '.join(allowed)}.")


def benchmark_folder() -> Path:
    """``conf/benchmark/``."""
    return config_folder() / "benchmark"


def benchmark_names() -> list[str]:
    """The benchmarks that ship."""
    return sorted(path.stem for path in benchmark_folder().glob("*.yaml"))


def load_benchmark(name_or_path: str) -> Benchmark:
    """A benchmark that ships, by name, or one of the user's, by the path of its YAML file. Raises UserError."""
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
    """The benchmark of a file's content. Raises UserError for unknown, missing and impossible keys."""
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
