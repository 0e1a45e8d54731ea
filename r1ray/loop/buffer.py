"""Buffer: groups from their issue to the step that takes them.

    prompts --> issue --> run (one task a group) --> ready --> take --> settle --> release
                  |         |  RolloutEngine, Scorer   |         |         |          `-- slots
                  |         `-- drop(reason)           `-- stale `-- admission
                  `-- ledger.issue          ledger.drop                    `-- ledger.train

``issue``   consumes a slot and a prompt, produces the order for a group. Waits for a free slot.
``run``     generates a group and scores its trajectories as they finish; it becomes ready, or is dropped.
``take``    produces the groups of a step. Waits until enough are ready, and restores lost engines meanwhile.

There are ``(max_staleness + 1) * prompts_per_step`` slots. A group holds one from its issue until the version that it
helped to make is live, so that generation runs at most ``max_staleness`` versions ahead; 0 is exactly on-policy.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from typing import Generic, TypeVar

from r1ray.config import AlgoConfig, RewardConfig
from r1ray.errors import EngineLost, GroupFailed, R1RayError
from r1ray.loop.admission import choose_batch
from r1ray.loop.ledger import Ledger, occurrence_of, position_of
from r1ray.loop.rewards import reason_to_drop
from r1ray.loop.roles import PromptSource, Roles
from r1ray.loop.upkeep.metrics import IdleClock, oldest_version
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.waiting import Engines, Waiter
from r1ray.rollout.group import FinishedGroup, run_group
from r1ray.types import GroupRecord, GroupRequest, Sampling

C = TypeVar("C")
MAX_DROPS_IN_A_ROW = 64
"""Without one usable group between them; then something is wrong with all of them."""


class Buffer(Generic[C]):
    """Holds every group that is under way or ready, and the slots that they take."""

    def __init__(
        self,
        roles: Roles[C],
        prompts: PromptSource,
        *,
        algo: AlgoConfig,
        reward: RewardConfig,
        seed: int,
        ledger: Ledger,
        progress: Progress,
        engines: Engines,
        waiter: Waiter,
    ) -> None:
        self._roles, self._prompts = roles, prompts
        self._algo, self._reward, self._seed = algo, reward, seed
        self._ledger, self._progress, self._engines, self._waiter = ledger, progress, engines, waiter
        self.idle = IdleClock()
        self.is_closed = False
        self._reissue = list(ledger.in_flight)
        self._slots = asyncio.Semaphore((algo.max_staleness + 1) * algo.prompts_per_step)
        self._tasks: dict[str, tuple[GroupRequest, asyncio.Task[None]]] = {}  # of every group under way or ready
        self._started_at: dict[str, int] = {}  # group_id -> version its generation began under
        self._ready: dict[str, FinishedGroup[C]] = {}
        self._dropped: list[tuple[GroupRecord, Sequence[C]]] = []  # until they are recorded
        self._drops_in_a_row = 0

    # ------------------------------------------------------------------ in

    async def issue(self) -> GroupRequest:
        """Wait for a slot; return the order for the group that takes it."""
        await self._slots.acquire()
        while self._ledger.trained + len(self._started_at) >= self._progress.last * self._algo.prompts_per_step:
            await self._slots.acquire()  # all that the last step needs is on its way; a dropped group frees another
        request = self._next_request()
        self._started_at[request.occurrence] = self._progress.version
        return request

    def run(self, request: GroupRequest, tasks: asyncio.TaskGroup) -> None:
        """Have an issued group generated and scored."""
        self._tasks[request.occurrence] = request, tasks.create_task(self._run(request))

    def _next_request(self) -> GroupRequest:
        algo = self._algo
        if self._reissue:
            group_id = self._reissue.pop(0)
            prompt = self._prompts.at(position_of(group_id))
        else:
            position, prompt = self._prompts.take()
            group_id = occurrence_of(position)
            self._ledger.issue(group_id)
        return GroupRequest(
            occurrence=group_id,
            prompt=prompt,
            num_completions=algo.group_size,
            sampling=Sampling(algo.temperature, 1.0, algo.max_completion_tokens),
            seed=zlib.crc32(f"{self._seed}/{group_id}".encode()) * algo.group_size,
        )

    async def _run(self, request: GroupRequest) -> None:
        def begin(attempt: int) -> None:
            self._started_at[request.occurrence] = self._progress.version
            self._engines.note_attempt(attempt)

        try:
            with self.idle.busy():
                running = run_group(self._roles.rollout, self._roles.scorer, request, on_start=begin)
                group = await self._waiter.wait_for(running, "generate_s", f"group {request.occurrence}")
        except EngineLost:
            self._engines.note_loss()
            return self._drop(request, "engine_lost", None)
        except GroupFailed as error:
            return self._drop(request, error.reason, None)
        if reason := reason_to_drop(group, self._algo, self._reward, step=self._progress.version + 1):
            return self._drop(request, reason, group)
        self._drops_in_a_row = 0
        self._ready[request.occurrence] = group
        self._engines.news.set()

    # ------------------------------------------------------------------ out

    async def take(self) -> list[FinishedGroup[C]]:
        """Return the ``prompts_per_step`` groups of the next step, chosen so that none is ever too old; none once the
        buffer is closed. They stay here until they are settled."""
        choosing = self._choose()
        return await self._waiter.wait_for(choosing, "generate_s", f"groups of version {self._progress.version}")

    async def _choose(self) -> list[FinishedGroup[C]]:
        version, algo = self._progress.version, self._algo
        while not self.is_closed:
            await self._engines.restore()
            self._drop_stale(version - algo.max_staleness)
            chosen = choose_batch(
                list(self._ready),
                self._started_at,
                version=version,
                max_staleness=algo.max_staleness,
                size=algo.prompts_per_step,
            )
            if chosen is not None:
                return [self._ready[group_id] for group_id in sorted(chosen, key=_place)]
            await self._engines.news.wait()
        return []

    def settle(self, groups: Sequence[FinishedGroup[C]]) -> None:
        """Book groups that were trained on. They hold their slots until :meth:`release`."""
        group_ids = [group.request.occurrence for group in groups]
        self._ledger.train(group_ids)
        for group_id in group_ids:
            del self._ready[group_id], self._started_at[group_id], self._tasks[group_id]
        self._ledger.check()

    def release(self, groups: Sequence[FinishedGroup[C]]) -> None:
        """Free the slots of groups whose version is live."""
        for _ in groups:
            self._slots.release()

    def close(self) -> None:
        """End :meth:`take`, now or when it is called."""
        self.is_closed = True
        self._engines.news.set()

    # ------------------------------------------------------------------ groups that are not trained on

    def take_dropped(self) -> list[tuple[GroupRecord, Sequence[C]]]:
        """Return the groups that were dropped since the last call, for the rollout log."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def keep_only(self, groups: Sequence[FinishedGroup[C]]) -> None:
        """Drop every other group, ready or under way: the step that comes is the last one."""
        chosen = {group.request.occurrence for group in groups}
        for group_id, (request, task) in list(self._tasks.items()):
            if group_id not in chosen:
                task.cancel()
                self._leave(request, "stopped", self._ready.pop(group_id, None))

    def _drop_stale(self, oldest: int) -> None:
        for group in [group for group in self._ready.values() if oldest_version(group) < oldest]:
            del self._ready[group.request.occurrence]
            self._drop(group.request, "stale", group)

    def _drop(self, request: GroupRequest, reason: str, group: FinishedGroup[C] | None) -> None:
        self._leave(request, reason, group)
        self._slots.release()
        self._engines.news.set()
        self._drops_in_a_row += 1
        if self._drops_in_a_row > max(MAX_DROPS_IN_A_ROW, 4 * self._algo.prompts_per_step):
            raise R1RayError(
                f"{self._drops_in_a_row} groups in a row were dropped, the last one because of {reason}; all drops of "
                f"the run: {dict(self._ledger.dropped)}"
            )

    def _leave(self, request: GroupRequest, reason: str, group: FinishedGroup[C] | None) -> None:
        """Book and record a group that is not trained on."""
        self._ledger.drop(request.occurrence, reason)
        del self._started_at[request.occurrence], self._tasks[request.occurrence]
        scored = group.all_trajectories if group else ()
        record = GroupRecord(request.occurrence, request.prompt, scored, (None,) * len(scored), f"dropped:{reason}")
        self._dropped.append((record, group.chunks if group else ()))


def _place(group_id: str) -> tuple[int, int]:
    """Return where a group stands in the data."""
    position = position_of(group_id)
    return position.epoch, position.index
