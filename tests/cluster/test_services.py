"""The pools of models that reward actors ask, over fakes of our own actors."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from r1ray.cluster.services import RewardModelPool
from r1ray.errors import DeadlineExceeded


class Stuck:
    """An actor that never answers."""

    def __init__(self) -> None:
        self.score = SimpleNamespace(remote=self._score)

    async def _score(self, *arguments: Any) -> Any:
        await asyncio.sleep(3600)


def test_a_reward_model_that_is_late_is_named_with_its_key() -> None:
    made = RewardModelPool(
        [Stuck()],  # type: ignore[list-item]
        deadline_s=0.05,
        what="reward.models.helpful",
        key="reward.parts.helpful.deadline_s",
    )
    with pytest.raises(DeadlineExceeded, match=r"reward.models.helpful 0 .* raise reward.parts.helpful.deadline_s"):
        asyncio.run(made.score([("q", "a")]))
