"""Who of the ranks of a learner lives: each is watched until it ends, and asked now and then."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ray.exceptions import RayError

from r1ray.cluster.host import Handle, cause_of
from r1ray.cluster.rank_host import Place
from r1ray.errors import LearnerLost
from r1ray.runtime.background import Background

logger = logging.getLogger(__name__)
PING_S = 10.0
"""Between two questions to every rank, and how long each may take to answer."""
MAX_SILENT = 6
"""So many questions in a row a rank may leave unanswered. One that computes answers all the same: the question has a
thread of its own. A driver that was stopped itself misses one."""
GRACE_S, TOGETHER_S = 20.0, 0.25
"""Within so long after a collective broke, also on a machine that is busy, the rank is found dead that broke it; and a
moment later the others that died with it."""


class RankWatch:
    """Watches the ranks of one incarnation of a group."""

    def __init__(
        self,
        ranks: Sequence[Handle],
        *,
        tell: Callable[[LearnerLost], None],
        kill: Callable[[Place], Awaitable[None]],
    ) -> None:
        """
        Args:
            tell: hears of every rank that is lost.
            kill: kills a process at once, also one that is stopped.
        """
        self._ranks, self._tell, self._kill = ranks, tell, kill
        self._places: dict[int, Place] = {}
        self._lost: dict[int, str] = {}  # and why
        self._ended: set[int] = set()  # of those the ones whose process has ended
        self._news = asyncio.Event()
        self._background = Background(lambda error: logger.warning("the watch of the learner failed: %s", error))

    async def begin(self) -> None:
        """Watch from now on. The ranks have to answer."""
        asked = await asyncio.gather(*(rank.actor.place.remote() for rank in self._ranks))
        self._places = dict(enumerate(asked))
        for number, rank in enumerate(self._ranks):
            self._background.start(self._lose_when_it_ends(number, rank))
        self._background.start(self._lose_the_silent())

    def close(self) -> None:
        """Watch no more: the ranks are about to end."""
        self._background.close()

    async def end(self) -> None:
        """Kill every rank, whatever it does."""
        self.close()
        await asyncio.gather(*(self._end(number) for number in range(len(self._ranks))))

    async def check(self) -> None:
        """Raise LearnerLost where a rank is lost, or does not answer now."""
        answers = await asyncio.gather(*(self._answers(rank) for rank in self._ranks))
        for number, answered in enumerate(answers):
            if not answered:
                self._lose(number, f"does not answer within {PING_S:g} s")
        self.raise_lost()

    def raise_lost(self) -> None:
        """Raise LearnerLost where a rank is known to be lost."""
        if self._lost:
            raise self._loss()

    async def find_lost(self) -> None:
        """Wait a moment for a dead rank to be known, and for others that died with it. Raises LearnerLost."""
        try:
            await asyncio.wait_for(self._news.wait(), GRACE_S)
        except TimeoutError:
            return
        await asyncio.sleep(TOGETHER_S)
        self.raise_lost()

    async def _end(self, number: int) -> None:
        if (place := self._places.get(number)) is not None and number not in self._ended:
            await self._kill(place)
        self._ranks[number].kill()

    def _loss(self) -> LearnerLost:
        reasons = [f"{self._name(number)} {why}" for number, why in sorted(self._lost.items())]
        return LearnerLost("; ".join(reasons), tuple(sorted(self._lost)))

    def _name(self, number: int) -> str:
        place = self._places.get(number)
        return f"learner rank {number}" + (f" ({place})" if place is not None else "")

    def _lose(self, number: int, why: str) -> None:
        if number in self._lost:
            return
        self._lost[number] = why
        self._news.set()
        self._tell(self._loss())

    async def _lose_when_it_ends(self, number: int, rank: Handle) -> None:
        try:
            await rank.actor.until_dead.remote()
        except RayError as error:
            self._ended.add(number)
            self._lose(number, f"died: {cause_of(error)}")

    async def _lose_the_silent(self) -> None:
        """Kill a rank that leaves every question unanswered; calls to it then fail, and to the others that wait for
        it. It is found long before the deadline of a step."""
        unanswered = [0] * len(self._ranks)
        while True:
            await asyncio.sleep(PING_S)
            answers = await asyncio.gather(*(self._answers(rank) for rank in self._ranks))
            for number, answered in enumerate(answers):
                unanswered[number] = 0 if answered else unanswered[number] + 1
                if unanswered[number] == MAX_SILENT:
                    self._lose(number, f"has not answered for {2 * MAX_SILENT * PING_S:g} s")
                    await self._kill(self._places[number])

    async def _answers(self, rank: Handle) -> bool:
        try:
            await asyncio.wait_for(rank.actor.place.remote(), PING_S)
        except TimeoutError:
            return False
        except RayError:
            return True  # it is dead, which is found otherwise
        return True
