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

Nothing is issued before :meth:`Buffer.open`: the engines have to hold the live version. Where the learner is restarted
from a checkpoint, ``hold`` has nothing issued again, and ``go_back`` takes back how groups ended after it.
"""

from __future__ import annotations

import asyncio
import bisect
import time
import zlib
from collections.abc import Sequence
from typing import Any

from r1ray.config import AlgoConfig, RewardConfig
from r1ray.data.position import Position
from r1ray.errors import EngineLost, GroupFailed, GroupLost, R1RayError
from r1ray.interfaces import GroupRunner
from r1ray.loop.admission import Admission
from r1ray.loop.batch import StepPart
from r1ray.loop.checkpoint import LoopState
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
END_S = 30.0
"""Longest wait for groups that are to be issued again to end, before others are issued."""


class Buffer:
    """Holds every group that is under way or ready, and the slots that they take."""

    def __init__(
        self,
        groups: GroupRunner,
        prompts: PromptSource,
        *,
        algo: AlgoConfig,
        reward: RewardConfig,
        world_s: float = 0.0,
        seed: int,
        ledger: Ledger,
        progress: Progress,
        engines: Engines,
        waiter: Waiter,
    ) -> None:
        self._groups, self._prompts = groups, prompts
        self._algo, self._reward, self._world_s, self._seed = algo, reward, world_s, seed
        self._ledger, self._progress, self._engines, self._waiter = ledger, progress, engines, waiter
        self.is_closed = False
        self.removals = Removals()
        self.errors = RewardErrors(reward, step_size=algo.prompts_per_step * algo.group_size, progress=progress)
        self._reissue = sorted(ledger.in_flight, key=_place)
        size, staleness, self._surplus = algo.prompts_per_step, algo.max_staleness, algo.num_surplus_groups
        self._num_slots, self._num_taken = algo.most_groups, 0
        self._room = asyncio.Event()  # set by whatever may let a group be issued
        self._is_open = False
        self._withdrawn: set[str] = set()  # under way, and to be issued again once they have ended
        self._cancelled: list[str] = []  # before the last step; perhaps not ended yet
        self._admission = Admission(max_staleness=staleness, size=size, surplus=self._surplus)
        self._running: dict[str, tuple[GroupRequest, asyncio.Task[None]]] = {}  # of every group under way or ready
        self._ready: dict[str, ScoredGroup] = {}
        self._has_losses = False  # a worker died, and perhaps with ready groups
        self._aborted: dict[str, int] = {}  # of the surplus: the version that was live
        self._num_waiting_slots = 0  # of surplus that ended before the next version is live
        self._dropped: list[GroupRecord] = []  # until they are recorded
        self._settled: list[ScoredGroup] = []  # until their version is live
        self._drops_in_a_row = 0
        self._tasks: asyncio.TaskGroup | None = None

    def begin(self, tasks: asyncio.TaskGroup) -> None:
        """Run groups as tasks of this group: whatever fails in one ends all."""
        self._tasks = tasks

    async def open(self) -> None:
        """Let groups be issued: the engines hold the live version."""
        if ending := [self._running[group_id][1] for group_id in self._withdrawn]:
            await asyncio.wait(ending, timeout=END_S)  # so that they are issued in the order of the data
        self._is_open = True
        self._room.set()

    # ------------------------------------------------------------------ in

    async def issue(self) -> GroupRequest:
        """Wait for a slot; return the order for the group that takes it."""
        while not self._has_room:
            self._room.clear()
            await self._room.wait()
        self._num_taken += 1
        request = self._next_request()
        self._admission.begin(request.group_id, self._progress.version)
        return request

    @property
    def _has_room(self) -> bool:
        """A slot is free, and what the last step needs is not on its way yet."""
        needed = self._progress.last * self._algo.prompts_per_step + self._surplus
        is_needed = self._ledger.trained + len(self._admission) < needed
        return self._is_open and is_needed and self._num_taken < self._num_slots

    def _free(self, num_slots: int = 1) -> None:
        self._num_taken -= num_slots
        self._room.set()

    def run(self, request: GroupRequest) -> None:
        """Have an issued group generated and scored."""
        assert self._tasks is not None, "begin() was not called"
        self._running[request.group_id] = request, self._tasks.create_task(self._run(request))

    def _next_request(self) -> GroupRequest:
        if self._reissue:
            group_id = self._reissue.pop(0)
            return self._request(group_id, self._prompts.at(position_of(group_id)))
        position, prompt = self._prompts.take()
        self._ledger.issue(group_id_of(position))
        return self._request(group_id_of(position), prompt)

    def _request(self, group_id: str, prompt: Prompt) -> GroupRequest:
        algo = self._algo
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
        except (EngineLost, GroupFailed) as error:
            if request.group_id in self._withdrawn:
                return self._withdraw(request)
            return self._drop(request, error.reason if isinstance(error, GroupFailed) else "engine_lost", None)
        if request.group_id in self._withdrawn:
            await self._groups.drop([group])
            return self._withdraw(request)
        if self.errors.note(request.prompt, group):
            self.close()
        if request.group_id in self._aborted:
            return self._drop(request, "surplus", group)
        if reason := reason_to_drop(group, self._algo, self._reward, step=self._progress.step + 1):
            return self._drop(request, reason, group)
        self._drops_in_a_row = 0
        self._ready[request.group_id] = group
        self._admission.ready(request.group_id)
        self._engines.news.set()

    # ------------------------------------------------------------------ out

    async def take(self, part: StepPart) -> tuple[list[ScoredGroup], list[Prompt]]:
        """Return groups of the next step and their prompts, chosen so that no group is ever too old; none once the
        buffer is closed, unless the step has begun. They stay here until they are settled."""
        deadlines, started = self._waiter.deadlines, time.monotonic()
        groups = await self._waiter.wait_for(
            self._choose(part),
            "generate_s",
            f"groups of version {self._progress.version}",
            seconds=3 * (deadlines.generate_s + deadlines.score_s),  # a trajectory has three attempts
            stands_still=lambda: self._groups.is_recovering() or self._is_in_worlds(time.monotonic() - started),
        )
        return groups, [self._running[group.group_id][0].prompt for group in groups]

    def _is_in_worlds(self, waited_s: float) -> bool:
        """Return whether what is waited for may still be in its environments, which have deadlines of their own."""
        in_world = any(request.prompt.environment for request, _ in self._running.values())
        return in_world and waited_s < 3 * self._world_s  # a trajectory has three attempts

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
        self._settled += groups
        for group in groups:
            self._prompts.observe(position_of(group.group_id), group)
        for group_id in group_ids:
            self._admission.end(group_id)
            del self._ready[group_id], self._running[group_id]
        self._ledger.check()

    def release(self, num_groups: int) -> None:
        """Free the slots of groups whose version is live, and of the surplus beside them."""
        self._free(num_groups + self._num_waiting_slots)
        self._num_waiting_slots = 0
        self._settled = []

    def curriculum(self) -> dict[str, Any]:
        """Return what the order of the prompts rests on beside the position, from the oldest group in flight on."""
        places = [position_of(group_id) for group_id in self._ledger.in_flight]
        oldest = min([*places, self._prompts.position], key=lambda place: (place.epoch, place.index))
        return self._prompts.state(oldest)

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
                    self._cancelled.append(group_id)
                    self._leave(request, reason, self._ready.pop(group_id, None))
            while self._reissue:
                self._leave(self._next_request(), reason, None)
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
        if not self._is_open or request.group_id in self._withdrawn:
            return self._withdraw(request)
        self._ledger.reissue(request.group_id)
        self._ready.pop(request.group_id, None)
        self._aborted.pop(request.group_id, None)
        self._admission.begin(request.group_id, self._progress.version)
        self.run(request)

    # ------------------------------------------------------------------ a learner that was restarted

    def hold(self) -> None:
        """Issue nothing until :meth:`open`: what is live is not what the progress names."""
        self._is_open = False

    async def go_back(self, state: LoopState | None) -> None:
        """Take back how groups ended after a checkpoint, or the start, whose weights are going to be live as the
        version that the progress names. They are issued again, once the buffer is open; so are those under way, or
        ready, that are too old for it."""
        assert not self._is_open, "hold() was not called"
        position, ledger = (state.position, state.ledger) if state else (Position(), None)
        again = self._ledger.go_back(ledger, self._issued_since(position))
        self._prompts.load(state.curriculum if state else {})
        self._reissue = sorted([*self._reissue, *again], key=_place)
        forgotten = [*self._settled, *(each.group for each in self._dropped if each.group is not None)]
        self._settled, self._dropped = [], []
        self.removals.forget()
        self._surplus, self._num_waiting_slots = self._algo.num_surplus_groups, 0
        self._num_taken = len(self._running)
        cancelled, self._cancelled = self._cancelled, []
        for group_id in self._admission.unfit(self._progress.version):
            if (group := self._ready.get(group_id)) is not None:
                self._withdraw(self._running[group_id][0])
                forgotten.append(group)
            else:
                self._withdrawn.add(group_id)
        ending = [*self._withdrawn, *cancelled]
        await asyncio.gather(*(self._groups.abort(group_id, "withdrawn") for group_id in ending))
        await self._groups.drop(forgotten)

    def _issued_since(self, position: Position) -> list[str]:
        """Return the groups that were issued from a place of the data on."""
        now, self._prompts.position = self._prompts.position, position
        issued = []
        while self._prompts.position != now:
            issued.append(group_id_of(self._prompts.take()[0]))
        return issued

    def _withdraw(self, request: GroupRequest) -> None:
        """End a group that is going to be issued again, when its turn comes."""
        group_id = request.group_id
        self._ledger.reissue(group_id)
        self._ready.pop(group_id, None)
        self._aborted.pop(group_id, None)
        self._withdrawn.discard(group_id)
        self._admission.end(group_id)
        del self._running[group_id]
        bisect.insort(self._reissue, group_id, key=_place)
        self._free()

    # ------------------------------------------------------------------ the end of a group

    def _drop(self, request: GroupRequest, reason: str, group: ScoredGroup | None) -> None:
        if self._aborted.get(request.group_id) == self._progress.version:
            self._num_waiting_slots += 1  # what took its slot now would be too old for the next step as well
        else:
            self._free()
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
        self._withdrawn.discard(request.group_id)
        self._running.pop(request.group_id, None)
        if group is not None:
            self._prompts.observe(position_of(request.group_id), group)
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
