"""The metrics of finished evaluations: computed from the samples, written to result.json, and told."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.evaluation.prompt_spread import prompt_spread
from r1ray.evaluation.records import ACCURACY, Answered
from r1ray.evaluation.resampling import Metric
from r1ray.evaluation.search_run import table_of
from r1ray.evaluation.statistics import NUM_RESAMPLES
from r1ray.evaluation.summary import PART, compare_models, group_metrics, metrics_of
from r1ray.evaluation.tables import comparison_line, groups_line, metrics_table, search_table
from r1ray.runtime.files import digest_of, write_json
from r1ray.stages.base import code_version
from r1ray.stages.evaluate.evaluation import Evaluation, name_of
from r1ray.telemetry.reflection import measure_reflection

logger = logging.getLogger(__name__)
NO_VOTE = "some of these answers cannot be compared with each other: no vote"


def result_of(evaluation: Evaluation, *, parts: Collection[str], seed: int) -> dict[str, Any]:
    """Return the metrics, and write them beside the samples. Those of a finished evaluation are computed anew: it is
    cheap, and they cannot differ from the samples.

    Args:
        parts: names of the parts of the reward.
        seed: of the intervals.

    Raises:
        UserError: a metric that cannot be computed from these answers.
    """
    task = evaluation.task
    questions = [evaluation.answered[number] for number in sorted(evaluation.answered)]
    samples = [sample for question in questions for sample in question.samples]
    reflection = measure_reflection([s.text for s in samples], [s.num_tokens for s in samples])
    metrics = _metrics(evaluation, questions, parts=parts, seed=seed)
    result: dict[str, Any] = {
        "benchmark": task.benchmark.name,
        **({"prompt": task.prompt} if task.prompt else {}),
        "model": evaluation.model,
        "samples": str(evaluation.folder / "samples.jsonl"),
        "num_questions": len(questions),
        "num_left_out": len(task.report.left_out),
        "left_out": list(task.report.left_out),
        "num_outside": task.report.num_outside,
        "remarks": evaluation.remarks,
        "settings": evaluation.settings,
        "max_tokens": evaluation.max_tokens,
        "metrics": {name: _plain(metric) for name, metric in metrics.items()},
        "groups": _groups(questions),
        **_by_environment(evaluation, questions, parts=parts, seed=seed),
        "reflection": asdict(reflection),
        "code_version": code_version(),
    }
    if evaluation.found:
        rows = table_of([evaluation.found[number] for number in sorted(evaluation.found)], seed=seed)
        result["search"] = [asdict(row) for row in rows]
    path = evaluation.folder / "result.json"
    result |= _speed(evaluation, path)
    write_json(path, result)
    return result


def _speed(evaluation: Evaluation, path: Path) -> dict[str, float]:
    """Return seconds and tokens/s of asking; where nothing was asked, those of the result that is there."""
    if evaluation.seconds:
        return {"seconds": evaluation.seconds, "tokens_per_s": evaluation.new_tokens / evaluation.seconds}
    with suppress(OSError, ValueError, TypeError):  # none there, or cut off: it is written anew
        before = json.loads(path.read_text())
        return {key: before[key] for key in ("seconds", "tokens_per_s") if key in before}
    return {}


def _metrics(
    evaluation: Evaluation, questions: Sequence[Answered], *, parts: Collection[str], seed: int
) -> dict[str, Metric]:
    task = evaluation.task
    can_vote = all(question.classes is not None for question in questions)
    metrics = [metric for metric in task.metrics if can_vote or not metric.startswith("cons@")]
    if task.samples > 1 and evaluation.names_of_worlds and f"pass@{task.samples}" not in metrics:
        metrics.append(f"pass@{task.samples}")
    metrics += [f"{PART}{name}" for name in parts if name != ACCURACY]
    if not can_vote and NO_VOTE not in evaluation.remarks:
        evaluation.remarks.append(NO_VOTE)
    try:
        return metrics_of(questions, metrics, seed=seed, contests=task.contests)
    except ValueError as error:
        raise UserError(f"benchmark={task.benchmark.name}: {error}") from error


def _groups(questions: Sequence[Answered]) -> dict[str, dict[str, Any]]:
    """Return means by every property that all questions have, as far as several of them share a value."""
    keys = sorted({key for question in questions for key in question.groups})
    complete = [key for key in keys if all(key in question.groups for question in questions)]
    groups = {key: asdict(group_metrics(questions, key)) for key in complete}
    return {key: means for key, means in groups.items() if 1 < len(means["by_group"]) < len(questions)}


def _by_environment(
    evaluation: Evaluation, questions: Sequence[Answered], *, parts: Collection[str], seed: int
) -> dict[str, Any]:
    """Return the same metrics of the questions of each environment; nothing where no question has one."""
    found = {}
    for name in evaluation.names_of_worlds:
        members = [question for question in questions if question.groups.get("environment") == name]
        if members:
            metrics = _metrics(evaluation, members, parts=parts, seed=seed)
            found[name] = {metric: _plain(value) for metric, value in metrics.items()}
    return {"environments": found} if found else {}


def _plain(metric: Metric) -> dict[str, Any]:
    return {"value": metric.value, "over_questions": metric.over_questions, "over_samples": metric.over_samples}


def show(evaluation: Evaluation, result: Mapping[str, Any], *, seed: int, budget: int) -> None:
    """Tell the metrics of one evaluation.

    Args:
        budget: tokens of a question in a search.
    """
    task = evaluation.task
    title = (
        f"{task.title}, {name_of(evaluation.model)}: {result['num_questions']} questions x {task.samples} "
        f"samples, temperature {task.temperature:g}, top-p {task.top_p:g}, up to {evaluation.max_tokens} tokens, seed "
        f"{seed}"
    )
    logger.info(metrics_table(title, result["metrics"]))
    for name, metrics in result.get("environments", {}).items() if len(evaluation.names_of_worlds) > 1 else ():
        logger.info(metrics_table(f"environment {name}", metrics))
    for key, means in result["groups"].items():
        logger.info(groups_line(key, means))
    if result["reflection"]["share"]:
        quote = result["reflection"]["quotes"][0]["excerpt"]
        logger.info(f"  goes back on itself in {result['reflection']['share']:.3f} of the answers: {quote!r}")
    if evaluation.found:
        logger.info(search_table(f"search with {budget} tokens a question", result["search"]))
    for remark in evaluation.remarks:
        logger.info(f"  note: {remark}")
    if result["num_left_out"]:
        logger.info(f"  left out for want of a usable reference: {result['num_left_out']} (listed in result.json)")
    if evaluation.seconds:
        logger.info(
            f"  {evaluation.new_tokens} tokens in {evaluation.seconds:.1f} s, {result['tokens_per_s']:.0f} tokens/s"
        )
    logger.info(f"  {evaluation.folder}/result.json, samples.jsonl")


def show_comparison(a: Evaluation, b: Evaluation, *, seed: int) -> None:
    """Tell how the answers of two models to one benchmark differ, question by question."""
    questions = [list(each.answered.values()) for each in (a, b)]
    logger.info(comparison_line(a.task.title, compare_models(*questions, seed=seed, num_resamples=NUM_RESAMPLES)))


def spread_of(evaluations: Sequence[Evaluation], *, seed: int) -> dict[str, Any]:
    """Return how far pass@1 of a model moves with the prompts of one benchmark, and write it beside the evaluations.

    Args:
        evaluations: of each prompt. They have the same questions.

    Raises UserError where no question was answered in all of them.
    """
    first = evaluations[0]
    answers = {each.task.prompt: list(each.answered.values()) for each in evaluations}
    try:
        found = prompt_spread(answers, seed=seed)
    except ValueError as error:
        raise UserError(f"benchmark={first.task.benchmark.name}: {error}") from error
    names = [each.folder.name for each in evaluations]
    spread = {
        "benchmark": first.task.benchmark.name,
        "model": first.model,
        "num_questions": found.num_questions,
        "num_left_out": found.num_left_out,
        "pass@1": {name: _plain(metric) for name, metric in found.by_prompt.items()},
        "mean": _plain(found.mean),
        "spread": _plain(found.spread),
        "lowest": found.lowest,
        "highest": found.highest,
        "by_chance": found.by_chance,
        "p_value": found.p_value,
        "evaluations": dict(zip(answers, names, strict=True)),
    }
    path = first.folder.parent / f"prompts-{first.folder.name.rpartition('-')[0]}-{digest_of(names)[:10]}.json"
    write_json(path, spread)
    return spread | {"path": str(path)}


def show_spread(evaluation: Evaluation, spread: Mapping[str, Any]) -> None:
    """Tell pass@1 of each prompt, and how far it moves.

    Args:
        evaluation: of one of the prompts.
    """
    task = evaluation.task
    title = (
        f"{task.benchmark.title}, {name_of(evaluation.model)}: pass@1 of {len(spread['pass@1'])} prompts, "
        f"{spread['num_questions']} questions x {task.samples} samples"
    )
    logger.info(metrics_table(title, spread["pass@1"] | {"mean": spread["mean"], "spread": spread["spread"]}))
    logger.info(
        f"  highest {spread['highest']}, lowest {spread['lowest']}; a spread of {spread['by_chance']:.3f} would "
        f"come by chance (p = {spread['p_value']:.3f})"
    )
    if spread["num_left_out"]:
        logger.info(f"  {spread['num_left_out']} questions without a scored sample in some prompt are left out")
    logger.info(f"  {spread['path']}")
