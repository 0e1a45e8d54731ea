"""Progress of a run: a row a step, and a table at its end, as lines of the log."""

from __future__ import annotations

import io
import logging
import math

from rich.console import Console
from rich.table import Table

from r1ray.telemetry.live import RECENT, RecentRewards, TimeLeft
from r1ray.telemetry.metrics import reward_parts

logger = logging.getLogger(__name__)

HEADER_EVERY = 20


def _is_short(name: str) -> bool:
    """Tell if a held-out metric is in a line: those over all prompts, and pass@1 of sets and domains. The table at the
    end has ends of intervals and counts too."""
    if name == "generated_tokens" or name.endswith(("_low", "_high")):
        return False
    return "/" not in name or name.endswith("/pass@1")


class Progress:
    """Logs one row a step. ``style`` of a record is how a terminal shows it. Of an ``is_row`` it leaves out the columns
    that it has no room for: the last ones, which the view has too."""

    def __init__(self, *, num_steps: int, benchmark: str) -> None:
        """
        Args:
            benchmark: name of the held-out prompts among the metrics; empty where they are several sets.
        """
        self._num_steps = num_steps
        self._prefix = f"eval/{benchmark}/" if benchmark else "eval/"
        self._rows = 0
        self._left = TimeLeft(num_steps)
        self._parts: list[str] = []
        self._last_eval = math.nan
        self._rewards = RecentRewards()

    def step(self, metrics: dict[str, float]) -> None:
        """The row of one step."""
        left = self._left.after(metrics["step"])
        prefix = self._prefix
        evals = {name.removeprefix(prefix): value for name, value in metrics.items() if name.startswith(prefix)}
        if evals:
            self._last_eval = evals.get("pass@1", math.nan)
        if "reward/mean" not in metrics:
            shown = "  ".join(f"{name} {value:.3f}" for name, value in evals.items() if _is_short(name))
            logger.info(f"step {metrics['step']:.0f}  held-out: {shown or 'not evaluated'}", extra={"style": "bold"})
            return
        known = len(self._parts)
        self._parts += [name for name in reward_parts(metrics) if name not in self._parts]  # not all prompts have all
        if self._rows % HEADER_EVERY == 0 or len(self._parts) > known:
            parts = " ".join(f"{name.removeprefix('reward/')[:8]:>8}" for name in self._parts)
            logger.info(
                f"{'step':>9} {'reward':>7} {f'of {RECENT}':>7} "
                f"{'length':>7} {'pass@1':>7} {'tokens/s':>9} {'left':>6} {parts}",
                extra={"style": "dim", "is_row": True},
            )
        self._rows += 1
        self._rewards.note(metrics["step"], metrics["reward/mean"])
        recent = self._rewards.mean or 0.0
        parts = " ".join(f"{metrics[name]:8.3f}" if name in metrics else " " * 8 for name in self._parts)
        tested = f"{self._last_eval:7.3f}" if evals else " " * 7
        logger.info(
            f"{metrics['step']:4.0f}/{self._num_steps:<4d} {metrics['reward/mean']:7.3f} {recent:7.3f} "
            f"{metrics['completion/length_mean']:7.1f} {tested} "
            f"{metrics['throughput/generated_tokens_per_s']:9.0f} {left:>6} {parts}",
            extra={"is_row": True},
        )

    def table(self, before: dict[str, float], after: dict[str, float]) -> None:
        """Held-out metrics before and after, one row each."""
        table = Table(title="held-out metrics", title_justify="left")
        for column in ("metric", "before", "after"):
            table.add_column(column, justify="left" if column == "metric" else "right")
        for name in before:
            table.add_row(name, f"{before[name]:.3f}", f"{after[name]:.3f}" if name in after else "")
        text = io.StringIO()
        Console(file=text, force_terminal=False).print(table)
        logger.info(text.getvalue().rstrip("\n"))
