"""The supervised stages: a model and given answers in, a fine-tuned model (paper sections 2.3.1, 2.3.3 and 2.4) or a
preference reward model (2.3.4) out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from r1ray.config import RunConfig, decisive
from r1ray.config.sources import Source, name_of
from r1ray.conversation import ConversationEncoder, ConversationSettings
from r1ray.data.dialogues import Layout
from r1ray.data.files import states_of
from r1ray.data.pair_layouts import PAIRS
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.data.sft_rows import ExampleTable, PairTable, Rows, SupervisedReport, spool_dialogues
from r1ray.data.spool import named
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.loop.checkpoint import Checkpoints
from r1ray.loop.supervised_loop import HeldOut, SupervisedLoop, num_steps
from r1ray.mirror.supervision import counts as mirror_counts
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.runtime.events import doing
from r1ray.runtime.files import digest_of, files_of
from r1ray.runtime.model_files import context_of, load_generation_config, load_tokenizer
from r1ray.runtime.termination import first_sigterm
from r1ray.stages.base import (
    MADE_MODEL,
    Artifact,
    Context,
    Input,
    InputKind,
    files_read,
    inputs_of,
    lasting_digest,
)
from r1ray.stages.first_examples import say_first_examples
from r1ray.stages.token_checks import check_pattern_of_rows
from r1ray.stages.training import (
    before_and_after,
    check_router_keys,
    claim_checkpoints,
    export,
    export_dir,
    forget_after,
    go_back,
    load,
    model_path,
    recent_mean,
    say_change,
    say_form,
)
from r1ray.stages.tuned_answers import ask
from r1ray.telemetry.console import Progress
from r1ray.telemetry.driver_status import end_step, end_steps, expect_steps
from r1ray.telemetry.live import TimeLeft
from r1ray.telemetry.metrics import MetricsFile
from r1ray.telemetry.trackers.supervision import counts

logger = logging.getLogger(__name__)

SETTINGS = ("seed", "model", "supervised", "learner")
"""Parts of the configuration that decide what comes out of the stage, beside ``data.template``."""


def _conversations(config: RunConfig) -> list[Any]:
    """Return the keys that decide how dialogues with tools become tokens."""
    return [config.environment.renderer, config.environment.keep_reasoning]


@dataclass(frozen=True, slots=True)
class Objective:
    """What differs between imitation and preferences."""

    stage: str
    makes: str
    layouts: tuple[Layout, ...]
    table: Callable[[Path], Rows[Any]]
    rows: InputKind
    """Their kind, which is also what messages call them."""
    learner: str
    """The class of a learner rank."""


OBJECTIVES = {
    "sft": Objective("sft", "policy", EXAMPLES, ExampleTable, "dialogues", "r1ray.learner.sft:SFTLearner"),
    "preference": Objective(
        "reward_model", "reward_model", PAIRS, PairTable, "pairs", "r1ray.learner.preference:PreferenceLearner"
    ),
}


class RunningLearner(Protocol):
    """A learner that answers: a :class:`r1ray.interfaces.SupervisedLearner`, and its end."""

    @property
    def learner(self) -> Any: ...

    def shutdown(self) -> None: ...


class Launch(Protocol):
    """As :func:`r1ray.cluster.launch.launch_learner`."""

    def __call__(
        self, config: RunConfig, *, model: str, learner: str, num_updates: int
    ) -> Awaitable[RunningLearner]: ...


def _launch(config: RunConfig, *, model: str, learner: str, num_updates: int) -> Awaitable[RunningLearner]:
    from r1ray.cluster.launch import launch_learner

    return launch_learner(config, model=model, learner=learner, num_updates=num_updates)


class SupervisedTraining:
    """Imitation of given answers (``sft``), or a reward model of preferences between them (``preference``)."""

    def __init__(self, config: RunConfig, *, objective: str, launch: Launch = _launch) -> None:
        self._config, self._objective, self._launch = config, OBJECTIVES[objective], launch
        self.name, self.makes = self._objective.stage, self._objective.makes
        self.needs: tuple[str, ...] = ("base",) if config.prepare.maker else ()

    def reads(self) -> list[Input]:
        config, rows = self._config, self._objective.rows
        return inputs_of(
            ("model", MADE_MODEL if config.prepare.maker else config.model, "model"),
            ("supervised.train", config.supervised.train, rows),
            ("supervised.eval", config.supervised.eval, rows),
        )

    def settings(self) -> dict[str, Any]:
        config = self._config
        settings = {key: value for key, value in decisive(config).items() if key in SETTINGS}
        form = {**asdict(Form.of(config.data)), "on_bad_row": config.data.on_bad_row}
        settings["conversations"] = _conversations(config)
        return {"files": files_read(self), "objective": self.name, "data": form, **settings}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        base = Path(inputs["base"].path) if "base" in inputs else None
        claim_checkpoints(context.run_dir, self.name, lasting_digest(self, inputs))
        job = _Job(self._config, self._objective, self._launch, context, base)
        has_samples = bool(self._config.supervised.samples)
        if has_samples:
            ask(self._config, context, job.model, step=0, stage=self.name)
        metrics = asyncio.run(job.run())
        if has_samples:
            metrics |= ask(self._config, context, str(job.export_dir), step=job.num_steps, stage=self.name)
            metrics |= say_change(context.run_dir / "rollouts", seed=self._config.seed)
        logger.info(f"stage {self.name}: the model is in {job.export_dir}")
        return Artifact(str(job.export_dir), digest, metrics)


class _Job:
    """One execution of a stage."""

    def __init__(
        self, config: RunConfig, objective: Objective, launch: Launch, context: Context, base: Path | None
    ) -> None:
        """Everything that can be wrong with what the user gave is found here, before any actor starts."""
        self._config, self._objective, self._launch, self._context = config, objective, launch, context
        self._settings = config.supervised
        self.model = model_path(base, config.model)
        tokenizer = self._tokenizer = load_tokenizer(self.model, template=config.data.template, max_model_len=1)
        self._form = Form.of(config.data)
        say_form(tokenizer, self._form, model=self.model)
        load_generation_config(self.model)
        check_router_keys(config.learner.router, model=self.model, has_engines=False)
        self._check_context()
        conversation = ConversationSettings.of(config.environment, self._form, model=self.model)
        self._encoder = ConversationEncoder(tokenizer, form=self._form, settings=conversation)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
        self._train = self._table(self._settings.train, "supervised.train")
        held_out = self._settings.eval
        self._held_out: HeldOut[Any] | None = None
        if held_out is not None:
            self._held_out = HeldOut(name_of(held_out), self._table(held_out, "supervised.eval"))
        self.num_steps = num_steps(
            len(self._train), epochs=self._settings.epochs, sequences_per_step=self._settings.sequences_per_step
        )
        self.export_dir = export_dir(context.run_dir, self.num_steps)
        self._metrics = MetricsFile(context.run_dir / "metrics.jsonl", stage=objective.stage)
        self._checkpoints = Checkpoints(context.run_dir / "checkpoints", keep=config.checkpoint.keep)

    def _check_context(self) -> None:
        context = context_of(self.model)
        if context is not None and context < self._settings.max_tokens:
            raise UserError(
                f"supervised.max_tokens={self._settings.max_tokens}: the context of model={self.model} has {context} "
                "tokens; needs at most that."
            )

    def _table(self, path: Source, key: str) -> Rows[Any]:
        spool, on_bad_row = self._context.run_dir / "data" / f"{key}.arrow", self._config.data.on_bad_row
        what = {
            "files": [states_of(path), files_of(self.model)],
            "settings": [path, self.model, asdict(self._form), self._settings.max_tokens, on_bad_row],
            "conversations": _conversations(self._config),
            "objective": self._objective.stage,
            "token": SPECIAL_TOKEN,
        }
        report = spool_dialogues(
            path,
            spool,
            key=key,
            layouts=self._objective.layouts,
            encoder=self._encoder,
            max_tokens=self._settings.max_tokens,
            digest=digest_of(what),
            marker=SPECIAL_TOKEN,
            on_bad_row=on_bad_row,
        )
        if self._objective.makes == "policy":  # a reward model writes nothing
            check_pattern_of_rows(self._tokenizer, report.num_marked, model=self.model, rows=named(path, key=key))
        shown = named(path, key=key).removeprefix(f"{key}=")
        for line in describe(report, shown, key=key, rows=self._objective.rows, max_tokens=self._settings.max_tokens):
            logger.info(line)
        table = self._objective.table(spool)
        say_first_examples(key, table, self._tokenizer)
        return table

    async def run(self) -> dict[str, float]:
        """The loop from the last checkpoint, or from the start, to the end; returns what it came to."""
        config, settings = self._config, self._settings
        deadlines, stage, run_dir = config.deadlines.decided, self._objective.stage, self._context.run_dir
        resumed = go_back(run_dir, self._checkpoints, self._metrics)
        state = resumed[1] if resumed else None
        name = self._held_out.name if self._held_out is not None else ""
        progress = Progress(num_steps=self.num_steps, benchmark=name)
        expect_steps(self.num_steps)
        logger.info(
            f"stage {stage}: {settings.epochs} epochs of {len(self._train)} {self._objective.rows} in "
            f"{self.num_steps} steps of {settings.sequences_per_step}; {config.learner.num_ranks} learner ranks; "
            "starting them"
        )
        with doing("start"):
            running = await self._launch(
                config, model=self.model, learner=self._objective.learner, num_updates=self.num_steps
            )
        try:
            from r1ray.cluster.gauges import Gauges  # imports Ray, which what is refused need not wait for

            lines, gauges = StepLines(num_steps=self.num_steps), Gauges.of(run_dir, stage=stage)

            def log(metrics: dict[str, float]) -> None:
                metrics = metrics | counts() | mirror_counts()
                self._metrics.append(metrics)
                gauges.set(metrics)
                end_step(metrics)
                lines.step(metrics)

            async def exported(step: int) -> None:
                await export(running.learner, export_dir(run_dir, step), form=self._form, deadlines=deadlines)

            async def begin() -> None:
                if resumed:
                    await load(running.learner, resumed, stage=stage, deadlines=deadlines)

            async def finish() -> None:
                if state is None or state.step < self.num_steps or not self.export_dir.is_dir():
                    await exported(self.num_steps)

            loop = SupervisedLoop(
                config,
                running.learner,
                self._train,
                checkpoints=self._checkpoints,
                log=log,
                held_out=self._held_out,
                export=exported,
                begin=begin,
                finish=finish,
                forget=lambda step: forget_after(step, run_dir, self._metrics),
                state=state,
            )
            with first_sigterm(loop.stop):
                await loop.run()
        finally:
            running.shutdown()
        end_steps()
        return self._finish(progress)

    def _finish(self, progress: Progress) -> dict[str, float]:
        rows = self._metrics.read()
        plot_losses(rows, self._context.run_dir / "curves.png", title=self._context.run_dir.name)
        trained = {"steps": float(self.num_steps), "train_loss": recent_mean(rows, "loss/total")}
        if self._held_out is None:
            return trained
        evaluated = before_and_after(rows, self._held_out.name)
        assert evaluated is not None
        progress.table(*evaluated)
        return trained | evaluated[1]


def describe(report: SupervisedReport, path: str, *, key: str, rows: str, max_tokens: int) -> list[str]:
    """What the user is told of a file: what was recognised, and what was left out."""
    lines = [
        f"{key}: {report.num_rows} {rows} in the layout of {report.layout}, {report.num_tokens} tokens "
        f"({report.num_answer_tokens} of them answers), the longest {report.longest}; from {path}"
    ]
    if report.num_too_long:
        lines.append(f"{key}: {report.num_too_long} rows of more than supervised.max_tokens={max_tokens} are left out")
    if report.quarantined:
        reasons = ", ".join(f"{count} because {reason}" for reason, count in report.quarantined.items())
        count, ids = sum(report.quarantined.values()), ", ".join(report.quarantined_ids)
        lines.append(f"{key}: nothing can be learned from {count} rows, which are left out: {reasons} (first: {ids})")
    return lines


class StepLines:
    """A line a step for the terminal."""

    def __init__(self, *, num_steps: int) -> None:
        self._num_steps = num_steps
        self._left = TimeLeft(num_steps)

    def step(self, metrics: dict[str, float]) -> None:
        """The line of one step; of step 0, the held-out metrics."""
        step = metrics["step"]
        left = self._left.after(step)
        evals = [f"{name.split('/', 2)[2]} {value:.4f}" for name, value in metrics.items() if name.startswith("eval/")]
        held_out = f"  held-out: {'  '.join(evals)}" if evals else ""
        if "loss/total" not in metrics:
            logger.info(f"step {step:.0f}{held_out}")
            return
        accuracy = metrics.get("train/accuracy")
        shown = [
            f"{step:.0f}/{self._num_steps}",
            f"epoch {metrics['epoch']:.2f}",
            f"loss {metrics['loss/total']:.4f}",
            *([] if accuracy is None else [f"accuracy {accuracy:.3f}"]),
            f"{metrics['throughput/trained_tokens_per_s']:.0f} tokens/s",
        ]
        logger.info("  ".join(shown) + held_out + (f"  left {left}" if left else ""))


def plot_losses(rows: Sequence[dict[str, float]], path: Path, *, title: str) -> None:
    """curves.png: the loss, and the accuracy of preferences where there is one; training and held-out."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = {"loss": "loss/total", "accuracy": "train/accuracy"}
    shown = [panel for panel, name in panels.items() if any(name in row for row in rows)]
    if not shown:
        return
    figure, axes = plt.subplots(1, len(shown), figsize=(6 * len(shown), 4.2), constrained_layout=True, squeeze=False)
    for axis, panel in zip(axes[0], shown, strict=True):
        names = sorted({n for row in rows for n in row if n.startswith("eval/") and n.endswith(f"/{panel}")})
        for name, line in ((panels[panel], "-"), *((name, "o-") for name in names)):
            points = [(row["step"], row[name]) for row in rows if name in row]
            label = f"held-out ({name.split('/')[1]})" if name.startswith("eval/") else "training"
            axis.plot(*zip(*points, strict=True), line, linewidth=1, markersize=4, label=label)
        axis.set(title=panel, xlabel="step")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=130)
    plt.close(figure)
