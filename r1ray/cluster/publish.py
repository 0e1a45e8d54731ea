"""The WeightSync role: a publish has a version, a deadline and an owner.

    pause (keep) -> start, transfer, finish (vLLM's API, driven by learner rank 0)
        -> commit(version) -> resume -> parity probe where one is due -> serve

Engines on CPUs of the learner's node take the version from the snapshot, which the learner writes while they sample;
each pauses for the load alone. The others are sent it.

Where engines share the learner's devices, their weights wake before it and their cache of keys and values after the
commit (:mod:`r1ray.cluster.turns`).

A round that fails is sent again: members that answer nothing are replaced, the others meet as a new group, and those
that have the version already are not sent it again. An engine that is found wrong twice is replaced; after three rounds
the run stops. What engines sample between resume and the end of verification is held back by the pool.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from ray.exceptions import RayError

from r1ray.cluster.engine import Engine, settled, updating
from r1ray.cluster.engine_client import EngineClient
from r1ray.cluster.engines import EnginePool
from r1ray.cluster.latecomers import Latecomers
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.parity_probe import Probed, is_due, judge
from r1ray.cluster.reasons import reason_of
from r1ray.cluster.snapshot import Snapshot
from r1ray.cluster.turns import NoTurns, Turns
from r1ray.config import Deadlines, WeightsConfig
from r1ray.errors import DeadlineExceeded, InfrastructureError, LearnerLost, ParityError, WeightSyncError
from r1ray.runtime.deadline import within
from r1ray.types import Float32Array, Int32Array, PublishStats
from r1ray.weights import gloo
from r1ray.weights.buckets import bound_of
from r1ray.weights.snapshot import SnapshotPlace

logger = logging.getLogger(__name__)
LOADING_S = 0.1
"""Between two looks at the only engine, while it loads the snapshot."""
ROUNDS = ("sent", "sent again", "sent to a replaced engine")


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
        probe: Sequence[Int32Array],
        bounds: tuple[float, float],
        deadlines: Deadlines,
        answer_s: float,
        snapshot: Snapshot,
        turns: Turns | None = None,
    ) -> None:
        """
        Args:
            eval_pool: engines that only evaluate; they get the versions that are published for them.
            probe: the sequences of the parity probe, each [T] int32.
            bounds: what the mean difference and the KL divergence of a probe may be, nats.
            answer_s: how long an engine may take for what takes it no time.
            snapshot: where versions are kept for engines that come later.
            turns: of engines and learner on the same devices; None: each has its own.
        """
        self._config, self._pool, self._eval_pool, self._learner = config, pool, eval_pool, learner
        self._pools = [each for each in (pool, eval_pool) if each is not None]
        self._backend = backend
        self._probe_sequences, self._bounds = probe, bounds
        self._deadlines, self._answer_s = deadlines, min(answer_s, deadlines.publish_s / 3)
        self._snapshot, self._turns = snapshot, turns or NoTurns()
        self._bucket_bytes = config.bucket_mib * 2**20
        self._phase_s = deadlines.publish_s / 3
        """For one phase of a round: what hangs is found, and named, before the round's own deadline."""
        self._group: list[Engine] = []
        """The members of the transfer group, as long as no round in it has failed."""
        self._met = -1
        """The incarnation of the learner that is in it."""
        self._num_publishes = 0
        self._latecomers = Latecomers(pool, snapshot, load_s=self._phase_s, settle=self._settle)

    def when_behind(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        self._latecomers.when_behind(callback)

    def when_lost(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        self._pool.when_lost(callback)

    def when_eval_lost(self, callback: Callable[[], None]) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        if self._eval_pool is not None:
            self._eval_pool.when_lost(callback)

    async def rest(self) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        await self._turns.learner()

    async def go_on(self, version: int) -> None:
        """See :class:`r1ray.interfaces.WeightSync`."""
        if self._turns.has_learner:
            await self.publish(version)

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        """See :class:`r1ray.interfaces.WeightSync`. Engines that hold the version already are left alone."""
        pools = [self._pool, self._eval_pool] if eval_engines and self._eval_pool is not None else [self._pool]
        self._latecomers.is_publishing = True
        try:
            published = await self._publish(pools, version, probe=probe)
            self._latecomers.live = version
            self._snapshot.publish(version)
        except InfrastructureError as error:
            if not isinstance(error, WeightSyncError):  # the learner's fault: the engines go on meanwhile
                await self._retreat()
            raise
        finally:
            self._latecomers.is_publishing = False
            self._latecomers.bring_up_all()
        return published

    async def _publish(self, pools: Sequence[EnginePool], version: int, *, probe: bool) -> PublishStats:
        start = time.monotonic()
        failure: WeightSyncError | DeadlineExceeded | None = None
        for attempt, _ in enumerate(ROUNDS):
            engines = await self._receivers(pools, version)
            due = probe or failure is not None or is_due(self._num_publishes, every=self._config.probe_every)
            with updating(engines):
                try:
                    num_bytes, probed = await within(
                        self._deadlines.publish_s,
                        self._round(engines, version, probe=due, is_first=attempt == 0),
                        waiter="the publish",
                        owner="the learner group",
                        key="deadlines.publish_s",
                    )
                except (WeightSyncError, DeadlineExceeded) as error:
                    failure = error
                    self._group = []
                    if not await self._sort_out(engines, error, is_last_try=attempt > 0):
                        raise LearnerLost(f"{error}. Every engine answers: the learner does not send") from error
                    continue
            self._num_publishes += 1
            return PublishStats(
                version=version,
                seconds=time.monotonic() - start,
                num_bytes=num_bytes,
                num_engines=len(engines),
                num_resent=attempt,
                probe_max_diff=probed.max_diff,
                probe_mean_diff=probed.mean_diff,
                probe_kl=probed.kl,
                probe_s=probed.seconds,
                turn_s=self._turns.seconds(),
            )
        assert failure is not None
        raise type(failure)(
            f"policy version {version} was {', '.join(ROUNDS)}, and still is not what the engines hold: {failure}"
        ) from failure

    async def _receivers(self, pools: Sequence[EnginePool], version: int) -> list[Engine]:
        """Return the living engines that do not hold a version yet, with room for their weights. One that loads the
        version before from the snapshot is not waited for, unless there is no other."""
        while True:
            if not self._pool.living:
                await self._turns.engines()  # where the learner was, another one can start
                await self._pool.some()
            missing = self._missing(pools, version)
            if not missing:
                return []
            if any(not each.is_updating for each in missing):
                await self._turns.weights()
                if idle := [each for each in self._missing(pools, version) if not each.is_updating]:
                    return idle
            else:
                await asyncio.sleep(LOADING_S)

    def _missing(self, pools: Sequence[EnginePool], version: int) -> list[Engine]:
        living = [each for pool in pools for each in pool.living]
        return [each for each in living if each.version != version or each.on_device != "all"]

    # ------------------------------------------------------------------ a round

    async def _round(
        self, engines: Sequence[Engine], version: int, *, probe: bool, is_first: bool
    ) -> tuple[int, Probed]:
        """Give engines a version, as far as it has not arrived there, and have them serve it. After a failure the
        learner sends it to all."""
        if not engines:
            return 0, Probed()
        expected = await self._learner.logprobs(self._probe_sequences) if probe else None
        missing = [engine for engine in engines if engine.received != version]
        uses_snapshot = is_first and self._backend == gloo.BACKEND
        near = [engine for engine in missing if engine.is_near and uses_snapshot]
        num_bytes = 0
        if near and near == missing:
            num_bytes = await self._write(version)  # while they sample
        await self._each_pool("hold", engines)
        await self._on_each([engine for engine in engines if engine not in near], "pause", version)
        if far := [engine for engine in missing if engine not in near]:
            num_bytes = await self._send(far, version)
        if left := await self._load(near, version):
            await self._on_each(left, "pause", version)
            num_bytes = await self._send(left, version)
        await self._on_each(engines, "commit", version)
        await self._turns.engines()
        await self._on_each(engines, "resume")
        probed = await self._probe(engines, expected) if expected is not None else Probed()
        for engine in engines:
            engine.version = version
        await self._each_pool("serve", engines)
        return num_bytes, probed

    async def _write(self, version: int) -> int:
        """Have the learner write the snapshot, and send it to nobody. Returns the bytes; 0 where there is no place."""
        place = await self._snapshot.place(version)
        return await self._from_learner("write_weights", place) if place is not None else 0

    async def _load(self, engines: Sequence[Engine], version: int) -> list[Engine]:
        """Have engines take a version from the snapshot. Returns those that it does not reach."""
        place = self._snapshot.kept(version)
        if place is None:
            return list(engines)
        found = await self._on_each(engines, "load_snapshot", place, within_s=self._phase_s)
        for engine, is_near in zip(engines, found, strict=True):
            engine.is_near = is_near
            engine.received = version if is_near else engine.received
        return [engine for engine in engines if not engine.is_near]

    async def _send(self, engines: Sequence[Engine], version: int) -> int:
        """Have the learner send to these engines, and to nobody else. Returns the bytes."""
        if self._group != engines or self._met != self._learner.incarnation:
            await self._connect(engines)
        num_bytes = await self._from_learner("send_weights", await self._snapshot.place(version))
        for engine in engines:
            engine.received = version
        return num_bytes

    async def _from_learner(self, method: str, place: SnapshotPlace | None) -> int:
        """Have every learner rank take part in a method that writes the snapshot too, if it has a place."""
        sent = await _sync(self._learner.each(method, place))
        if place is not None:
            self._snapshot.note(place, problem="".join(problem for _, problem in sent))
        return int(max(num_bytes for num_bytes, _ in sent))

    async def _connect(self, engines: Sequence[Engine]) -> None:
        self._group = []
        await self._on_each(engines, "shutdown_weight_transfer_engine")
        members = [(engine.name, engine.actor, engine.num_workers) for engine in engines]
        await _sync(
            self._learner.each(
                "connect",
                EngineClient(members, answer_s=self._answer_s, timeout_s=self._phase_s),
                world_size=1 + sum(engine.num_workers for engine in engines),
                backend=self._backend,
                address=self._learner.address,
                bucket_bytes=self._bucket_bytes,
                timeout_s=self._phase_s,
            )
        )
        self._group, self._met = list(engines), self._learner.incarnation

    async def _probe(self, engines: Sequence[Engine], expected: Float32Array) -> Probed:
        """Compare log-probabilities of fixed sequences with the learner's. Raises ParityError where they differ by too
        much."""
        start = time.monotonic()
        found = await self._on_each(engines, "logprobs", self._probe_sequences, within_s=self._phase_s)
        by_name = {engine.name: each for engine, each in zip(engines, found, strict=True)}
        return judge(by_name, expected, self._bounds, seconds=time.monotonic() - start)

    async def _on_each(
        self, engines: Sequence[Engine], method: str, *arguments: Any, within_s: float | None = None
    ) -> list[Any]:
        """What a method of every engine returns; WeightSyncError names those that failed or did not answer."""
        calls = [
            within(
                self._answer_s if within_s is None else within_s,
                getattr(engine.actor, method).remote(*arguments),
                waiter="the publish",
                owner=engine.name,
                key="rollout.silent_s" if within_s is None else "deadlines.publish_s",
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

    # ------------------------------------------------------------------ what a failed round leaves

    async def _sort_out(
        self, engines: Sequence[Engine], error: WeightSyncError | DeadlineExceeded, *, is_last_try: bool
    ) -> bool:
        """Find out who is to blame for a failed round, and lose them: whoever answers nothing; if all answer, those
        that the error names, if it is not their first. Returns False where no engine is to blame, and no member of the
        round said so: then it is the learner."""
        await self._settle(engines)
        was_hung = any(engine.is_lost for engine in engines)
        named = error.engines if isinstance(error, WeightSyncError) else ()
        for engine in engines:
            if engine.name not in named or engine.is_lost:
                continue
            if isinstance(error, ParityError):
                engine.received, engine.failed_rounds = None, engine.failed_rounds + 1
            # After a call that failed on one of several workers, vLLM's executor takes the replies of the others for
            # those to the next call.
            if (is_last_try and not was_hung) or (engine.num_workers > 1 and not isinstance(error, ParityError)):
                self._lose(engine, str(error))
        return was_hung or isinstance(error, WeightSyncError)

    async def _settle(self, engines: Sequence[Engine]) -> None:
        """Have engines end what a broken round left open. Those that do not answer are lost."""
        within_s = self._answer_s + 2 * bound_of(self._bucket_bytes, timeout_s=self._phase_s)

        async def end(engine: Engine) -> None:
            if why_lost := await settled(engine, answer_s=self._answer_s, within_s=within_s):
                self._lose(engine, why_lost)

        await asyncio.gather(*(end(engine) for engine in engines if not engine.is_lost))

    async def _retreat(self) -> None:
        """Let engines serve the live version again, where the learner could not send another: those that still hold it,
        and then those that get it back."""
        self._group = []
        engines = [each for pool in self._pools for each in pool.living if each.state == "held"]
        await self._settle(engines)
        whole = [each for each in engines if each.version is not None and each.received == each.version]
        whole = [each for each in whole if each.on_device == "all"]  # others sleep until the learner is back
        for engine in engines:
            if engine not in whole:
                engine.version = None
        with suppress(WeightSyncError):
            await self._on_each(whole, "resume")
        await self._each_pool("serve", whole)

    def _lose(self, engine: Engine, reason: str) -> None:
        for pool in self._pools:
            if engine in pool.engines:
                pool.lose(engine, reason)

    async def _each_pool(self, method: str, engines: Sequence[Engine]) -> None:
        for pool in self._pools:
            if own := [engine for engine in engines if engine in pool.engines]:
                await getattr(pool, method)(own)


async def _sync(call: Awaitable[list[Any]]) -> list[Any]:
    """What the learner ranks return; what goes wrong there during a transfer is a WeightSyncError."""
    try:
        return await call
    except WeightSyncError:
        raise
    except RayError as error:
        raise WeightSyncError(f"the learner could not send: {reason_of(error)}") from error
