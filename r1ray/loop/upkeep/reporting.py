"""Reporting: one line of metrics.jsonl for each step, and the evaluations that belong to it.

begin --> the line waits for its evaluation (on the rollout engines; generation goes on) --> finish --> log
    `---> an evaluation on separate engines runs beside training, and logs a line of its own
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from r1ray.config import CheckpointConfig, EvalConfig, StopConfig
from r1ray.errors import UserError
from r1ray.interfaces import GroupRunner, WeightSync
from r1ray.loop.roles import Evaluate
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.waiting import Engines, Waiter
from r1ray.runtime.deadline import standing_first
from r1ray.runtime.events import doing


class Report:
    """Starts the evaluations of versions, and logs the metrics of each step."""

    def __init__(
        self,
        log: Callable[[dict[str, float]], None],
        evaluate: Evaluate | None,
        *,
        evaluation: EvalConfig,
        checkpoint: CheckpointConfig,
        stop: StopConfig,
        progress: Progress,
        weights: WeightSync,
        groups: GroupRunner,
        world_s: float = 0.0,
        engines: Engines,
        waiter: Waiter,
    ) -> None:
        """
        Args:
            log: receives the lines, in order.
            evaluate: returns the metrics of a version; None: nothing is evaluated.
            checkpoint: names the metric that chooses the best checkpoint.
            stop: names the metric that ends training.
            groups: groups on the engines that evaluate.
            world_s: ``eval_world_s`` of :class:`r1ray.loop.roles.Roles`.
        """
        self._log, self._evaluate = log, evaluate
        self._config, self._best, self._stop = evaluation, checkpoint.best, stop
        self._progress, self._weights, self._groups = progress, weights, groups
        self._world_s = world_s
        self._engines, self._waiter = engines, waiter
        self._line: dict[str, float] = {}
        self._evaluation: asyncio.Task[dict[str, float]] | None = None
        self._evaluating = -1  # the step being evaluated
        self._evaluated: tuple[int, Mapping[str, float]] = (-1, {})  # a step, and its metrics

    async def will_evaluate(self, step: int) -> bool:
        """Return whether the version that ``step`` makes will be evaluated: it is due and its engines are idle. The
        last version always is; wait for busy engines then."""
        every, is_last = self._config.every, step == self._progress.last
        if self._evaluate is None or not (is_last or (every and step % every == 0)):
            return False
        if not self._config.num_actors or self._evaluation is None or self._evaluation.done():
            return True
        if is_last:
            await asyncio.wait({self._evaluation})
        return is_last

    def begin(self, metrics: dict[str, float], tasks: asyncio.TaskGroup, *, is_evaluated: bool) -> None:
        """Begin the line of the live version, and its evaluation."""
        step = self._progress.step
        heading = {"step": float(step), "policy_version": float(self._progress.version)}
        self._line = heading | metrics
        if self._evaluate is None or not is_evaluated:
            return
        self._evaluating = step
        if self._config.num_actors:
            self._evaluation = tasks.create_task(self._evaluate_apart(self._evaluate, heading))
        else:
            self._evaluation = tasks.create_task(self._metrics_of(self._evaluate, step))
        self._evaluation.add_done_callback(lambda task: self._engines.news.set())

    async def finish(self) -> None:
        """Log the line once its evaluation is done. The learner must hold the live version, so that lost engines can be
        restored."""
        if self._evaluation is not None and not self._config.num_actors:
            while not self._evaluation.done():
                await self._engines.restore()
                await self._engines.news.wait()
            self._line |= self._evaluation.result()
            self._evaluation = None
        if self._line:
            self._log(self._line)
            self._progress.history.append(self._line)
            self._line = {}

    def go_back(self) -> None:
        """Discard the line that is not logged yet, and evaluations of undone steps."""
        self._line = {}
        is_undone = not self._config.num_actors or self._evaluating > self._progress.step
        if self._evaluation is not None and is_undone:
            self._evaluation.cancel()
            self._evaluation = None

    def held_out_metrics(self, step: int) -> Mapping[str, float]:
        """Return the metrics of a step by their bare names; none if another step was evaluated last."""
        evaluated, metrics = self._evaluated
        return metrics if evaluated == step else {}

    async def _metrics_of(self, evaluate: Evaluate, step: int) -> dict[str, float]:
        owner = f"the evaluation after step {step}"
        stands_still = standing_first(self._world_s, self._groups.is_recovering)
        with doing("evaluate", f"after step {step}"):
            result = await self._waiter.wait_for(evaluate(step), "generate_s", owner, stands_still=stands_still)
        best, stop = self._best, self._stop
        if best is not None and best not in result.metrics:
            names = ", ".join(result.metrics)
            raise UserError(f"checkpoint.best={best}: the evaluation has no such metric; needs one of {names}.")
        self._evaluated = step, result.metrics
        metrics = result.named()
        if stop.window and stop.metric.startswith("eval/") and stop.metric not in metrics:
            raise UserError(f"stop.metric={stop.metric}: no such metric; needs one of {', '.join(metrics)}.")
        return metrics

    async def _evaluate_apart(self, evaluate: Evaluate, heading: Mapping[str, float]) -> dict[str, float]:
        """Evaluate on separate engines, while training continues. If an engine is lost its version cannot be evaluated,
        because the learner is ahead by then. The engine is replaced when the next version is due."""
        lost = asyncio.Event()
        self._weights.when_eval_lost(lost.set)
        evaluating = asyncio.ensure_future(self._metrics_of(evaluate, int(heading["step"])))
        tasks = evaluating, asyncio.ensure_future(lost.wait())
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in tasks:
                each.cancel()
        metrics = evaluating.result() if evaluating in done else {"eval/abandoned": 1.0}
        self._log({**heading, **metrics})
        return metrics
