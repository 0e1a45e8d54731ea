"""Evaluations that a step's line waits for."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from r1ray.config import CheckpointConfig, DeadlineConfig, EvalConfig, StopConfig
from r1ray.errors import DeadlineExceeded
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.reporting import Report
from r1ray.loop.upkeep.waiting import Waiter
from r1ray.telemetry.eval_result import EvalResult
from tests.fakes import Events, FakeEngine, FakeGroups, FakeScorer


class IdleEngines:
    """None of them is behind."""

    def __init__(self) -> None:
        self.news = asyncio.Event()

    async def restore(self) -> None:
        self.news.clear()


async def slowly(step: int) -> EvalResult:
    await asyncio.sleep(0.3)
    return EvalResult("held", {"pass@1": 0.5})


@pytest.mark.parametrize(("world_s", "is_late"), [(60.0, False), (0.01, True), (0.0, True)])
def test_the_time_of_environments_does_not_count_in_the_deadline_of_an_evaluation(
    world_s: float, is_late: bool
) -> None:
    lines: list[dict[str, float]] = []

    async def main() -> None:
        report = Report(
            lines.append,
            slowly,
            evaluation=EvalConfig(every=1),
            checkpoint=CheckpointConfig(),
            stop=StopConfig(),
            progress=Progress(1, StopConfig(), state=None, history=[]),
            weights=cast(Any, None),
            groups=FakeGroups(FakeEngine(Events()), FakeScorer()),
            world_s=world_s,
            engines=cast(Any, IdleEngines()),
            waiter=Waiter(DeadlineConfig(generate_s=0.05).decided),
        )
        async with asyncio.TaskGroup() as tasks:
            report.begin({}, tasks, is_evaluated=True)
            await report.finish()

    if is_late:
        with pytest.raises(ExceptionGroup) as late:
            asyncio.run(main())
        assert late.group_contains(DeadlineExceeded, match="the evaluation after step 0")
    else:
        asyncio.run(main())
        assert lines[0]["eval/held/pass@1"] == 0.5
