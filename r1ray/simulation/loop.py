"""The loop, event by event: what the controller, the buffer and the group workers do, in simulated seconds.

    issue --> place --> turns on engines, answers between them --> score --> ready --> learn --> publish --> slots
                                 |  faults: the turn begins anew         |  choose (the loop's own admission)
                                 `-- publish: engines pause              `-- faults: back to the last checkpoint

An event is (time, order, what happens, arguments). Engines whose state has changed say anew when a sequence ends next;
an older answer of theirs is known by its stamp.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from r1ray.config import AlgoConfig
from r1ray.loop.admission import Admission
from r1ray.loop.batch import StepPart, parts_of_step
from r1ray.simulation.costs import Costs
from r1ray.simulation.engine import Engine, Sequence
from r1ray.simulation.work import Work


@dataclass(eq=False, slots=True)
class Group:
    """A group on its way."""

    number: int
    sequences: list[Sequence]
    is_ready: bool = False
    is_closed: bool = False
    """Nothing of it is waited for any more."""
    scored: list[Sequence] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedStep:
    """One step, when its version is live."""

    at: float
    seconds: float
    learn_s: float
    idle_learner_s: float
    publish_s: float
    trained_tokens: float
    """Tokens of all rows, prompts and answers with them."""
    policy_tokens: float
    staleness_mean: float
    staleness_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Counts of all groups, by what became of them."""

    issued: int
    trained: int
    dropped: int
    in_flight: int
    reissued: int


class Simulation:
    """A run of the loop."""

    def __init__(self, algo: AlgoConfig, costs: Costs, work: Work, *, seed: int = 0) -> None:
        self.algo, self.costs, self.work = algo, costs, work
        self.now = 0.0
        self.steps: list[SimulatedStep] = []
        self.num_engine_faults = self.num_learner_faults = self.repeated_steps = 0
        self._rng = np.random.default_rng([seed, 1])
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._dirty: dict[int, Engine] = {}
        self.engines = [
            Engine(number, costs.places, costs.slots, costs.decode_s) for number in range(costs.num_engines)
        ]
        self._idle = [(0, each.number) for each in self.engines]  # heap of slots taken, engine; older entries are stale
        self._waiting: deque[Sequence] = deque()
        self._begun: deque[Sequence] = deque()
        self._scorers = [0.0] * costs.num_scorers
        self._admission = Admission(
            max_staleness=algo.max_staleness, size=algo.prompts_per_step, surplus=algo.num_surplus_groups
        )
        self._num_slots = (algo.max_staleness + 1) * algo.prompts_per_step + algo.num_surplus_groups
        self._num_taken = self._num_waiting_slots = 0
        self._groups: dict[str, Group] = {}
        self._next, self._again = 0, deque[int]()
        self._trained = self._dropped = self._reissued = 0
        self._since_checkpoint: list[int] = []
        self._parts, self._part = parts_of_step(algo), 0
        self.version = self.step = 0
        self._is_working = self._has_devices = False
        self._attempt = 0  # rises with a loss of the learner: what it was going to do, it does not
        self._begin_step()
        for engine in self.engines:
            self._expect_fault(engine)
        self._expect_learner_fault()
        self._issue()

    def run(self, num_steps: int) -> list[SimulatedStep]:
        """Go on until there are so many steps; return all of them. Raises RuntimeError if nothing happens any more."""
        while len(self.steps) < num_steps:
            self._schedule()
            if not self._events:
                raise RuntimeError(f"the simulation stands still at {self.now:g} s, after {len(self.steps)} steps")
            self.now = max(self.now, self._events[0][0])
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
        for engine in self.engines:
            engine.advance(self.now)
        return self.steps

    def account(self) -> Account:
        """Return what became of the groups until now."""
        issued = self._next - len(self._again)
        return Account(
            issued=issued,
            trained=self._trained,
            dropped=self._dropped,
            in_flight=len(self._groups),
            reissued=self._reissued,
        )

    # ------------------------------------------------------------------ events

    def _after(self, seconds: float, what: Callable[[], None]) -> None:
        self._order += 1
        heapq.heappush(self._events, (self.now + seconds, self._order, what))

    def _schedule(self) -> None:
        """Ask the engines that have changed when something ends there."""
        for engine in self._dirty.values():
            engine.stamp += 1
            ends_at = engine.next_end()
            if ends_at is not None:
                self._after(max(0.0, ends_at - self.now), partial(self._turns_end, engine, engine.stamp))
        self._dirty.clear()

    def _touch(self, engine: Engine) -> None:
        """Bring an engine up to now: its state is going to change."""
        engine.advance(self.now)
        self._dirty[engine.number] = engine

    # ------------------------------------------------------------------ groups

    def _issue(self) -> None:
        while self._num_taken < self._num_slots:
            self._num_taken += 1
            if self._again:
                number = self._again.popleft()
            else:
                number, self._next = self._next, self._next + 1
            drawn, work = self.work.group(number), self.work
            sequences = [
                Sequence(
                    group=number,
                    index=index,
                    turns_left=turns,
                    turn_tokens=tokens / turns,
                    history=work.prompt_tokens,
                    total=work.prompt_tokens + tokens + (turns - 1) * work.answer_tokens,
                )
                for index, (tokens, turns) in enumerate(zip(drawn.tokens, drawn.turns, strict=True))
            ]
            self._groups[str(number)] = Group(number, sequences)
            self._admission.begin(str(number), self.version)
            self._waiting.extend(sequences)
        self._place()

    def _place(self) -> None:
        """Give free slots to what waits: later turns first, each to the engine with the fewest."""
        for queue in (self._begun, self._waiting):
            while queue:
                if queue[0].is_gone:
                    queue.popleft()
                elif (engine := self._least()) is not None:
                    self._give(queue.popleft(), engine)
                else:
                    return

    def _least(self) -> Engine | None:
        while self._idle:
            taken, number = self._idle[0]
            engine = self.engines[number]
            if taken == engine.num_taken and engine.is_free:
                return engine
            heapq.heappop(self._idle)
        return None

    def _give(self, sequence: Sequence, engine: Engine) -> None:
        self._touch(engine)
        is_known = sequence.engine is engine and sequence.loaded == engine.loads
        if is_known:
            unread = self.work.answer_tokens
        elif sequence.group in engine.seen:
            unread = sequence.history - self.work.prompt_tokens
        else:
            unread = sequence.history
        engine.seen.add(sequence.group)
        sequence.loaded = engine.loads
        if sequence.oldest < 0:
            sequence.oldest = self.version
        engine.take(sequence, self.costs.prefill_s(unread))
        self._note_free(engine)

    def _note_free(self, engine: Engine) -> None:
        if engine.is_free:
            heapq.heappush(self._idle, (engine.num_taken, engine.number))

    def _turns_end(self, engine: Engine, stamp: int) -> None:
        if stamp != engine.stamp or engine.number in self._dirty:
            return
        self._touch(engine)
        for sequence in engine.ended():
            sequence.turns_left -= 1
            sequence.history += sequence.turn_tokens
            if sequence.turns_left:
                self._after(self._rng.exponential(self.costs.answer_s), partial(self._answered, sequence))
            else:
                self._score(sequence)
        self._freed(engine)

    def _freed(self, engine: Engine) -> None:
        while engine.returning and engine.is_free:
            sequence = engine.returning.popleft()
            if not sequence.is_gone:
                self._give(sequence, engine)
        self._note_free(engine)
        self._place()

    def _answered(self, sequence: Sequence) -> None:
        if sequence.is_gone:
            return
        sequence.history += self.work.answer_tokens
        engine = sequence.engine
        if engine is not None and engine.is_up and sequence.loaded == engine.loads:
            engine.returning.append(sequence)
            self._freed(engine)
        else:
            self._begun.append(sequence)
            self._place()

    def _score(self, sequence: Sequence) -> None:
        begins = max(self.now, heapq.heappop(self._scorers))
        ends = begins + self.costs.score_s
        heapq.heappush(self._scorers, ends)
        self._after(ends - self.now, partial(self._scored, sequence))

    def _scored(self, sequence: Sequence) -> None:
        group = self._groups.get(str(sequence.group))
        if group is None or group.is_closed or sequence.is_gone:
            return
        group.scored.append(sequence)
        enough = self.algo.min_group_size or self.work.group_size
        if len(group.scored) < enough:
            return
        self._close(group)
        group.is_ready = True
        self._admission.ready(str(group.number))
        self._try()

    def _close(self, group: Group) -> None:
        """Wait for nothing more of a group."""
        group.is_closed = True
        done = set(map(id, group.scored))
        for sequence in group.sequences:
            if id(sequence) not in done:
                self._abort(sequence)

    def _abort(self, sequence: Sequence) -> None:
        engine = sequence.engine
        if engine is None or not sequence.is_running:
            sequence.is_gone = True
            return
        self._touch(engine)
        engine.abort(sequence)
        self._freed(engine)

    def _remove(self, group: Group) -> None:
        if not group.is_closed:
            self._close(group)
        self._admission.end(str(group.number))
        del self._groups[str(group.number)]

    # ------------------------------------------------------------------ the learner

    def _begin_step(self) -> None:
        self._part = 0
        self._free_since, self._began_at = self.now, self.steps[-1].at if self.steps else 0.0
        self._idle_s = self._learn_s = self._publish_s = 0.0
        self._tokens = self._policy_tokens = 0.0
        self._ages: list[int] = []

    def _try(self) -> None:
        """Learn on the next part of a step, if its groups are there."""
        if self._is_working:
            return
        for name in self._admission.too_old(self.version):
            if self._groups[name].is_ready:
                self._drop(name)
        part = self._parts[self._part]
        chosen = self._admission.choose(self.version, count=part.num_groups, later=part.num_later)
        if chosen is None:
            return
        self._is_working = True
        self._idle_s += self.now - self._free_since
        if part.is_last:
            self._leave_behind(set(chosen))
        groups = [self._groups[name] for name in sorted(chosen, key=int)]
        lengths = [sequence.total for group in groups for sequence in group.scored]
        seconds = self.costs.learn_s(lengths, part.num_minibatches)
        hand_over = 0.0
        if self.costs.hand_over_s is not None and not self._has_devices:
            self._has_devices, hand_over = True, self.costs.hand_over_s
            self._pause()
        self._learn_s += seconds
        self._after(hand_over + seconds, partial(self._learned, groups, part, self._attempt))

    def _leave_behind(self, chosen: set[str]) -> None:
        """Let go of the surplus, which would be too old for the next step."""
        for name in self._admission.too_old(self.version + 1):
            if name not in chosen and not self._groups[name].is_ready:
                self._drop(name, until_next=True)

    def _drop(self, name: str, *, until_next: bool = False) -> None:
        self._dropped += 1
        self._remove(self._groups[name])
        if until_next:
            self._num_waiting_slots += 1
        else:
            self._num_taken -= 1
            self._issue()

    def _learned(self, groups: list[Group], part: StepPart, attempt: int) -> None:
        if attempt != self._attempt:
            return
        for group in groups:
            self._ages += [self.version - sequence.oldest for sequence in group.scored]
            self._tokens += sum(sequence.total for sequence in group.scored)
            self._policy_tokens += sum(self.work.group(group.number).tokens[each.index] for each in group.scored)
            self._since_checkpoint.append(group.number)
            self._remove(group)
        self._trained += len(groups)
        self._free_since = self.now
        if not part.is_last:
            self._part += 1
            self._is_working = False
            self._try()
            return
        self._publish(self._published)

    def _pause(self) -> None:
        for engine in self.engines:
            self._touch(engine)
            engine.is_paused = True

    def _publish(self, then: Callable[[], None]) -> None:
        self._pause()
        attempt, self._publish_s = self._attempt, self.costs.publish_s

        def done() -> None:
            if attempt == self._attempt:
                then()

        self._after(self.costs.publish_s, done)

    def _published(self) -> None:
        self.version += 1
        self.step += 1
        self.steps.append(
            SimulatedStep(
                at=self.now,
                seconds=self.now - self._began_at,
                learn_s=self._learn_s,
                idle_learner_s=self._idle_s,
                publish_s=self._publish_s,
                trained_tokens=self._tokens,
                policy_tokens=self._policy_tokens,
                staleness_mean=float(np.mean(self._ages)),
                staleness_max=max(self._ages),
            )
        )
        if self.costs.checkpoint_every and self.step % self.costs.checkpoint_every == 0:
            self._since_checkpoint.clear()
        self._num_taken -= self.algo.prompts_per_step + self._num_waiting_slots
        self._go_on()

    def _go_on(self) -> None:
        """Resume the engines with their new weights, and begin the next step."""
        self._num_waiting_slots = 0
        self._is_working = self._has_devices = False
        for engine in self.engines:
            self._touch(engine)
            engine.is_paused = False
            if engine.is_up:
                engine.load()
            self._begun.extend(engine.returning)
            engine.returning.clear()
            self._note_free(engine)
        self._begin_step()
        self._place()
        self._issue()
        self._try()

    # ------------------------------------------------------------------ faults

    def _expect_fault(self, engine: Engine) -> None:
        if np.isfinite(self.costs.engine_faults_s):
            self._after(self._rng.exponential(self.costs.engine_faults_s), partial(self._lose_engine, engine))

    def _lose_engine(self, engine: Engine) -> None:
        self.num_engine_faults += 1
        self._touch(engine)
        self._begun.extendleft(reversed(engine.lose()))
        self._after(self.costs.restart_s, partial(self._restore_engine, engine))
        self._place()

    def _restore_engine(self, engine: Engine) -> None:
        self._touch(engine)
        engine.is_up = True
        engine.load()
        self._expect_fault(engine)
        self._freed(engine)

    def _expect_learner_fault(self) -> None:
        if np.isfinite(self.costs.learner_faults_s):
            self._after(self._rng.exponential(self.costs.learner_faults_s), self._lose_learner)

    def _lose_learner(self) -> None:
        """Go back to the last checkpoint. Engines go on meanwhile."""
        self.num_learner_faults += 1
        self._attempt += 1
        self._is_working = True  # until it is up again, and has published
        every = self.costs.checkpoint_every
        back = self.step - (self.step // every * every if every else 0)
        self.repeated_steps += back
        self.step -= back
        self._reissued += len(self._since_checkpoint)
        self._trained -= len(self._since_checkpoint)
        self._again.extend(self._since_checkpoint)
        self._since_checkpoint.clear()
        if self.costs.hand_over_s is None:
            self._resume()
        self._after(self.costs.restart_s, partial(self._publish, self._restarted))

    def _resume(self) -> None:
        for engine in self.engines:
            self._touch(engine)
            engine.is_paused = False
            self._freed(engine)

    def _restarted(self) -> None:
        """Take versions up under a new number, and issue what is too old for it again."""
        self.version += 1
        for name in self._admission.unfit(self.version):
            self._again.append(self._groups[name].number)
            self._reissued += 1
            self._remove(self._groups[name])
        self._num_taken = len(self._admission)
        self._expect_learner_fault()
        self._go_on()
