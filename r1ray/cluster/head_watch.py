"""The watch over Ray itself: no run goes on without the head of its cluster, or without this node's part of it.

Ray ends a process whose head is gone after a minute, with code 1 and without a word that says what to do. Where this
node's part (its raylet) is gone, the actors die and no others can be started, which looks like a fault of theirs.
"""

from __future__ import annotations

import os
import sys
import threading
import time

import ray
from ray.exceptions import RayError

from r1ray.cluster.reachable import why_unreachable
from r1ray.runtime.exit_codes import FAULT
from r1ray.telemetry.driver_status import end_at_once

PING_S, ANSWER_S = 5.0, 5.0
"""Between two looks, and for an answer of the head."""
RECONNECT = "RAY_gcs_rpc_server_reconnect_timeout_s"
"""Ray's own setting, seconds: so long a head may take to start again."""
EARLIER_S = 15.0
"""So much sooner than Ray this process ends."""


def watch() -> None:
    """Watch the cluster that this process is part of, from a thread, for as long as it is. (A client of ``ray://`` is
    part of none.)"""
    if ray.util.client.ray.is_connected():
        return
    context = ray.get_runtime_context()
    look = Look(context.gcs_address, context.get_node_id(), patience_s=float(os.environ.get(RECONNECT, 60)) - EARLIER_S)
    threading.Thread(target=_follow, args=(look,), name="watch over Ray", daemon=True).start()


class Look:
    """Knowledge of one cluster."""

    def __init__(self, address: str, node: str, *, patience_s: float) -> None:
        """
        Args:
            address: of the head.
            node: Ray's id of this one.
            patience_s: how long the head may be away.
        """
        self._address, self._node, self._patience_s = address, node, patience_s
        self._seen = time.monotonic()

    def loss(self) -> str | None:
        """Look once; return what is lost, None where nothing is."""
        if problem := why_unreachable(self._address, timeout_s=ANSWER_S):
            away_s = time.monotonic() - self._seen
            return None if away_s < self._patience_s else self._head_is_gone(away_s, problem)
        self._seen = time.monotonic()
        try:
            nodes = {each["NodeID"]: each["Alive"] for each in ray.nodes()}
        except RayError:
            return None  # it is being left
        return (
            None if nodes.get(self._node, True) else "Ray's process on this node (its raylet) is gone, and all actors."
        )

    def _head_is_gone(self, away_s: float, problem: str) -> str:
        return f"the head of the Ray cluster at {self._address} has not been there for {away_s:.0f} s: {problem}."


def _follow(look: Look) -> None:
    while ray.is_initialized():
        if loss := look.loss():
            _end(loss)
        time.sleep(PING_S)


def _end(loss: str) -> None:
    """End this process, without goodbyes to who is not there any more."""
    message = f"RayLost: {loss} The same command goes on from the last checkpoint."
    print(f"r1ray: {message}", file=sys.stderr, flush=True)
    end_at_once(message)
    os._exit(FAULT)
