"""One writer at a time: an object that is only ever written under a condition, again and again while its holder lives.

    create, or take over what was given back or has not changed for LEASE_S  -->  beat every BEAT_S  -->  give back

No clock of another machine is read: who waits sees by its own whether the object changes. A holder that cannot reach
the store keeps the lease unless somebody takes it; it learns of that with its next beat.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress

from r1ray.errors import InfrastructureError, UserError
from r1ray.mirror.store import Store, StoreFailed, Tag, Taken

logger = logging.getLogger(__name__)
KEY = "writer.json"
BEAT_S, LEASE_S = 10.0, 60.0
POLLS = 30
"""Looks at another's lease in the time that it takes to run out."""


class LeaseLost(InfrastructureError):
    """Another process has become the writer."""


class Lease:
    """The right to write, of one writer."""

    def __init__(self, store: Store, writer: str, *, beat_s: float = BEAT_S, lease_s: float = LEASE_S) -> None:
        """
        Args:
            writer: name of the writer. A process that takes the place of one that has ended has its name.
        """
        self._store, self._writer, self._beat_s, self._lease_s = store, writer, beat_s, lease_s
        self._tag: Tag = {}
        self._count = 0
        self._beaten = 0.0
        self._lost: str = ""
        self._order = threading.Lock()
        self._over = threading.Event()

    def acquire(self, over: threading.Event | None = None) -> bool:
        """Become the writer; wait until the lease of another, which is silent, has run out. Returns False where
        ``over`` is set before that. Raises UserError for a lease that is not silent, and StoreFailed."""
        over = over or threading.Event()
        try:
            self._take(None)
            return True
        except Taken:
            pass
        start = since = time.monotonic()
        seen = None
        while True:
            found = self._store.get(KEY)
            if found is None:
                raise StoreFailed(f"{self._store.address}/{KEY} comes and goes; needs to be left alone")
            holder, tag, now = _read(found[0]), found[1], time.monotonic()
            if seen is None and not self._may_take(holder):
                named = _named(holder)
                logger.info(f"{self._store.address}: {named} works there, or has ended without a word; waiting for it")
            if tag != seen:
                seen, since = tag, now
            if self._may_take(holder) or now - since >= self._lease_s:
                with suppress(Taken):
                    self._take(tag)
                    return True
            elif now - start >= self._lease_s and now - since < 2 * self._beat_s:
                raise UserError(
                    f"{self._store.address}: another process works there: {_named(holder)}. Wait for it or end it, or "
                    "give this run another name or output_dir."
                )
            if over.wait(self._lease_s / POLLS):
                return False

    def _may_take(self, holder: Mapping[str, object]) -> bool:
        return holder.get("writer") == self._writer or bool(holder.get("is_over"))

    def beat(self) -> None:
        """Show that this writer lives. Raises LeaseLost where another has taken its place, and StoreFailed."""
        with self._order:
            if self._lost:
                raise LeaseLost(self._lost)
            try:
                self._take(self._tag)
            except Taken:
                self._take_again()

    def require(self) -> None:
        """Return if no other process can have become the writer yet. Raises LeaseLost and StoreFailed."""
        if self._lost or time.monotonic() - self._beaten > self._lease_s / 2:
            self.beat()

    def keep(self) -> None:
        """Beat from a thread, until the lease is given back or lost."""
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def give_back(self) -> None:
        """Let the next process have the lease at once. Raises LeaseLost and StoreFailed."""
        self._over.set()
        with self._order:
            if self._lost:
                raise LeaseLost(self._lost)
            try:
                self._store.replace(KEY, self._content(is_over=True), self._tag)
            except Taken as error:
                raise LeaseLost(str(error)) from error

    def remove(self) -> None:
        """Remove the lease of a run that has made nothing. Raises LeaseLost and StoreFailed."""
        self._over.set()
        self.require()
        with self._order:
            self._store.remove([KEY])

    def _keep(self) -> None:
        while not self._over.wait(self._beat_s):
            try:
                self.beat()
            except LeaseLost:
                return
            except StoreFailed:  # whoever copies says so
                continue

    def _take_again(self) -> None:
        """Find out who has written: a beat of this writer may have arrived without an answer, or somebody has removed
        the object, and nobody works there."""
        found = self._store.get(KEY)
        holder = _read(found[0]) if found is not None else {}
        if found is None or holder.get("writer") == self._writer:
            with suppress(Taken):
                self._take(found[1] if found is not None else None)
                return
        self._lost = f"{self._store.address} has another writer: {_named(holder)}"
        raise LeaseLost(self._lost)

    def _take(self, tag: Tag | None) -> None:
        """Write the lease in the place of a version; None: of none. Raises Taken and StoreFailed."""
        self._count += 1
        started, content = time.monotonic(), self._content()
        self._tag = self._store.create(KEY, content) if tag is None else self._store.replace(KEY, content, tag)
        self._beaten = started

    def _content(self, *, is_over: bool = False) -> bytes:
        """Return what the object holds: never the same twice, for its version may be that of its content."""
        return json.dumps(
            {
                "writer": self._writer,
                "beat": self._count,
                "process": os.getpid(),
                "node": socket.gethostname(),
                "is_over": is_over,
            }
        ).encode()


def holder_of(store: Store) -> str:
    """Return a sentence about the writer. Raises StoreFailed."""
    found = store.get(KEY)
    holder = _read(found[0]) if found is not None else {"is_over": True}
    return (
        "nobody works there" if holder.get("is_over") else f"{_named(holder)} works there, or has ended without a word"
    )


def _read(content: bytes) -> dict[str, object]:
    """Return what a lease says; nothing where it is none, which nobody beats."""
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(holder: Mapping[str, object]) -> str:
    return f"process {holder.get('process', '?')} on {holder.get('node', '?')}"
