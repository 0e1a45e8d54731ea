"""Buffer: groups from their issue to the step that takes them.

    prompts --> issue --> run (one task a group) --> ready --> take --> settle --> release
                  |         |  GroupRunner             |         |         |          `-- slots
                  |         `-- drop(reason)           `-- stale `-- admission
                  `-- ledger.issue          ledger.drop                    `-- ledger.train

``issue``   consumes a slot and a prompt, produces the order for a group. Waits for a free slot.
``run``     has a group worker generate and score it; it becomes ready, or is dropped.
``take``    produces the groups of a step. Waits until enough are ready, and restores lost engines meanwhile.

There are ``(max_staleness + 1) * prompts_per_step`` slots. A group holds one from its issue until the version that it
helped to make is live, so that generation runs at most ``max_staleness`` versions ahead; 0 is exactly on-policy.
``oversample`` adds slots; then the slowest groups are left behind, and counted.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from r1ray.config import AlgoConfig, RewardConfig
from r1ray.errors import EngineLost, GroupFailed, GroupLost, R1RayError
from r1ray.interfaces import GroupRunner
from r1ray.loop.admission import Admission
from r1ray.loop.batch import StepPart
from r1ray.loop.ledger import Ledger, group_id_of, position_of
from r1ray.loop.rewards import reason_to_drop
from r1ray.loop.roles import PromptSource
from r1ray.loop.upkeep.progress import Progress
from r1ray.loop.upkeep.removed import Removals
from r1ray.loop.upkeep.reward_errors import RewardErrors
from r1ray.loop.upkeep.waiting import Engines, Waiter
from r1ray.types import GroupRecord, GroupRequest, Prompt, Sampling, ScoredGroup

MAX_DROPS_IN_A_ROW = 64
"""Without one usable group between them; then something is wrong with all of them."""


class Buffer:
    """Holds every group that is under way or ready, and the slots that they take."""

    def __init__(
        self,
        groups: GroupRunner,
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
        self._groups, self._prompts = groups, prompts
        self._algo, self._reward, self._seed = algo, reward, seed
        self._ledger, self._progress, self._engines, self._waiter = ledger, progress, engines, waiter
        self.is_closed = False
        self.removals = Removals()
        self.errors = RewardErrors(reward, step_size=algo.prompts_per_step * algo.group_size, progress=progress)
        self._reissue = list(ledger.in_flight)
        size, staleness, self._surplus = algo.prompts_per_step, algo.max_staleness, algo.num_surplus_groups
        self._slots = asyncio.Semaphore((staleness + 1) * size + self._surplus)
        self._admission = Admission(max_staleness=staleness, size=size, surplus=self._surplus)
        self._running: dict[str, tuple[GroupRequest, asyncio.Task[None]]] = {}  # of every group under way or ready
        self._ready: dict[str, ScoredGroup] = {}
        self._has_losses = False  # a worker died, and perhaps with ready groups
        self._aborted: dict[str, int] = {}  # of the surplus: the version that was live
        self._num_waiting_slots = 0  # of surplus that ended before the next version is live
        self._dropped: list[GroupRecord] = []  # until they are recorded
        self._drops_in_a_row = 0
        self._tasks: asyncio.TaskGroup | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Run groups as tasks of this group: whatever fails in one ends all."""
        self._tasks = tasks

    # ------------------------------------------------------------------ in

    async def issue(self) -> GroupRequest:
        """Wait for a slot; return the order for the group that takes it."""
        await self._slots.acquire()
        while self._ledger.trained + len(self._admission) >= self._num_needed:
            await self._slots.acquire()  # all that the last step needs is on its way; a dropped group frees another
        request = self._next_request()
        self._admission.begin(request.group_id, self._progress.version)
        return request

    @property
    def _num_needed(self) -> int:
        return self._progress.last * self._algo.prompts_per_step + self._surplus

    def run(self, request: GroupRequest) -> None:
        """Have an issued group generated and scored."""
        assert self._tasks is not None, "begin() was not called"
        self._running[request.group_id] = request, self._tasks.create_task(self._run(request))

    def _next_request(self) -> GroupRequest:
        algo = self._algo
        if self._reissue:
            group_id = self._reissue.pop(0)
            prompt = self._prompts.at(position_of(group_id))
        else:
            position, prompt = self._prompts.take()
            group_id = group_id_of(position)
            self._ledger.issue(group_id)
        return GroupRequest(
            group_id=group_id,
            prompt=prompt,
            group_size=algo.group_size,
            sampling=Sampling(algo.temperature, 1.0, algo.max_completion_tokens),
            seed=zlib.crc32(f"{self._seed}/{group_id}".encode()) * algo.group_size,
            min_group_size=algo.min_group_size,
        )

    async def _run(self, request: GroupRequest) -> None:
        try:
            group = await self._groups.run(request)
        except GroupLost:
            self._has_losses = True
            self._engines.news.set()
            return self._issue_again(request)
        except EngineLost:
            return self._drop(request, "engine_lost", None)
        except GroupFailed as error:
            return self._drop(request, error.reason, None)
        if self.errors.note(request.prompt, group):
            self.close()
        if request.group_id in self._aborted:
            return self._drop(request, "surplus", group)
        if reason := reason_to_drop(group, self._algo, self._reward, step=self._progress.version + 1):
            return self._drop(request, reason, group)
        self._drops_in_a_row = 0
        self._ready[request.group_id] = group
        self._admission.ready(request.group_id)
        self._engines.news.set()

    # ------------------------------------------------------------------ out

    async def take(self, part: StepPart) -> tuple[list[ScoredGroup], list[Prompt]]:
        """Return groups of the next step and their prompts, chosen so that no group is ever too old; none once the
        buffer is closed, unless the step has begun. They stay here until they are settled."""
        deadlines = self._waiter.deadlines  # a trajectory has three attempts, and engines may have to be replaced
        seconds = 3 * (deadlines.generate_s + deadlines.score_s) + deadlines.start_s
        owner = f"groups of version {self._progress.version}"
        groups = await self._waiter.wait_for(self._choose(part), "generate_s", owner, seconds=seconds)
        return groups, [self._running[group.group_id][0].prompt for group in groups]

    async def _choose(self, part: StepPart) -> list[ScoredGroup]:
        version = self._progress.version
        while not (self.is_closed and part.is_first):
            await self._engines.restore()
            self._drop_too_old(version)
            chosen = self._admission.choose(version, count=part.num_groups, later=part.num_later)
            if (chosen is not None or self._has_losses) and self._lose_with_workers():
                continue
            if chosen is None:
                await self._engines.news.wait()
            else:
                return [self._ready[group_id] for group_id in sorted(chosen, key=_place)]
        return []

    def settle(self, groups: Sequence[ScoredGroup]) -> None:
        """Book groups that were trained on. They hold their slots until :meth:`release`."""
        group_ids = [group.group_id for group in groups]
        self._ledger.train(group_ids)
        for group_id in group_ids:
            self._admission.end(group_id)
            del self._ready[group_id], self._running[group_id]
        self._ledger.check()

    def release(self, num_groups: int) -> None:
        """Free the slots of groups whose version is live, and of the surplus beside them."""
        for _ in range(num_groups + self._num_waiting_slots):
            self._slots.release()
        self._num_waiting_slots = 0

    def lose(self, group_ids: Sequence[str]) -> None:
        """Issue ready groups again whose worker is gone, with all that it held."""
        for group_id in group_ids:
            self._issue_again(self._running[group_id][0])

    def close(self) -> None:
        """End :meth:`take`, now or when it is called."""
        self.is_closed = True
        self._engines.news.set()

    # ------------------------------------------------------------------ groups that are not trained on

    def take_dropped(self) -> list[GroupRecord]:
        """Return the groups that were dropped since the last call, for the rollout log."""
        dropped, self._dropped = self._dropped, []
        return dropped

    async def leave_behind(self, groups: Sequence[ScoredGroup], *, all_others: bool) -> None:
        """Let go of what no step will train on: the surplus, which is too old for the next step; or, before the last
        step of a run, every group but ``groups``."""
        chosen = {group.group_id for group in groups}
        if all_others:
            reason, self._surplus = "surplus" if self._surplus else "stopped", 0
            for group_id, (request, task) in list(self._running.items()):
                if group_id not in chosen:
                    task.cancel()
                    self._leave(request, reason, self._ready.pop(group_id, None))
            return
        for group_id in self._admission.too_old(self._progress.version + 1):
            if group_id not in self._ready and group_id not in self._aborted:
                self._aborted[group_id] = self._progress.version
                await self._groups.abort(group_id, "surplus")

    def _drop_too_old(self, version: int) -> None:
        reason = "surplus" if self._algo.num_surplus_groups else "stale"
        for group_id in self._admission.too_old(version):
            if (group := self._ready.pop(group_id, None)) is not None:
                self._drop(self._running[group_id][0], reason, group)

    def _lose_with_workers(self) -> int:
        """Issue the ready groups again that dead workers held. Returns how many; looked at in every step, not at every
        arrival."""
        self._has_losses = False
        gone = [group.group_id for group in self._ready.values() if not self._groups.is_held(group)]
        self.lose(gone)
        return len(gone)

    def _issue_again(self, request: GroupRequest) -> None:
        """Run a group anew whose worker is gone, in the slot that it has."""
        self._ledger.reissue(request.group_id)
        self._ready.pop(request.group_id, None)
        self._aborted.pop(request.group_id, None)
        self._admission.begin(request.group_id, self._progress.version)
        self.run(request)

    def _drop(self, request: GroupRequest, reason: str, group: ScoredGroup | None) -> None:
        if self._aborted.get(request.group_id) == self._progress.version:
            self._num_waiting_slots += 1  # what took its slot now would be too old for the next step as well
        else:
            self._slots.release()
        self._leave(request, reason, group)
        self._engines.news.set()
        if reason == "surplus":
            return
        self._drops_in_a_row += 1
        if self._drops_in_a_row > max(MAX_DROPS_IN_A_ROW, 4 * self._algo.prompts_per_step):
            cause = f" ({self.errors.unscored})" if reason == "unscored" else ""
            raise R1RayError(
                f"{self._drops_in_a_row} groups in a row were dropped, the last one because of {reason}{cause}; all "
                f"drops of the run: {dict(self._ledger.dropped)}"
            )

    def _leave(self, request: GroupRequest, reason: str, group: ScoredGroup | None) -> None:
        """Book and record a group that is not trained on."""
        self._ledger.drop(request.group_id, reason)
        self._admission.end(request.group_id)
        self._aborted.pop(request.group_id, None)
        del self._running[request.group_id]
        if group is not None:
            self.removals.note_group(group, reason)
        advantages = (None,) * len(group.trajectories if group else ())
        self._dropped.append(
            GroupRecord(
                group_id=request.group_id,
                prompt=request.prompt,
                group=group,
                advantages=advantages,
                status="uniform" if reason == "uniform" else "dropped",
                dropped_reason=reason,
            )
        )


def _place(group_id: str) -> tuple[int, int]:
    """Return where a group stands in the data."""
    position = position_of(group_id)
    return position.epoch, position.index
