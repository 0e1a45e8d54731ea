"""Questions to a whole cluster, each under a deadline: facts of every node, and of what lies between nodes.

    nodes           -->  Probes (an actor on each)  --ask-->  {address: Answer}
    reservation     -->  Party actors in the places of the run's actors  -->  measure()

Whoever does not answer in time, or cannot, is an Answer with an error; nothing here waits for ever.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from r1ray.cluster.host import Handle, host, import_path
from r1ray.cluster.placement import Node, Reservation
from r1ray.cluster.probe import VISIBLE_S, NodeProbe
from r1ray.errors import R1RayError
from r1ray.runtime.threads import thread_environment

if TYPE_CHECKING:
    from r1ray.cluster.collective import Timed

T = TypeVar("T")
CALLS = 16
"""Questions that one probe answers at a time: one that hangs does not hold up the others."""
CLOCK_ROUNDS = 5
MIB = 1 << 20
BYTES_ON_CPUS, BYTES_ON_GPUS = 16 * MIB, 256 * MIB
"""What is sent to measure bandwidth."""


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """What a node answered, or why it did not."""

    value: T | None
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Clock:
    """A node's clock against this process's."""

    ahead_s: float
    error_s: float
    """Half of the round trip: the true difference is at most so far away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One collective operation between the actors of the run."""

    operation: str
    between: str
    backend: str
    num_bytes: int = 0
    seconds: float = 0.0
    """Of one operation, at the slowest party."""
    took_s: float = 0.0
    """Of the whole measurement."""
    error: str | None = None


class Probes:
    """A :class:`NodeProbe` on each node."""

    def __init__(self, on: Sequence[Node]) -> None:
        actor = ray.remote(num_cpus=0, max_concurrency=CALLS)(NodeProbe)
        self.nodes = tuple(on)
        self._actors = {
            node.id: actor.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
                runtime_env={"env_vars": import_path()},
            ).remote()
            for node in on
        }

    def ask(
        self,
        method: str,
        *arguments: Any,
        deadline_s: float,
        of: Callable[[Node], tuple[Any, ...] | None] | None = None,
    ) -> dict[Node, Answer[Any]]:
        """Call a method of every probe at once.

        Args:
            of: further arguments for each node; None for a node that is not asked.
        """
        started = time.monotonic()
        asked = {}
        for node in self.nodes:
            more = of(node) if of else ()
            if more is not None:
                asked[getattr(self._actors[node.id], method).remote(*arguments, *more)] = node
        answers = {}
        waiting = list(asked)
        while waiting:
            left = max(0.0, started + deadline_s - time.monotonic())
            ready, waiting = ray.wait(waiting, num_returns=1, timeout=left)
            for each in ready:
                answers[asked[each]] = _answer(each, started)
            if not ready:
                break
        for each in waiting:
            answers[asked[each]] = Answer(None, f"no answer within {deadline_s:g} s", time.monotonic() - started)
        return {node: answers[node] for node in self.nodes if node in answers}

    def leave_out(self, nodes: Collection[Node]) -> None:
        """Ask these no more."""
        self.nodes = tuple(node for node in self.nodes if node not in nodes)

    def clocks(self, *, deadline_s: float) -> dict[Node, Answer[Clock]]:
        """Each clock, by the fastest of a few round trips (Cristian's algorithm)."""
        return {node: _clock(self._actors[node.id], deadline_s) for node in self.nodes}

    def reach(self, *, deadline_s: float) -> dict[Node, Answer[dict[str, str]]]:
        """For each node the places of others, on ports that were just opened there, which it cannot connect to."""
        places = self.ask("listen", deadline_s=deadline_s)
        open_places = [answer.value for answer in places.values() if answer.error is None]
        return self.ask("reach", open_places, deadline_s=deadline_s)

    def exchange(self, folder: Path, *, deadline_s: float) -> dict[Node, Answer[str | None]]:
        """Write a file here that every node reads, and read a file that each has written. The value is what went wrong.
        Raises OSError where it cannot be written here."""
        token, is_new = secrets.token_hex(8), not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        ours = folder / f".r1ray-doctor-{token}"
        theirs = {node: folder / f".r1ray-doctor-{token}-{number}" for number, node in enumerate(self.nodes)}
        try:
            ours.write_text(token)
            answers = self.ask(
                "exchange", str(ours), token, deadline_s=deadline_s, of=lambda node: (str(theirs[node]),)
            )
            until = time.monotonic() + VISIBLE_S
            return {
                node: Answer("what it wrote is not seen here", None, answer.seconds)
                if answer.error is None and answer.value is None and not _seen(theirs[node], until)
                else answer
                for node, answer in answers.items()
            }
        finally:
            for file in (ours, *theirs.values()):
                file.unlink(missing_ok=True)
            if is_new:
                with suppress(OSError):  # somebody else uses it by now
                    folder.rmdir()

    def close(self) -> None:
        for actor in self._actors.values():
            ray.kill(actor)


def _answer(reference: Any, started: float) -> Answer[Any]:
    try:
        return Answer(ray.get(reference, timeout=1.0), None, time.monotonic() - started)
    except Exception as error:  # whatever a node's own Python or file system raises is its answer
        return Answer(None, reason_of(error), time.monotonic() - started)


def reason_of(error: BaseException) -> str:
    """What a node raised, in one line."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, R1RayError):
        return str(cause)
    if isinstance(error, RayTaskError) and cause is not None:
        return f"{type(cause).__name__}: {cause}".splitlines()[0]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, RayActorError) and lines:
        return lines[-1]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _clock(actor: Any, deadline_s: float) -> Answer[Clock]:
    started = time.monotonic()
    best: Clock | None = None
    try:
        for _ in range(CLOCK_ROUNDS):
            before, at = time.time(), time.perf_counter()
            theirs = ray.get(actor.now.remote(), timeout=max(0.1, started + deadline_s - time.monotonic()))
            half = (time.perf_counter() - at) / 2
            if best is None or half < best.error_s:
                best = Clock(theirs - before - half, half)
    except GetTimeoutError:
        return Answer(None, f"no answer within {deadline_s:g} s", time.monotonic() - started)
    except RayError as error:
        return Answer(None, reason_of(error), time.monotonic() - started)
    return Answer(best, None, time.monotonic() - started)


def _seen(file: Path, until: float) -> bool:
    while not file.exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True


# ---------------------------------------------------------------------- placement and collectives


def nodes_of(reservation: Reservation, on: Sequence[Node]) -> dict[str, set[str]]:
    """Ids of the nodes on which actors of each section run, or, where they take nothing of a node, may run."""
    found = {}
    for kind in reservation.need.kinds:
        allowed = {node.id for node in on if node.is_labelled(kind.labels)}
        found[kind.section] = set(reservation.nodes(kind.section)) or allowed
    return found


def measure(reservation: Reservation, *, timeout_s: float) -> list[Measurement]:
    """All-reduce between the learner ranks, and broadcast from rank 0 to the rollout engines, in their places. After a
    failure the other one is measured by new actors: the old ones may still wait for each other."""
    need, found = reservation.need, list[Measurement]()
    num_ranks, num_engines = need.count("learner"), need.count("rollout") + need.count("eval")
    asked = [
        ("all_reduce", num_ranks > 1, f"{num_ranks} learner ranks", ("learner",)),
        (
            "broadcast",
            num_engines > 0,
            f"learner rank 0 and {num_engines} engine{'s' * (num_engines != 1)}",
            ("learner", "rollout", "eval"),
        ),
    ]
    started: list[Handle] = []
    try:
        for operation, is_asked, between, sections in asked:
            if not is_asked:
                continue
            uses_gpus = all(need.of(section).gpus for section in sections if need.count(section))
            plan = Measurement(
                operation=operation.replace("_", "-"),
                between=between,
                backend="nccl" if uses_gpus else "gloo",
                num_bytes=BYTES_ON_GPUS if uses_gpus else BYTES_ON_CPUS,
            )
            if not started:
                started += [party for each in asked[-1][3] for party in _parties(reservation, each)]
            learners, engines = started[:num_ranks], started[num_ranks:]
            measured = _measure(plan, learners if operation == "all_reduce" else [learners[0], *engines], timeout_s)
            found.append(measured)
            if measured.error is not None:
                _end(started)
    finally:
        _end(started)
    return found


def _end(parties: list[Handle]) -> None:
    for party in parties:
        party.kill()
    parties.clear()


def _parties(reservation: Reservation, section: str) -> list[Handle]:
    environment: dict[str, Any] = {"runtime_env": {"env_vars": thread_environment(1) | import_path()}}
    return [
        host("r1ray.cluster.collective:Party", **environment, **reservation.options(section, index, part))
        for kind in reservation.need.kinds
        if kind.section == section
        for index in range(kind.count)
        for part in range(kind.nodes)
    ]


def _measure(plan: Measurement, parties: Sequence[Handle], timeout_s: float) -> Measurement:
    started = time.monotonic()
    timed: list[Timed] = []
    places: list[tuple[str, int]] = []
    error = _wait([party.alive() for party in parties], timeout_s)[1]
    if error is None:
        places, error = _wait([parties[0].place.remote()], timeout_s)
    if error is None:
        method = plan.operation.replace("-", "_")
        size = len(parties)
        calls = [
            getattr(party, method).remote(*places[0], rank, size, plan.backend, timeout_s, num_bytes=plan.num_bytes)
            for rank, party in enumerate(parties)
        ]
        timed, error = _wait(calls, timeout_s)
    if error is None and not all(each.is_right for each in timed):
        error = "what arrived is not what was sent"
    seconds = max((each.seconds for each in timed), default=0.0)
    return replace(plan, seconds=seconds, error=error, took_s=time.monotonic() - started)


def _wait(references: Sequence[Any], timeout_s: float) -> tuple[list[Any], str | None]:
    """All of the values, or why one is not there."""
    try:
        return list(ray.get(list(references), timeout=timeout_s)), None
    except GetTimeoutError:
        return [], f"no answer within {timeout_s:g} s"
    except RayError as error:
        return [], reason_of(error)
