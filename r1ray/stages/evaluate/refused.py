"""Questions that a model's chat template takes no prompt from: bad rows, for every model that is compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from r1ray.config import EvaluationConfig
from r1ray.data.template import Renderer
from r1ray.errors import UserError
from r1ray.evaluation.benchmarks.reader import MALFORMED, Item, bad_rows
from r1ray.runtime.files import digest_of
from r1ray.runtime.model_files import load_tokenizer, local_folder
from r1ray.stages.evaluate.task import Task


def without_refused(config: EvaluationConfig, task: Task, models: Mapping[str, str]) -> Task:
    """Return a task with the questions that every model can be asked. Raises UserError where others are not to be
    skipped, and where none is left.

    Args:
        models: paths of the models, by the keys of the configuration.
    """
    bad = bad_rows(f"benchmark={task.benchmark.name}", config.on_bad_row)
    items = task.items
    for key, path in models.items():
        folder = local_folder(path, key=key)
        render = Renderer(
            load_tokenizer(folder, template=task.template, key=key, is_trained=False, is_checked=True), task.form
        )
        reasons = {item.id: _reason(render, item) for item in items}
        for item in items:
            if (reason := reasons[item.id]) is not None:
                bad.note(item.place, f"{key}={path}: {reason}")
        items = [item for item in items if reasons[item.id] is None]
    bad.settle(num_others=len(items))
    if not bad.count:
        return task
    return replace(
        task,
        items=items,
        report=replace(task.report, num_items=len(items)),
        remarks=(*task.remarks, f"{bad.count} {MALFORMED}: the template takes no prompt from them"),
        digest=digest_of([task.digest, [item.id for item in items]]),
    )


def _reason(render: Renderer, item: Item) -> str | None:
    try:
        render(item.question)
    except UserError as error:
        return str(error)
    return None
