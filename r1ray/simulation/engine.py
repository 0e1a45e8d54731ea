"""One engine: all its sequences get a token in each decode step, and a step takes longer the more they are.

Every sequence is as far behind the engine's own count of tokens as it began late; so what ends next is the top of a
heap, and nothing happens in between.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

EPSILON = 1e-6
"""Share of a token: a sequence that is nearer to its end has ended."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One trajectory on its way; a turn of it at a time is on an engine."""

    group: int
    index: int
    turns_left: int
    turn_tokens: float
    """Policy tokens of each turn."""
    history: float
    """Tokens in front of the next turn."""
    total: float
    """Tokens of the whole row, at its end."""
    engine: Engine | None = None
    """The engine that generates it, or has."""
    loaded: int = -1
    """The weights under which that engine read its history."""
    is_running: bool = False
    """It has a slot of the engine."""
    is_gone: bool = False
    """Nobody waits for it."""
    oldest: int = -1
    """Policy version of its first token."""
    began: float = 0.0
    """The engine's count of tokens at which it began there."""
    is_begun: bool = False
    """It has a place, not a slot alone."""


@dataclass(eq=False, slots=True)
class Engine:
    """Generates, and knows when something of it ends next."""

    number: int
    places: int
    slots: int
    decode_s: Callable[[float, float], float]
    is_up: bool = True
    is_paused: bool = False
    loads: int = 0
    """Rises with each change of its weights: the cache is worth nothing any more."""
    at: float = 0.0
    count: float = 0.0
    """Tokens that a sequence would have which was here from the start."""
    debt: float = 0.0
    """Seconds of prompts that have to be read first."""
    step_s: float = 1.0
    num_begun: int = 0
    base: float = 0.0
    """Tokens in the cache, less ``count`` for each sequence."""
    busy_s: float = 0.0
    tokens: float = 0.0
    lost_tokens: float = 0.0
    """Generated tokens that were lost with the engine, or aborted."""
    stamp: int = 0
    inside: deque[tuple[Sequence, float]] = field(default_factory=deque)
    """Sequences that have a slot and no place, with the seconds of their prompts."""
    returning: deque[Sequence] = field(default_factory=deque)
    """Turns that wait for this engine, which has their history."""
    _ends: list[tuple[float, int, Sequence]] = field(default_factory=list)
    _order: int = 0
    num_taken: int = 0
    """Slots."""
    seen: set[int] = field(default_factory=set)
    """Groups whose prompt is in the cache."""

    @property
    def is_free(self) -> bool:
        return self.is_up and not self.is_paused and self.num_taken < self.slots

    def advance(self, now: float) -> None:
        """Generate until ``now``."""
        elapsed, self.at = now - self.at, now
        if self.is_paused or not self.num_begun or elapsed <= 0:
            return
        self.busy_s += elapsed
        paid = min(self.debt, elapsed)
        self.debt -= paid
        made = (elapsed - paid) / self.step_s
        self.count += made
        self.tokens += made * self.num_begun

    def next_end(self) -> float | None:
        """Return when a sequence ends next, if nothing else happens here; None while none does."""
        while self._ends and self._ends[0][2].is_gone:
            heapq.heappop(self._ends)
        if not self._ends or self.is_paused:
            return None
        ahead = max(0.0, self._ends[0][0] - self.count)
        held = self.base + self.num_begun * (self.count + ahead / 2)
        self.step_s = self.decode_s(self.num_begun, held)
        return self.at + self.debt + ahead * self.step_s

    def take(self, sequence: Sequence, prompt_s: float) -> None:
        """Give a slot to a sequence, and a place once there is one."""
        sequence.is_running, sequence.engine = True, self
        self.num_taken += 1
        if self.num_begun < self.places:
            self._begin(sequence, prompt_s)
        else:
            self.inside.append((sequence, prompt_s))

    def _begin(self, sequence: Sequence, prompt_s: float) -> None:
        self._order += 1
        sequence.is_begun, sequence.began = True, self.count
        heapq.heappush(self._ends, (self.count + sequence.turn_tokens, self._order, sequence))
        self.num_begun += 1
        self.base += sequence.history - self.count
        self.debt += prompt_s

    def ended(self) -> list[Sequence]:
        """Return the sequences that have ended, which leave their slots. Now is when the next was to end."""
        if self._ends:
            self.count = max(self.count, self._ends[0][0])
        found = []
        while self._ends and self._ends[0][0] <= self.count + EPSILON:
            sequence = heapq.heappop(self._ends)[2]
            if not sequence.is_gone:
                self._leave(sequence)
                found.append(sequence)
        self._fill()
        return found

    def abort(self, sequence: Sequence) -> None:
        """Take a sequence off, which nobody waits for."""
        sequence.is_gone = True
        if not sequence.is_running:
            return
        if sequence.is_begun:
            self.lost_tokens += self.count - sequence.began
            self._leave(sequence)
            self._fill()
        else:
            self.inside = deque(each for each in self.inside if each[0] is not sequence)
            sequence.is_running = False
            self.num_taken -= 1

    def _leave(self, sequence: Sequence) -> None:
        self.num_begun -= 1
        self.num_taken -= 1
        self.base -= sequence.history - sequence.began
        sequence.is_running = sequence.is_begun = False

    def _fill(self) -> None:
        while self.inside and self.num_begun < self.places:
            self._begin(*self.inside.popleft())

    def lose(self) -> list[Sequence]:
        """Go down; return what was under way, which begins its turn anew elsewhere."""
        gone = [sequence for _, _, sequence in sorted(self._ends, key=lambda each: each[1]) if not sequence.is_gone]
        self.lost_tokens += sum(self.count - sequence.began for sequence in gone)
        gone += [sequence for sequence, _ in self.inside] + list(self.returning)
        for sequence in gone:
            sequence.is_running = sequence.is_begun = False
            sequence.engine = None
        for held in (self._ends, self.inside, self.returning, self.seen):
            held.clear()
        self.num_begun = self.num_taken = 0
        self.base = self.debt = 0.0
        self.is_up = False
        return gone

    def load(self) -> None:
        """Take new weights."""
        self.loads += 1
        self.seen.clear()
