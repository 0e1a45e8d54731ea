"""The sessions of one process: their host, the self-test, and a limit on those that are idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import sys
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from r1ray.sandbox.cell import Cell
from r1ray.sandbox.home import UNSAFE, Home
from r1ray.sandbox.probes import session_test
from r1ray.sandbox.session import Session
from r1ray.sandbox.session_slot import SessionLimits, SessionSlot

logger = logging.getLogger(__name__)

IDLE = "it had been idle for longest, and there were too many"
HEAVY = "idle sessions held too much memory, and this one the most"
IDLE_MIB = 32
"""Mean memory of an idle session if all are idle. One may have more if others have less."""

FILES_OF_A_SESSION, FEW_FILES = 4, 1024


async def start_sessions(
    *,
    limits: SessionLimits | None = None,
    max_idle: int = 256,
    mode: str = "auto",
    python: str | None = None,
    allowed: Sequence[str] = (),
) -> Sessions:
    """Start a host of sessions and try to break out of them.

    Args:
        max_idle: number of sessions that are kept while they compute nothing.
        mode: see :class:`r1ray.sandbox.pool.Sandbox`, also for ``python`` and ``allowed``.

    Raises:
        SandboxUnavailable: no working isolation is available.
        UserError: a package of ``allowed`` is not installed.
    """
    home = await asyncio.to_thread(Home, num_users=1, mode=mode, python=python, allowed=allowed, sessions=True)
    made = Sessions(home, limits or SessionLimits(), max_idle=max(2, max_idle))  # the self-test opens two
    try:
        if home.settings.mode == "none":
            print(UNSAFE, file=sys.stderr, flush=True)
        else:
            await session_test(made)
        made.max_idle = max_idle
    except BaseException:
        await made.close()
        raise
    return made


class Sessions:
    """Opens sessions and runs their cells. Belongs to one event loop."""

    def __init__(self, home: Home, limits: SessionLimits, *, max_idle: int) -> None:
        self._home, self._limits, self.max_idle = home, limits, max_idle
        _raise_limit_of_files(max_idle)
        # One thread starts and ends sessions: the host answers one request at a time.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sessions")
        self._host: SessionSlot | None = None
        self._idle: OrderedDict[Session, None] = OrderedDict()
        """Sessions that compute nothing; the one that has been idle for longest is first."""
        self._has_warned = False
        self._unwanted: set[asyncio.Future[None]] = set()
        """Tasks that end sessions whose opening was given up."""

    @property
    def mode(self) -> str:
        """The kind of isolation."""
        return self._home.settings.mode

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    async def open(self) -> Session:
        """Start a session. Raises InfrastructureError, SandboxUnavailable."""
        opening = asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        try:
            session = await asyncio.shield(opening)
        except asyncio.CancelledError:
            ending = asyncio.ensure_future(self._end_unwanted(opening))
            self._unwanted.add(ending)
            ending.add_done_callback(self._unwanted.discard)
            raise
        await self._rest(session)
        return session

    async def _end_unwanted(self, opening: asyncio.Future[Session]) -> None:
        with contextlib.suppress(Exception):
            await (await opening).end("nobody waited for it")

    def _open(self) -> Session:
        if self._host is None or not self._host.is_alive:
            if self._host is not None:
                self._host.close()
            self._host = SessionSlot(self._home.settings, 0, None)
        return Session(self._host, self._limits, self._thread)

    async def run(self, session: Session, source: str) -> Cell:
        """Execute a cell. Raises InfrastructureError."""
        async with session.turn:
            self._idle.pop(session, None)
            cell = await session.run(source)
        if not session.why_lost:
            await self._rest(session)
        return cell

    async def _rest(self, session: Session) -> None:
        if not session.turn.locked():  # else its next cell is running
            self._idle[session] = None
            self._idle.move_to_end(session)
        while len(self._idle) > self.max_idle:
            await self._close_idle(next(iter(self._idle)), IDLE)
        while sum(each.memory_mib for each in self._idle) > IDLE_MIB * self.max_idle:
            await self._close_idle(max(self._idle, key=lambda each: each.memory_mib), HEAVY)

    async def _close_idle(self, session: Session, why: str) -> None:
        del self._idle[session]
        if not self._has_warned:
            self._has_warned = True
            logger.warning(
                f"max_idle={self.max_idle}: a session of the code interpreter was closed: {why}. Its trajectory is "
                "informed at its next call. Further closed sessions are not logged."
            )
        await session.end(why)

    async def end(self, session: Session) -> None:
        """End a session. Idempotent."""
        self._idle.pop(session, None)
        await session.end("it was closed")

    async def close(self) -> None:
        """End all sessions."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._host is not None:
            self._host.close()
        self._home.close()


def _raise_limit_of_files(max_idle: int) -> None:
    """Raise the limit of open files, as far as this process may, for so many idle sessions and as many that compute."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FEW_FILES + 2 * FILES_OF_A_SESSION * max_idle
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft not in (resource.RLIM_INFINITY, hard) and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
