"""What the stages that train share: where their checkpoints, metrics and exported models are, and how they go on.

claim --> run folder of this digest;  go_back --> the last checkpoint, nothing after it;  load --> learner
export --> hf/<step>/;  before_and_after --> held-out metrics of the first and the last evaluation
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from r1ray.config import Deadlines
from r1ray.config.router import RouterConfig
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.evaluation.effects import CHANGE
from r1ray.evaluation.kept import compare_steps
from r1ray.evaluation.shown_answers import before_and_after as before_and_after_text
from r1ray.evaluation.tables import change_line
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.runtime.deadline import within
from r1ray.runtime.events import doing
from r1ray.runtime.files import ASIDE, REMOVING, written_aside
from r1ray.stages.base import claim
from r1ray.stages.model_form import form_remark, write_form
from r1ray.stages.resuming import from_weights
from r1ray.telemetry.metrics import MetricsFile, is_evaluated

logger = logging.getLogger(__name__)

STARTED = "started.json"
"""Of a stage that trains, beside its manifest: what its checkpoints are of."""


def model_path(base: Path | None, model: str | None) -> str:
    """Return the model that a stage trains: that of ``prepare``, in the folder ``base``, or the user's. A local folder
    has an absolute path, for processes elsewhere."""
    path = str(base / "model") if base else str(model)
    folder = Path(path).expanduser()
    return str(folder.resolve()) if folder.is_dir() else path


def check_router_keys(router: RouterConfig, *, model: str, has_engines: bool = True) -> None:
    """Raise UserError where the routers of a model are not what ``learner.router`` needs."""
    if router.replay and not has_engines:
        raise UserError(
            "learner.router.replay=true: given answers were not generated here, so that no engine knows their experts; "
            "needs learner.router.replay=false."
        )
    if router.is_used:
        from r1ray.learner.routers import check_routers  # imports torch, for which most runs need not wait here

        check_routers(model, router)


def export_dir(run_dir: Path, step: int) -> Path:
    """Return the folder of the model after a step."""
    return run_dir / "hf" / str(step)


def claim_checkpoints(run_dir: Path, stage: str, digest: str) -> None:
    """Note what a training stage is begun with. Raises UserError where there are checkpoints of something else: to go
    on from them with another model or other rows would mix the two."""
    claim(
        run_dir / "stages" / stage / STARTED,
        digest,
        is_begun=Checkpoints(run_dir / "checkpoints", keep=1).latest() is not None,
        refusal=(
            f"name={run_dir.name}: {run_dir} has checkpoints of a run with other inputs (a file of the model or of the "
            f"data has changed since); give another name, or remove the folder.{from_weights(run_dir)}"
        ),
    )


def go_back(run_dir: Path, checkpoints: Checkpoints, metrics: MetricsFile) -> tuple[Path, LoopState] | None:
    """Return the last checkpoint, None where there is none, and forget the metrics and models that came after it: a run
    that goes on makes them anew."""
    resumed = checkpoints.latest()
    forget_after(resumed[1].step if resumed else -1, run_dir, metrics)
    return resumed


def forget_after(step: int, run_dir: Path, metrics: MetricsFile) -> None:
    """Forget the metrics and models of later steps; -1: also what comes before the first step."""
    metrics.rewind(step)
    rewind_exports(run_dir / "hf", max(step, 0))


def rewind_exports(folder: Path, step: int) -> None:
    """Remove the model folders of later steps: a run that goes on from ``step`` makes these anew, and other models may
    come of it. What a killed process left is removed too."""
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name.startswith((ASIDE, REMOVING)) or (path.name.isdigit() and int(path.name) > step):
            shutil.rmtree(path)


async def load(learner: Any, resumed: tuple[Path, LoopState], *, stage: str, deadlines: Deadlines) -> None:
    """Have a learner go on from a checkpoint of :func:`go_back`."""
    folder, state = resumed
    logger.info(f"stage {stage}: resuming after step {state.step}")
    await _wait_for_learner(learner.load(folder), "loading the checkpoint", deadlines)


async def export(
    learner: Any, folder: Path, *, form: Form, deadlines: Deadlines, checkpoint: Path | None = None
) -> None:
    """Make the learner's model, or that of a checkpoint of its, in ``folder``, with the form that it was tuned in."""
    with doing("export"), written_aside(folder) as aside:
        await _wait_for_learner(learner.export(aside, checkpoint=checkpoint), "the export", deadlines)
        write_form(aside, form)


def say_form(tokenizer: Any, form: Form, *, model: str) -> None:
    """Log the form that a stage asks its model in, if there is something to say of it. Raises UserError."""
    remark = form_remark(tokenizer, form, model=model)
    if remark is not None:
        is_warning, text = remark
        logger.log(logging.WARNING if is_warning else logging.INFO, text)


async def _wait_for_learner(awaitable: Awaitable[None], what: str, deadlines: Deadlines) -> None:
    await within(
        deadlines.checkpoint_s,
        awaitable,
        waiter="the run",
        owner=f"the learner group ({what})",
        key="deadlines.checkpoint_s",
    )


def say_change(rollouts: Path, *, seed: int) -> dict[str, float]:
    """Log what training did to a few answers, and to pass@1, question by question; return that as metrics of the stage.
    Nothing where there are no two evaluations to compare."""
    if (answers := before_and_after_text(rollouts)) is not None:
        logger.info(answers)
    compared = compare_steps(rollouts, seed=seed)
    if compared is None:
        return {}
    logger.info(change_line(compared))
    change = compared.comparison.difference
    return {
        f"{CHANGE}pass@1": change.value,
        f"{CHANGE}pass@1_low": change.low,
        f"{CHANGE}pass@1_high": change.high,
        f"{CHANGE}p_value": compared.comparison.p_value,
    }


def recent_mean(rows: Sequence[Mapping[str, float]], metric: str, *, count: int = 10) -> float:
    """Return the mean of a metric over the last steps that have it: what training came to."""
    values = [row[metric] for row in rows if metric in row][-count:]
    return sum(values) / len(values)


def before_and_after(
    rows: Sequence[Mapping[str, float]], benchmark: str
) -> tuple[dict[str, float], dict[str, float]] | None:
    """Return the metrics of ``benchmark``, "" of several sets, in the first row and in the last that has any
    evaluation, without their prefix; None where nothing was evaluated."""
    evaluated = [row for row in rows if is_evaluated(row)]
    if not evaluated:
        return None
    prefix = f"eval/{benchmark}/" if benchmark else "eval/"
    first, last = (
        {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
        for row in (evaluated[0], evaluated[-1])
    )
    return first, last
