"""Failures of the user's reward functions and of environments: counts, one message for each kind, and the end of a run.

group --note--> the console; OwnFunctionFailed in the first step; later the error that ends the run at a checkpoint
step  --metrics--> reward_errors/<part>
"""

from __future__ import annotations

import logging
from collections import Counter

from r1ray.config import RewardConfig
from r1ray.errors import OwnFunctionFailed, PartFailure, R1RayError, Terminated
from r1ray.loop.upkeep.progress import Progress
from r1ray.reward.failure_book import FailureBook, body, failures_of, headline
from r1ray.types import Prompt, ScoredGroup, ScoringFailed

logger = logging.getLogger(__name__)
MAX_SHARE = 0.1
"""Share of a step's trajectories above which failures end a run with ``on_error=auto``."""


class RewardErrors:
    """Counts and judges the failures of every scored group."""

    def __init__(self, config: RewardConfig, *, step_size: int, progress: Progress) -> None:
        """``step_size``: trajectories of a step."""
        self._step_size, self._progress, self._book = step_size, progress, FailureBook()
        self._parts = [name for name, part in config.parts.items() if part.function is not None]
        self._counts: Counter[tuple[str, str]] = Counter()  # by part and kind, since the last step
        self._num_scored = self._num_tolerated = self._num_without_world = 0
        self._ending: OwnFunctionFailed | None = None
        self.unscored = ""
        """Reason for which the last unscored trajectory could not be scored."""

    def note(self, prompt: Prompt, group: ScoredGroup) -> bool:
        """Count the failures in a group. Return whether the run has to end at a checkpoint. Raises OwnFunctionFailed if
        the first step has to end the run, since there is no checkpoint yet."""
        for each in group.trajectories:
            self._num_scored += 1
            if isinstance(each.outcome, ScoringFailed):
                self.unscored = each.outcome.reason
            failures = failures_of(each.outcome)
            if failures and self._ending is None:
                self._ending = self._judge(failures, prompt)
            if self._ending is not None and self._progress.step == 0:
                raise self._ending  # which shows the failure
            for failure in failures:
                self._counts[failure.part, failure.kind] += 1
                self._book.note(failure, prompt.id)
        for removed in group.removed:
            if removed.failure is not None:
                self._note_world(removed.failure, prompt)
        return self._ending is not None

    def _note_world(self, failure: PartFailure, prompt: Prompt) -> None:
        """Count a trajectory that ended with a failure of its environment. Above a share of a step's trajectories this
        ends the run."""
        self._num_scored += 1
        self._num_without_world += 1
        self._book.note(failure, prompt.id)
        seen = max(self._step_size, self._num_scored)
        if self._ending is None and self._num_without_world > MAX_SHARE * seen:
            self._ending = OwnFunctionFailed(
                f"{headline(failure, prompt.id)}; {self._num_without_world} of a step's {seen} trajectories ended by "
                f"failures of their environments.\n{body(failure)}\nFix environment {failure.part}; if it takes too "
                "long, environment.step_timeout_s and environment.reset_timeout_s give it more time."
            )
        if self._ending is not None and self._progress.step == 0:
            raise self._ending  # there is no checkpoint yet

    def _judge(self, failures: tuple[PartFailure, ...], prompt: Prompt) -> OwnFunctionFailed | None:
        """Return the error that has to end the run after a trajectory with these failures, or None."""
        if stopping := [each for each in failures if each.on_error == "stop"]:
            return _ended_by(stopping[0], prompt.id, "")
        if not (tolerated := [each for each in failures if each.on_error == "auto"]):
            return None
        if self._progress.step == 0:
            return _ended_by(tolerated[0], prompt.id, ", in the first step")
        self._num_tolerated += 1
        seen = max(self._step_size, self._num_scored)
        if self._num_tolerated <= MAX_SHARE * seen:
            return None
        return _ended_by(tolerated[0], prompt.id, f", and so did {self._num_tolerated} of a step's {seen} trajectories")

    def instead_of(self, ended: Terminated) -> R1RayError:
        """Return the exception to raise for a run that ended at a checkpoint, for this reason or another."""
        return ended if self._ending is None else OwnFunctionFailed(f"{self._ending}\nThe run {ended}.")

    def metrics(self) -> dict[str, float]:
        """Return ``reward_errors/<part>`` of a step, and begin the next."""
        counts, total, self._counts = self._counts, self._num_scored, Counter()
        self._num_scored = self._num_tolerated = self._num_without_world = 0
        by_part = dict.fromkeys([*self._parts, *(part for part, _ in counts)], 0)
        for (part, kind), count in counts.items():
            by_part[part] += count
            so_far = self._book.count(part, kind)
            logger.warning("reward part %s: %s on %d of %d trajectories, %d so far", part, kind, count, total, so_far)
        return {f"reward_errors/{part}": float(count) for part, count in by_part.items()}


def refuse_before_training(failure: PartFailure, prompt_id: str) -> None:
    """Raise OwnFunctionFailed for a failure in the evaluation before the first step, as the first step would."""
    if failure.on_error in ("stop", "auto"):
        raise _ended_by(failure, prompt_id, ", in the evaluation before the first step")


def _ended_by(failure: PartFailure, prompt_id: str, more: str) -> OwnFunctionFailed:
    key = f"reward.parts.{failure.part}.on_error"
    return OwnFunctionFailed(
        f"{headline(failure, prompt_id)}{more}; {key}={failure.on_error} ends the run there.\n{body(failure)}\n"
        f"Fix the function; or {key}=zero counts such responses as 0, and {key}=mask leaves them out."
    )
