"""The benchmarks of an evaluation, read and checked before any model is looked at: definition, data, settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from r1ray.cluster.joining import is_remote
from r1ray.config import EvaluationConfig
from r1ray.config.evaluation import ZERO_SHOT
from r1ray.config.sources import check_sets, check_source
from r1ray.data.spool import rows_of
from r1ray.data.template import Form, messages_in, question_in
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.definition import Benchmark, load_benchmark
from r1ray.evaluation.benchmarks.files import benchmark_files
from r1ray.evaluation.benchmarks.metrics import METRICS
from r1ray.evaluation.benchmarks.reader import MINIATURE, BenchmarkReport, Item, read_benchmark
from r1ray.evaluation.benchmarks.standings import Contest, read_standings
from r1ray.evaluation.phrasings import Phrasing, Shot, phrasings_of
from r1ray.reward.check_problems import reference_problem
from r1ray.runtime.files import content_digest, digest_of
from r1ray.stages.base import check_sandbox
from r1ray.stages.own_functions import own_columns_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A benchmark with its questions and settings, before any model."""

    benchmark: Benchmark
    items: list[Item]
    report: BenchmarkReport
    contests: dict[str, Contest] | None
    metrics: tuple[str, ...]
    samples: int
    temperature: float
    top_p: float
    max_tokens: int
    form: Form
    digest: str
    """Of the benchmark, its data and its settings."""
    remarks: tuple[str, ...]
    prompt: str = ""
    """Name of the prompt in which the questions are put; empty: as the benchmark has them."""

    @property
    def title(self) -> str:
        """Return what people call it."""
        return f"{self.benchmark.title}, {self.prompt}" if self.prompt else self.benchmark.title

    @property
    def template(self) -> str:
        """Return the template, one of those of ``data.template``."""
        return self.form.template


def tasks_of(config: EvaluationConfig) -> list[Task]:
    """Read every benchmark that is asked for. Raises UserError where one cannot be evaluated."""
    names = config.benchmarks if isinstance(config.benchmarks, list) else [config.benchmarks]
    if not names:
        raise UserError("benchmark=[]: needs at least one.")
    shots = read_shots(config.shots)[: config.num_shots] if config.shots else []
    tasks: list[Task] = []
    for name in map(str, names):
        benchmark = load_benchmark(name)
        task = _task(config, benchmark, _data_of(config, benchmark, alone=len(names) == 1))
        tasks += phrased(task, phrasings_of(config.prompts, shots)) if config.prompts else [task]
    programs = frozenset[str]().union(*(task.report.programs for task in tasks))
    key = f"benchmark={','.join(map(str, names))}"
    warning = check_sandbox(config.sandbox, programs, key=key, is_local=not is_remote(config.cluster.address))
    if warning:
        logger.warning(warning)
    return tasks


def phrased(task: Task, phrasings: Sequence[Phrasing]) -> list[Task]:
    """Return a task in each of some prompts. Raises UserError where an example is one of its questions."""
    shown = {shot.prompt.strip() for phrasing in phrasings for shot in phrasing.shots}
    for item in task.items:
        text = "\n".join(message["content"] for message in messages_in(item.question))
        if shown & {text.strip(), question_in(text)}:
            raise UserError(f"shots: one of them is question {item.id} of {task.benchmark.name}; needs other examples.")

    def put(item: Item, phrasing: Phrasing) -> Item:
        question = phrasing.put(item.question, template=task.template, language=item.language)
        return replace(item, question=question)

    return [
        replace(
            task,
            items=[put(item, each) for item in task.items],
            prompt=each.name,
            digest=task.digest if each == Phrasing(name=ZERO_SHOT) else digest_of([task.digest, asdict(each)]),
        )
        for each in phrasings
    ]


def read_shots(path: str) -> list[Shot]:
    """Read the examples of ``few_shot``. Raises UserError where a column is missing."""
    shots = []
    for number, row in rows_of(path, key="shots"):
        try:
            shots.append(Shot(str(row["prompt"]), str(row["response"])))
        except KeyError as error:
            raise UserError(f"shots={path}: row {number} has no {error.args[0]}; needs prompt and response.") from error
    return shots


def _data_of(config: EvaluationConfig, benchmark: Benchmark, *, alone: bool) -> Any:
    """Return the source of a benchmark's rows; of prompts of the user's own it may be several sets by name. Raises
    UserError."""
    data, key, is_own = config.data, "data", benchmark.check == "own"
    if isinstance(data, Mapping) and benchmark.name in data:
        data, key = data[benchmark.name], f"data.{benchmark.name}"
    elif isinstance(data, Mapping) and not (alone and is_own):
        raise UserError(f"data={dict(data)}: has nothing for benchmark={benchmark.name}.")
    elif not isinstance(data, Mapping) and not alone and data != MINIATURE:
        raise UserError(f"data={data}: several benchmarks need a file each: data={{{benchmark.name}: PATH, ...}}.")
    if not isinstance(data, Mapping | list):
        return str(data)
    try:
        (check_sets if is_own else check_source)(key, data)
    except ValueError as error:
        raise UserError(str(error)) from error
    return data


def _digest_of(source: Any, memo: Path) -> Any:
    """Return what tells one version of a source from another: the contents of local files."""
    if isinstance(source, Mapping):
        return {name: _digest_of(each, memo) for name, each in source.items()}
    if isinstance(source, str) and Path(source).expanduser().exists():
        return content_digest(source, memo)
    return [
        content_digest(file.path, memo) if Path(file.path).is_file() else [file.name, file.size, file.changed]
        for file in benchmark_files(source, key="data")
    ]


def _task(config: EvaluationConfig, benchmark: Benchmark, data: Any) -> Task:
    template = config.template or benchmark.template
    try:
        asked = config.data_of(template)
    except ValueError as error:
        raise UserError(str(error)) from error
    items, report = read_benchmark(
        benchmark,
        data,
        columns=own_columns_of(asked),
        on_bad_row=config.on_bad_row,
        limit=config.limit,
        seed=config.seed,
        window=(config.window[0], config.window[1]) if config.window else None,
        languages=config.languages,
        command=config.command,
        baseline=config.baseline,
        problem=reference_problem,
    )
    if report.needs_judge and config.judge.model is None:
        raise UserError(
            f"benchmark={benchmark.name}: its answers are graded by a judge; needs judge.model=PATH, or judge.url and "
            "judge.model of a service."
        )
    if report.left_out:
        logger.info(
            f"{benchmark.name}: {len(report.left_out)} of {report.num_rows} rows have no usable reference and are left "
            f"out: {', '.join(report.left_out[:5])}"
        )
    contests = read_standings(config.standings) if config.standings else None
    wanted = {item.groups["contest"] for item in items if "contest" in item.groups}
    if contests is not None and wanted - contests.keys():
        raise UserError(
            f"standings={config.standings}: has none of the contests {', '.join(wanted - contests.keys())}."
        )
    samples = config.samples or benchmark.samples
    metrics, remarks = metrics_of(benchmark, samples, has_standings=config.standings is not None)
    memo = memo_of(config.output_dir)
    files = {
        key: _digest_of(path, memo)
        for key, path in (
            ("data", str(benchmark.miniature) if data == MINIATURE else data),
            ("baseline", config.baseline),
            ("standings", config.standings),
        )
        if path is not None
    }
    task = Task(
        benchmark=benchmark,
        items=items,
        report=report,
        contests=contests,
        metrics=metrics,
        samples=samples,
        temperature=benchmark.temperature if config.temperature is None else config.temperature,
        top_p=benchmark.top_p if config.top_p is None else config.top_p,
        max_tokens=config.max_tokens or benchmark.max_tokens,
        form=Form.of(asked),
        digest="",
        remarks=(*report.remarks, *remarks),
    )
    definition = {key: value for key, value in asdict(benchmark).items() if key != "folder"}
    return replace(task, digest=digest_of({"benchmark": definition, "files": files}))


def metrics_of(benchmark: Benchmark, samples: int, *, has_standings: bool) -> tuple[tuple[str, ...], list[str]]:
    """Return the benchmark's metrics with so many samples, and what the result has to say about them."""
    metrics: list[str] = []
    remarks = []
    for metric in benchmark.metrics:
        kind, _, count = metric.partition("@")
        if count.isdigit() and int(count) > samples:
            remarks.append(f"{metric} needs {count} samples: {kind}@{samples} in its place")
            metric = f"{kind}@{samples}"
        if metric not in METRICS and not count and not has_standings:
            remarks.append(f"{metric} needs contest standings: standings=FILE")
        elif metric not in metrics:
            metrics.append(metric)
    return tuple(metrics), remarks


def memo_of(output_dir: str) -> Path:
    """Return the file that keeps digests of the files that evaluations read, see :func:`content_digest`."""
    return Path(output_dir).expanduser().resolve() / "evaluations" / "digests.json"
