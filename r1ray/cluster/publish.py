"""The WeightSync role: a publish has a version, a deadline and an owner.

    replace lost engines -> pause (keep) -> start, transfer, finish (vLLM's API, driven by learner rank 0)
        -> commit(version) -> resume -> parity probe where one is due -> serve

A round that fails is sent again over a new connection; an engine that fails again is replaced; after that the run
stops. What engines sample between resume and the end of verification is held back by the pool.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray
from ray.exceptions import RayError

from r1ray.cluster.engines import Engine, EnginePool
from r1ray.cluster.host import Handle
from r1ray.cluster.learners import LearnerGroup
from r1ray.config import Deadlines, WeightsConfig
from r1ray.errors import ParityError, WeightSyncError
from r1ray.runtime.deadline import within
from r1ray.types import Float32Array, Int32Array, PublishStats

ROUNDS = ("sent", "sent again", "sent to a replaced engine")


class EngineClient:
    """The control plane of a transfer: what vLLM's sender, on learner rank 0, calls on all engines at once."""

    def __init__(self, engines: Sequence[tuple[str, Handle, int]], *, timeout_s: float) -> None:
        """``engines``: name, actor handle and number of vLLM workers of each."""
        self._engines, self._timeout_s = list(engines), timeout_s

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        calls, offset = {}, 1
        for name, actor, num_workers in self._engines:
            calls[name] = actor.init_weight_transfer_engine.remote(init_info | {"rank_offset": offset})
            offset += num_workers
        self._wait(calls, "joining the transfer group")

    def start_weight_update(self) -> None:
        self._wait({name: actor.start_weight_update.remote() for name, actor, _ in self._engines}, "starting")

    def update_weights(self, update_info: Any) -> None:
        self._wait({name: actor.update_weights.remote(update_info) for name, actor, _ in self._engines}, "receiving")

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._wait({name: actor.finish_weight_update.remote() for name, actor, _ in self._engines}, "finishing")

    def _wait(self, calls: dict[str, Any], phase: str) -> None:
        deadline = time.monotonic() + self._timeout_s
        failures: dict[str, str] = {}
        for name, call in calls.items():
            try:
                ray.get(call, timeout=max(0.0, deadline - time.monotonic()))
            except RayError as error:
                failures[name] = reason_of(error)
        if failures:
            raise WeightSyncError(
                "; ".join(f"{name} failed {phase} the weights: {why}" for name, why in failures.items()),
                engines=tuple(failures),
            )


@dataclass(frozen=True, slots=True)
class Probed:
    """Result of a parity probe: differences of log-probabilities, nats, each of the engine where it is largest."""

    max_diff: float | None = None
    """None where no probe was due."""
    mean_diff: float | None = None
    kl: float | None = None
    seconds: float = 0.0


def reason_of(error: BaseException) -> str:
    """Return a line of what a call of an engine raised, without the log that it carries; of vLLM's, of what a worker
    raised."""
    raised = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(raised).splitlines() if line.strip()]
    if not lines:
        return type(raised).__name__
    in_worker = re.search(r"Worker failed with error '(.*)', please check", lines[-1])
    return in_worker[1] if in_worker else lines[-1]


def is_due(num_publishes: int, *, every: int) -> bool:
    """Say whether a publish is probed after so many others of this run: 0, 1, 2, 4, 8, ... and each multiple of
    ``every``. What is wrong is mostly so from the beginning, and shows once the weights have moved."""
    is_power_of_two = num_publishes & (num_publishes - 1) == 0
    return num_publishes % every == 0 or (is_power_of_two and num_publishes < every)


def disparity(found: Float32Array, expected: Float32Array) -> tuple[float, float, float]:
    """Largest and mean |log p(engine) - log p(learner)|, and the KL divergence by k3, of [N] float32 each."""
    difference = expected.astype(np.float64) - found.astype(np.float64)
    kl = np.exp(difference) - difference - 1.0
    return float(np.abs(difference).max()), float(np.abs(difference).mean()), float(kl.mean())


class RayWeightSync:
    """See :class:`r1ray.interfaces.WeightSync`."""

    def __init__(
        self,
        config: WeightsConfig,
        pool: EnginePool,
        learner: LearnerGroup,
        *,
        eval_pool: EnginePool | None = None,
        backend: str,
        address: str,
        probe: Sequence[Int32Array],
        bounds: tuple[float, float],
        deadlines: Deadlines,
        free_port: Callable[[], Awaitable[int]],
    ) -> None:
        """
        Args:
            eval_pool: engines that only evaluate; they get the versions that are published for them.
            address: the node of learner rank 0.
            probe: the sequences of the parity probe, each [T] int32.
            bounds: what the mean difference and the KL divergence of a probe may be, nats.
            free_port: finds a free port on that node.
        """
        self._config, self._pool, self._eval_pool, self._learner = config, pool, eval_pool, learner
        self._backend, self._address = backend, address
        self._probe_sequences, self._bounds = probe, bounds
        self._deadlines, self._free_port = deadlines, free_port
        self._phase_s = deadlines.publish_s / 3
        """For one phase of a round: what hangs is found, and named, before the round's own deadline."""
        self._connected: list[Engine] = []
        self._num_publishes = 0

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        """See :class:`r1ray.interfaces.WeightSync`."""
        pools = [self._pool, self._eval_pool] if eval_engines and self._eval_pool is not None else [self._pool]
        start = time.monotonic()
        failure: WeightSyncError | None = None
        for attempt, _ in enumerate(ROUNDS):
            await within(
                self._deadlines.start_s,
                asyncio.gather(*(pool.replace_lost() for pool in pools)),
                waiter="the publish",
                owner="an engine that replaces a lost one",
                key="deadlines.start_s",
            )
            due = probe or failure is not None or is_due(self._num_publishes, every=self._config.probe_every)
            try:
                num_bytes, probed = await within(
                    self._deadlines.publish_s,
                    self._round(pools, version, probe=due),
                    waiter="the publish",
                    owner=f"version {version} to reach the engines",
                    key="deadlines.publish_s",
                )
            except WeightSyncError as error:
                failure = error
                self._connected = []
                for pool in pools:
                    for engine in pool.engines:
                        engine.failed_rounds += engine.name in error.engines
                        # After a call that failed on one of several workers, vLLM's executor takes the replies of the
                        # others for those to the next call: such an engine is not sent to again.
                        if engine.name in error.engines and (attempt == 1 or engine.num_workers > 1):
                            pool.lose(engine)
                continue
            self._num_publishes += 1
            return PublishStats(
                version=version,
                seconds=time.monotonic() - start,
                num_bytes=num_bytes,
                num_engines=sum(len(pool.engines) for pool in pools),
                num_resent=attempt,
                probe_max_diff=probed.max_diff,
                probe_mean_diff=probed.mean_diff,
                probe_kl=probed.kl,
                probe_s=probed.seconds,
            )
        assert failure is not None
        raise type(failure)(
            f"policy version {version} was {', '.join(ROUNDS)}, and still is not what the engines hold: {failure}"
        ) from failure

    def when_lost(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        self._pool.when_lost(callback)

    def when_eval_lost(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        if self._eval_pool is not None:
            self._eval_pool.when_lost(callback)

    async def _round(self, pools: Sequence[EnginePool], version: int, *, probe: bool) -> tuple[int, Probed]:
        engines = [engine for pool in pools for engine in pool.engines]
        for pool in pools:
            await pool.begin_verification()
        await self._on_each(engines, "pause")
        if self._connected != engines:
            await self._connect(engines)
        num_bytes = max(await _sync(self._learner.each("send_weights")))
        await self._on_each(engines, "commit", version)
        await self._on_each(engines, "resume")
        probed = await self._probe(engines) if probe else Probed()
        for pool in pools:
            await pool.end_verification()
        return num_bytes, probed

    async def _connect(self, engines: Sequence[Engine]) -> None:
        await self._learner.each("disconnect")
        await self._on_each(engines, "shutdown_weight_transfer_engine")
        timeout_s = self._phase_s
        client = EngineClient([(e.name, e.actor, e.num_workers) for e in engines], timeout_s=timeout_s)
        await _sync(
            self._learner.each(
                "connect",
                client,
                backend=self._backend,
                address=self._address,
                port=await self._free_port(),
                world_size=1 + sum(engine.num_workers for engine in engines),
                bucket_bytes=self._config.bucket_mib * 2**20,
                timeout_s=timeout_s,
            )
        )
        self._connected = list(engines)

    async def _probe(self, engines: Sequence[Engine]) -> Probed:
        """Compare log-probabilities of fixed sequences. Raises ParityError where they differ by too much."""
        start = time.monotonic()
        expected = await self._learner.logprobs(self._probe_sequences)
        found = await self._on_each(engines, "logprobs", self._probe_sequences)
        apart = {engine.name: disparity(each, expected) for engine, each in zip(engines, found, strict=True)}
        mean_bound, kl_bound = self._bounds
        wrong = {name: each for name, each in apart.items() if not (each[1] <= mean_bound and each[2] <= kl_bound)}
        if wrong:
            raise ParityError(
                "; ".join(
                    f"{name} differs from the learner by {mean:.2g} nats in the mean (KL {kl:.2g})"
                    for name, (_, mean, kl) in wrong.items()
                )
                + f" on the {len(expected)} tokens of the parity probe; it may by {mean_bound:g} and {kl_bound:g} "
                "(weights.probe_tolerance, weights.probe_kl)",
                engines=tuple(wrong),
            )
        largest, mean, kl = (max(each) for each in zip(*apart.values(), strict=True))
        return Probed(largest, mean, kl, time.monotonic() - start)

    async def _on_each(self, engines: Sequence[Engine], method: str, *arguments: Any) -> list[Any]:
        """What a method of every engine returns; WeightSyncError names those that failed or did not answer."""
        calls = [
            within(
                self._phase_s,
                getattr(engine.actor, method).remote(*arguments),
                waiter="the publish",
                owner=engine.name,
                key="deadlines.publish_s",
            )
            for engine in engines
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        failed = {
            engine.name: str(result)
            for engine, result in zip(engines, results, strict=True)
            if isinstance(result, BaseException)
        }
        if failed:
            raise WeightSyncError(
                "; ".join(f"{name} failed to {method}: {why}" for name, why in failed.items()), engines=tuple(failed)
            )
        return list(results)


async def _sync(call: Awaitable[list[Any]]) -> list[Any]:
    """What the learner ranks return; what goes wrong there during a transfer is a WeightSyncError."""
    try:
        return await call
    except WeightSyncError:
        raise
    except RayError as error:
        raise WeightSyncError(f"the learner could not send: {error}") from error
