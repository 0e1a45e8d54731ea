"""Reporting: one line of metrics.jsonl a step, and the evaluations that go into it.

begin --> the line waits for its evaluation (on the rollout engines; generation goes on) --> finish --> log
    `---> an evaluation on engines of its own goes on beside training, and logs a line of its own
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from r1ray.config import CheckpointConfig, EvalConfig, StopConfig
from r1ray.errors import EngineLost, UserError
from r1ray.loop.roles import Evaluate
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.waiting import Engines, Waiter


class Report:
    """Has versions evaluated, and logs what each step was."""

    def __init__(
        self,
        log: Callable[[dict[str, float]], None],
        evaluate: Evaluate | None,
        *,
        evaluation: EvalConfig,
        checkpoint: CheckpointConfig,
        stop: StopConfig,
        progress: Progress,
        engines: Engines,
        waiter: Waiter,
    ) -> None:
        """
        Args:
            log: receives the lines, in order.
            evaluate: returns the metrics of a version; None: nothing is evaluated.
            checkpoint: names the metric that chooses the best one.
            stop: names the metric that ends training.
        """
        self._log, self._evaluate = log, evaluate
        self._config, self._best, self._stop = evaluation, checkpoint.best, stop
        self._progress, self._engines, self._waiter = progress, engines, waiter
        self._line: dict[str, float] = {}
        self._evaluation: asyncio.Task[dict[str, float]] | None = None
        self._evaluated: tuple[int, Mapping[str, float]] = (-1, {})  # a version, and its metrics

    async def will_evaluate(self, version: int) -> bool:
        """Return whether ``version`` will be evaluated: it is due and its engines are idle. The last version always
        is; wait for busy engines then."""
        every, is_last = self._config.every, version == self._progress.last
        if self._evaluate is None or not (is_last or (every and version % every == 0)):
            return False
        if not self._config.num_actors or self._evaluation is None or self._evaluation.done():
            return True
        if is_last:
            await asyncio.wait({self._evaluation})
        return is_last

    def begin(self, metrics: dict[str, float], tasks: asyncio.TaskGroup, *, is_evaluated: bool) -> None:
        """Begin the line of the live version, and its evaluation."""
        version = self._progress.version
        self._line = {"step": float(version), "policy_version": float(version), **metrics}
        if self._evaluate is None or not is_evaluated:
            return
        if self._config.num_actors:
            self._evaluation = tasks.create_task(self._evaluate_apart(self._evaluate, version))
        else:
            running = self._metrics_of(self._evaluate, version, self._engines.note_attempt)
            self._evaluation = tasks.create_task(running)
        self._evaluation.add_done_callback(lambda task: self._engines.news.set())

    async def finish(self) -> None:
        """Log the line, once its evaluation is done. The learner must hold the live version, so that lost engines can
        be restored."""
        if self._evaluation is not None and not self._config.num_actors:
            start = time.monotonic()
            while not self._evaluation.done():
                await self._engines.restore()
                await self._engines.news.wait()
            self._line |= self._evaluation.result() | {"time/eval_wait_s": time.monotonic() - start}
            self._evaluation = None
        if self._line:
            self._log(self._line)
            self._progress.history.append(self._line)
            self._line = {}

    def held_out_metrics(self, version: int) -> Mapping[str, float]:
        """Return the metrics of a version by their bare names; none if it was not the last one to be evaluated."""
        evaluated, metrics = self._evaluated
        return metrics if evaluated == version else {}

    async def _metrics_of(self, evaluate: Evaluate, version: int, on_start: Callable[[int], None]) -> dict[str, float]:
        running = evaluate(version, on_start)
        result = await self._waiter.wait_for(running, "generate_s", f"evaluation of version {version}")
        best, stop = self._best, self._stop
        if best is not None and best not in result.metrics:
            names = ", ".join(result.metrics)
            raise UserError(f"checkpoint.best={best}: the evaluation has no such figure; needs one of {names}.")
        self._evaluated = version, result.metrics
        metrics = {f"eval/{result.benchmark}/{name}": value for name, value in result.metrics.items()}
        if stop.window and stop.metric.startswith("eval/") and stop.metric not in metrics:
            raise UserError(f"stop.metric={stop.metric}: no such figure; needs one of {', '.join(metrics)}.")
        return metrics

    async def _evaluate_apart(self, evaluate: Evaluate, version: int) -> dict[str, float]:
        """Evaluate on engines of its own, while training goes on. A lost engine takes the version with it: the learner,
        which could give it to another, is ahead by now. The engine is replaced when the next version is due."""

        def abandon(attempt: int) -> None:
            if attempt > 1:
                raise EngineLost(f"an evaluation engine was lost while it held version {version}")

        try:
            metrics = await self._metrics_of(evaluate, version, abandon)
        except EngineLost:
            metrics = {"held_out/abandoned": 1.0}
        self._log({"step": float(version), "policy_version": float(version), **metrics})
        return metrics
