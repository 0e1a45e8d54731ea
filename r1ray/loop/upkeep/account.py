"""Account of one step: the numbers of its line in metrics.jsonl."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.config import AlgoConfig
from r1ray.interfaces import GroupRunner
from r1ray.loop.ledger import Ledger
from r1ray.loop.roles import PromptSource
from r1ray.loop.upkeep.faults import Faults
from r1ray.loop.upkeep.metrics import EngineTally, StepClock, step_metrics
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.removed import Removals
from r1ray.loop.upkeep.reward_errors import RewardErrors
from r1ray.types import GroupRecord, PublishStats, StepStats


class Account:
    """Adds up times, engines, rewards and removed trajectories from one step to the next."""

    def __init__(
        self,
        groups: GroupRunner,
        *,
        algo: AlgoConfig,
        ledger: Ledger,
        progress: Progress,
        removals: Removals,
        faults: Faults,
        errors: RewardErrors,
        prompts: PromptSource,
        domains: Sequence[str],
    ) -> None:
        """
        Args:
            removals: removed trajectories, filled by the buffer.
            errors: failures of reward functions, filled by the buffer.
            domains: domains of the prompts, each of which gets metrics.
        """
        self._groups, self._algo, self._prompts, self._domains = groups, algo, prompts, domains
        self._ledger, self._progress, self._removals = ledger, progress, removals
        self._faults, self._errors = faults, errors
        self._clock, self._tally = StepClock(), EngineTally()
        self.lap = self._clock.lap

    async def begin(self) -> None:
        """Begin the first step; earlier times belong to no step."""
        self._tally.metrics(await self._groups.engine_times())
        self._clock.stop()

    async def close(
        self, records: Sequence[GroupRecord], dropped: Sequence[GroupRecord], stats: StepStats, published: PublishStats
    ) -> dict[str, float]:
        """Return the metrics of the step, and begin the next.

        Args:
            records: the groups that were trained on.
            dropped: the groups that were dropped meanwhile.
        """
        engines = self._tally.metrics(await self._groups.engine_times())
        times = self._clock.stop()
        groups = [record.group for record in records if record.group is not None]
        return {
            **step_metrics(
                groups,
                [record.prompt for record in records],
                stats,
                published,
                domains=self._domains,
                num_dropped=sum(record.dropped_reason == "uniform" for record in dropped),
                seconds=times["time/step_s"],
            ),
            **self._removals.metrics(groups, mask_truncated=self._algo.mask_truncated),
            **self._errors.metrics(),
            **self._ledger.metrics(),
            **self._prompts.metrics(),
            **self._progress.metrics(),
            **self._faults.metrics(),
            **times,
            **engines,
        }
