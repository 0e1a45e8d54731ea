"""Publishing over fakes of our own actors; when the parity probe is due, and what it computes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ray.exceptions import RayActorError

from r1ray.cluster.engines import Engine, EnginePool
from r1ray.cluster.publish import RayWeightSync, disparity, is_due, reason_of
from r1ray.config import Deadlines, WeightsConfig
from r1ray.rollout.placement import EngineState


def test_probes_are_due_at_doubling_distances_and_then_every_so_often() -> None:
    assert [n for n in range(64) if is_due(n, every=20)] == [0, 1, 2, 4, 8, 16, 20, 40, 60]
    assert all(is_due(n, every=1) for n in range(10))


def test_no_doubling_goes_beyond_the_regular_distance() -> None:
    assert [n for n in range(10, 40) if is_due(n, every=10)] == [10, 20, 30]


def test_a_workers_reason_is_told_without_vllms_wrapping_and_without_logs() -> None:
    inner = "the engine does not hold what it was sent: model.layers.3.mlp.down_proj.weight"
    raised = Exception(
        f"Call to collective_rpc method failed: Worker failed with error '{inner}', please check the stack trace above "
        "for the root cause"
    )
    wrapped = RuntimeError("Traceback\n ...\nthe end of this actor's log:\nLoading checkpoint shards: 100%")
    wrapped.cause = raised  # type: ignore[attr-defined]
    assert reason_of(wrapped) == reason_of(raised) == inner
    assert reason_of(ValueError()) == "ValueError"


def test_equal_log_probabilities_differ_by_nothing() -> None:
    values = np.array([-1.0, -20.0], dtype=np.float32)
    assert disparity(values, values) == (0.0, 0.0, 0.0)


def test_the_divergence_is_that_of_tokens_drawn_from_the_engine() -> None:
    """k3 with r = p(learner) / p(engine), of tokens that the engine drew: its mean is the KL divergence."""
    engine, learner = np.array([0.7, 0.3]), np.array([0.6, 0.4])
    tokens = np.random.default_rng(0).choice(2, size=200_000, p=engine)
    largest, mean, kl = disparity(np.log(engine)[tokens].astype(np.float32), np.log(learner)[tokens].astype(np.float32))
    assert kl == pytest.approx(float((engine * np.log(engine / learner)).sum()), rel=0.05)
    assert mean < largest == pytest.approx(float(np.abs(np.log(engine / learner)).max()), abs=1e-6)


class Actor:
    """An engine that does what a publish asks for, and dies in the phase that is named."""

    def __init__(self, *, dies_in: str = "") -> None:
        self.calls: list[str] = []
        self._dies_in, self._death = dies_in, asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        async def answer(*arguments: Any) -> Any:
            self.calls.append(name)
            if name == self._dies_in:
                self._death.set()
            if self._death.is_set():
                raise RayActorError
            if name == "until_dead":
                await self._death.wait()
                raise RayActorError
            return np.zeros(2, dtype=np.float32) if name == "logprobs" else 1

        return SimpleNamespace(remote=answer)

    def kill(self) -> None:
        self._death.set()


class Learner:
    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[int]:
        return [1]

    async def logprobs(self, sequences: Any) -> Any:
        return np.zeros(2, dtype=np.float32)


class Told:
    """Keeps the last that group workers were told."""

    def __init__(self) -> None:
        self.states: Sequence[EngineState] = ()

    async def set_engines(self, states: Sequence[EngineState]) -> None:
        self.states = states

    def fail(self, error: BaseException) -> None:
        raise error


async def free_port() -> int:
    return 1


@pytest.mark.faults
@pytest.mark.parametrize("phase", ["pause", "commit", "resume", "logprobs"])
def test_an_engine_that_dies_in_a_round_is_replaced_in_the_next(phase: str) -> None:
    async def scenario() -> None:
        told, dying, other, fresh = Told(), Actor(dies_in=phase), Actor(), Actor()
        engines: Any = [Engine("rollout 0", dying, 1), Engine("rollout 1", other, 1)]  # type: ignore[arg-type]
        pool = EnginePool(engines, lambda name: fresh, told, num_slots=8)  # type: ignore[arg-type, return-value]
        losses: list[str] = []
        pool.when_lost(lambda: losses.append("lost"))
        learner: Any = Learner()
        weights = RayWeightSync(
            WeightsConfig(),
            pool,
            learner,
            backend="r1ray_gloo",
            address="127.0.0.1",
            probe=[np.zeros(3, dtype=np.int32)],
            bounds=(1.0, 1.0),
            deadlines=Deadlines(),
            free_port=free_port,
        )
        published = await weights.publish(3)
        assert published.num_resent == 1 and losses == ["lost"]
        said = [(each.name, each.incarnation, each.state, each.failed_rounds) for each in told.states]
        assert said == [("rollout 0", 1, "serving", 0), ("rollout 1", 0, "serving", 0)]
        assert "commit" in fresh.calls and other.calls.count("resume") >= 1
        pool.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))
