"""Publishing over fakes of our own actors: what a broken round leaves, who is to blame, and what is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from r1ray.cluster.engines import EnginePool
from r1ray.cluster.publish import RayWeightSync
from r1ray.cluster.snapshot import Snapshot
from r1ray.config import Deadlines, WeightsConfig
from r1ray.errors import InfrastructureError, LearnerLost, WeightSyncError
from r1ray.weights.snapshot import SnapshotPlace
from tests.cluster.pools import Actor, Told, pool_of, refuse, until
from tests.cluster.test_snapshot import Keeper

pytestmark = pytest.mark.faults


@dataclass
class Learner:
    """Sends to the members of the last group; each element of ``trouble`` is raised, or called, in the place of one
    send, or of writing the snapshot alone."""

    trouble: list[Any] = field(default_factory=list)
    actors: Sequence[Actor] = ()
    members: Sequence[Actor] = ()
    sent: list[int] = field(default_factory=list)
    """How many engines each whole round reached."""
    groups: int = 0
    places: list[SnapshotPlace | None] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    """Versions that were written and sent to nobody."""
    address: str = "127.0.0.1"
    incarnation: int = 0

    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        if method == "connect":
            self.members = [actor for _, actor, _ in arguments[0]._engines]
            self.groups += 1
        if method in ("send_weights", "write_weights") and self.trouble:
            trouble = self.trouble.pop(0)
            if callable(trouble):
                await trouble(self.members if method == "send_weights" else self.actors)
            else:
                raise trouble
        if method == "write_weights":
            self.written.append(arguments[0].version)
        if method == "send_weights":
            self.places.append(arguments[0])
            for actor in self.members:
                actor.holds = ARRIVING[0]
            self.sent.append(len(self.members))
        return [(1, "")]

    async def logprobs(self, sequences: Any) -> Any:
        return np.zeros(2, dtype=np.float32)


ARRIVING = [0]


@dataclass
class World:
    """A publisher, and what it works on."""

    actors: list[Actor]
    learner: Learner
    told: Told
    pool: EnginePool
    weights: RayWeightSync
    behind: list[str] = field(default_factory=list)

    async def publish(self, version: int) -> Any:
        ARRIVING[0] = version
        return await self.weights.publish(version)

    @property
    def states(self) -> list[tuple[str, int, str]]:
        return self.told.said[-1]


def world(
    *actors: Actor,
    spawn: Callable[[str], Any] = refuse,
    trouble: Sequence[Any] = (),
    publish_s: float = 300.0,
    has_snapshot: bool = False,
) -> World:
    told, learner = Told(), Learner(list(trouble), actors)
    pool = pool_of(actors, told, spawn)
    weights = RayWeightSync(
        WeightsConfig(),
        pool,
        learner,  # type: ignore[arg-type]
        backend="r1ray_gloo",
        probe=[np.zeros(3, dtype=np.int32)],
        bounds=(1.0, 1.0),
        deadlines=Deadlines(publish_s=publish_s),
        answer_s=1.0,
        snapshot=Snapshot((lambda: Keeper("keeper")) if has_snapshot else None),  # type: ignore[arg-type, return-value]
    )
    made = World(list(actors), learner, told, pool, weights)
    weights.when_behind(lambda: made.behind.append("behind"))
    return made


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


@pytest.mark.parametrize("phase", ["pause", "commit", "resume", "logprobs"])
def test_a_round_in_which_an_engine_dies_goes_on_with_the_others(phase: str) -> None:
    """The other one has the version already if it had arrived, and is not sent it again."""

    async def scenario() -> None:
        fresh = Actor(ready_s=0.2)
        w = world(Actor(dies_in=phase), Actor(), spawn=lambda name: fresh)
        assert (await w.publish(3)).num_resent == 1
        assert w.learner.sent == ([1] if phase == "pause" else [2])
        assert w.pool.engines[1].version == 3 and w.actors[1].calls.count("resume") >= 1
        await until(lambda: bool(w.behind))
        assert [each.state for each in w.pool.engines] == ["held", "serving"]
        assert (await w.publish(3)).num_engines == 1, "the one that is behind, alone"
        assert w.learner.sent[-1] == 1 and w.learner.members == [fresh]
        assert w.states == [("rollout 0", 1, "serving"), ("rollout 1", 0, "serving")]
        w.pool.close()

    run(scenario())


def test_a_version_that_every_engine_holds_is_not_published_again() -> None:
    async def scenario() -> None:
        w = world(Actor(), Actor())
        await w.publish(0)
        before = [list(each.calls) for each in w.actors]
        assert (await w.publish(0)).num_engines == 0
        assert [each.calls for each in w.actors] == before and w.learner.sent == [2]
        w.pool.close()

    run(scenario())


def test_the_same_engines_stay_one_group() -> None:
    async def scenario() -> None:
        w = world(Actor(), Actor())
        for version in range(4):
            await w.publish(version)
        assert (w.learner.groups, w.learner.sent) == (1, [2, 2, 2, 2])
        w.pool.close()

    run(scenario())


def test_who_hung_is_who_answers_no_ping_and_not_who_received_nothing() -> None:
    """The second engine waits behind the first one in the tree of the broadcast: it is what the error names."""

    async def stop_first(members: Sequence[Actor]) -> None:
        members[0].hangs_in += ["ping", "settle"]
        raise WeightSyncError("rollout 1 failed receiving the weights: timeout", engines=("rollout 1",))

    async def scenario() -> None:
        w = world(Actor(), Actor(), spawn=lambda name: Actor(ready_s=60), trouble=[stop_first], publish_s=3.0)
        published = await w.publish(0)
        assert published.num_resent == 1 and w.learner.groups == 2, "a broken group is never used again"
        assert w.actors[0].is_killed and not w.actors[1].is_killed
        assert w.pool.engines[1].failed_rounds == 0, "what it has sampled is handed on"
        assert w.learner.sent == [1]
        w.pool.close()

    run(scenario())


def test_an_engine_whose_front_end_is_stopped_is_not_given_the_time_of_a_bucket() -> None:
    async def scenario() -> None:
        stopped = Actor(hangs_in=["pause", "alive", "ping", "settle"])
        w = world(stopped, Actor(), spawn=lambda name: Actor(ready_s=60))
        async with asyncio.timeout(5):
            assert (await w.publish(0)).num_resent == 1
        assert w.actors[0].is_killed and not w.actors[1].is_killed and w.learner.sent == [1]
        w.pool.close()

    run(scenario())


def test_an_engine_with_a_broken_update_does_not_serve_before_the_next_round() -> None:
    async def break_first(members: Sequence[Actor]) -> None:
        members[0].holds = None  # type: ignore[assignment]
        raise WeightSyncError("the learner could not send")

    async def scenario() -> None:
        w = world(Actor(), Actor(), trouble=[break_first])
        await w.publish(0)
        calls = w.actors[0].calls
        assert calls.index("settle") < calls.index("commit") < calls.index("resume")
        assert "resume" not in calls[: calls.index("settle")]
        w.pool.close()

    run(scenario())


def test_an_engine_that_is_found_wrong_twice_is_replaced() -> None:
    async def scenario() -> None:
        wrong = WeightSyncError("rollout 0 does not hold what it was sent", engines=("rollout 0",))
        w = world(Actor(), Actor(), spawn=lambda name: Actor(), trouble=[wrong, wrong])
        assert (await w.publish(0)).num_resent == 2
        assert w.actors[0].is_killed and not w.actors[1].is_killed
        w.pool.close()

    run(scenario())


def test_three_rounds_that_fail_end_the_run() -> None:
    async def scenario() -> None:
        failing = [WeightSyncError("planted")] * 3
        w = world(Actor(), trouble=failing)
        with pytest.raises(WeightSyncError, match=r"version 0 was sent, sent again, .* planted"):
            await w.publish(0)
        w.pool.close()

    run(scenario())


def test_a_learner_that_hangs_is_lost_and_not_waited_for_three_times() -> None:
    async def hang(members: Sequence[Actor]) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        w = world(Actor(), trouble=[hang] * 3, publish_s=0.3)
        with pytest.raises(LearnerLost, match=r"deadlines\.publish_s.* Every engine answers"):
            await w.publish(0)
        assert len(w.learner.trouble) == 2 and not w.actors[0].is_killed
        w.pool.close()

    run(scenario())


def test_engines_go_on_with_the_live_version_if_the_learner_dies_in_a_round() -> None:
    """One had received something, and waits for weights."""

    async def die(members: Sequence[Actor]) -> None:
        members[1].holds = None  # type: ignore[assignment]
        raise InfrastructureError("a learner rank died")

    async def scenario() -> None:
        w = world(Actor(), Actor())
        await w.publish(4)
        w.learner.trouble.append(die)
        with pytest.raises(InfrastructureError, match="a learner rank died"):
            await w.publish(5)
        assert w.states == [("rollout 0", 0, "serving"), ("rollout 1", 0, "held")]
        assert [each.version for each in w.pool.engines] == [4, None]
        assert (await w.publish(6)).num_engines == 2
        w.pool.close()

    run(scenario())


def test_a_publish_waits_for_an_engine_if_none_lives() -> None:
    async def scenario() -> None:
        w = world(Actor(), spawn=lambda name: Actor(ready_s=0.1))
        w.pool.lose(w.pool.engines[0])
        assert (await w.publish(0)).num_engines == 1
        assert w.pool.engines[0].version == 0
        w.pool.close()

    run(scenario())


# ---------------------------------------------------------------------- the snapshot


def test_engines_of_the_learners_node_take_a_version_that_was_written_while_they_sampled() -> None:
    """They pause for the load alone; no group is formed, and nothing is sent."""

    async def scenario() -> None:
        w = world(Actor(takes_snapshots=True), Actor(takes_snapshots=True), has_snapshot=True)

        async def sampling(members: Sequence[Actor]) -> None:
            assert [each.state for each in w.pool.engines] == ["serving", "serving"]
            assert not any("pause" in each.calls for each in w.actors)

        await w.publish(0)
        w.learner.trouble.append(sampling)
        published = await w.publish(1)
        assert (published.num_engines, published.num_resent) == (2, 0) and not w.learner.trouble
        assert (w.learner.written, w.learner.sent, w.learner.groups) == ([0, 1], [], 0)
        assert [each.holds for each in w.actors] == [1, 1]
        w.pool.close()

    run(scenario())


def test_engines_of_another_node_are_sent_what_the_others_take_from_the_snapshot() -> None:
    async def scenario() -> None:
        w = world(Actor(takes_snapshots=True), Actor(), has_snapshot=True)
        for version in range(3):
            assert (await w.publish(version)).num_engines == 2
        assert w.learner.written == [0], "where they are was found by trying"
        assert w.learner.sent == [1, 1, 1] and w.learner.members == [w.actors[1]]
        assert [each.holds for each in w.actors] == [2, 2]
        w.pool.close()

    run(scenario())


def test_an_engine_that_cannot_load_what_was_written_is_sent_it_in_the_second_round() -> None:
    async def scenario() -> None:
        w = world(Actor(takes_snapshots=True, fails_in="load_snapshot"), Actor(takes_snapshots=True), has_snapshot=True)
        published = await w.publish(0)
        assert (published.num_engines, published.num_resent) == (2, 1)
        assert w.learner.members == [w.actors[0]], "the other one has it"
        assert [each.holds for each in w.actors] == [0, 0]
        w.pool.close()

    run(scenario())


def test_an_engine_in_the_place_of_a_lost_one_serves_from_the_snapshot_without_the_learner() -> None:
    async def scenario() -> None:
        fresh = Actor(takes_snapshots=True)
        w = world(Actor(), Actor(), spawn=lambda name: fresh, has_snapshot=True)
        await w.publish(0)
        w.pool.lose(w.pool.engines[0])
        await until(lambda: w.states == [("rollout 0", 1, "serving"), ("rollout 1", 0, "serving")])
        assert w.learner.sent == [2] and w.behind == []
        order = [each for each in fresh.calls if each in ("load_snapshot", "commit", "resume")]
        assert order == ["load_snapshot", "commit", "resume"]
        assert (await w.publish(1)).num_engines == 2 and w.learner.sent == [2, 1], "it takes this one from there too"
        w.pool.close()

    run(scenario())


def test_two_engines_come_back_at_the_same_time() -> None:
    async def scenario() -> None:
        spawned = [Actor(ready_s=0.2, takes_snapshots=True) for _ in range(2)]
        unused = list(spawned)
        w = world(Actor(), Actor(), spawn=lambda name: unused.pop(), has_snapshot=True)
        await w.publish(0)
        for engine in list(w.pool.engines):
            w.pool.lose(engine)
        async with asyncio.timeout(0.4):
            while [state for _, _, state in w.states] != ["serving", "serving"]:
                await asyncio.sleep(0.01)
        w.pool.close()

    run(scenario())


def test_an_engine_that_the_snapshot_does_not_reach_waits_for_the_learner() -> None:
    async def scenario() -> None:
        w = world(Actor(), Actor(), spawn=lambda name: Actor(), has_snapshot=True)
        await w.publish(0)
        w.pool.lose(w.pool.engines[0])
        await until(lambda: bool(w.behind))
        assert (await w.publish(0)).num_engines == 1
        assert w.learner.sent == [2, 1] and w.learner.places[1] is None, "the version is kept already"
        w.pool.close()

    run(scenario())


def test_an_engine_that_loads_while_another_version_is_published_loads_that_too_before_it_serves() -> None:
    async def scenario() -> None:
        fresh = Actor(takes_snapshots=True, load_s=0.3)
        w = world(Actor(), Actor(), spawn=lambda name: fresh, has_snapshot=True)
        await w.publish(0)
        w.pool.lose(w.pool.engines[0])
        await until(lambda: "load_snapshot" in fresh.calls)
        assert (await w.publish(1)).num_engines == 1, "it is not waited for"
        assert w.states[0] != ("rollout 0", 1, "serving")
        await until(lambda: w.states[0] == ("rollout 0", 1, "serving"))
        assert fresh.calls.count("load_snapshot") == 2 and w.pool.engines[0].version == 1
        w.pool.close()

    run(scenario())


def test_an_engine_whose_load_fails_is_sent_the_weights_by_the_learner() -> None:
    async def scenario() -> None:
        fresh = Actor(fails_in="load_snapshot")
        w = world(Actor(), Actor(), spawn=lambda name: fresh, has_snapshot=True)
        await w.publish(0)
        w.pool.lose(w.pool.engines[0])
        await until(lambda: bool(w.behind))
        assert not w.pool.engines[0].is_lost
        await w.publish(0)
        assert w.states == [("rollout 0", 1, "serving"), ("rollout 1", 0, "serving")]
        w.pool.close()

    run(scenario())


def test_after_a_round_in_which_the_learner_died_broken_engines_take_the_live_version_back() -> None:
    async def die(members: Sequence[Actor]) -> None:
        members[0].holds = None  # type: ignore[assignment]
        raise InfrastructureError("a learner rank died")

    async def scenario() -> None:
        w = world(Actor(takes_snapshots=True), Actor(takes_snapshots=True), has_snapshot=True)
        await w.publish(4)
        w.learner.trouble.append(die)
        with pytest.raises(InfrastructureError, match="a learner rank died"):
            await w.publish(5)
        await until(lambda: w.states == [("rollout 0", 0, "serving"), ("rollout 1", 0, "serving")])
        assert [each.version for each in w.pool.engines] == [4, 4]
        w.pool.close()

    run(scenario())


def test_an_engine_that_is_lost_while_the_learner_restarts_serves_the_live_version_and_then_the_new_one() -> None:
    """A rank died in the middle of a round; the ranks that come after it meet both engines in a group of their own."""

    async def scenario() -> None:
        fresh = Actor(takes_snapshots=True)
        w = world(Actor(takes_snapshots=True), Actor(takes_snapshots=True), spawn=lambda name: fresh, has_snapshot=True)
        await w.publish(4)
        w.learner.trouble.append(LearnerLost("learner rank 1 died", (1,)))
        with pytest.raises(LearnerLost):
            await w.publish(5)
        assert w.states == [("rollout 0", 0, "serving"), ("rollout 1", 0, "serving")]
        w.pool.lose(w.pool.engines[0])
        await until(lambda: w.states == [("rollout 0", 1, "serving"), ("rollout 1", 0, "serving")])
        assert [each.version for each in w.pool.engines] == [4, 4] and w.behind == []
        assert w.learner.written == [4], "without the learner"
        w.learner.incarnation += 1
        assert (await w.publish(7)).num_engines == 2
        assert w.learner.written == [4, 7] and w.learner.sent == []
        assert [each.version for each in w.pool.engines] == [7, 7]
        w.pool.close()

    run(scenario())


def test_new_ranks_meet_engines_that_they_have_not_met_although_those_are_the_same() -> None:
    async def scenario() -> None:
        w = world(Actor(), Actor())
        await w.publish(0)
        w.learner.incarnation += 1
        await w.publish(2)
        await w.publish(3)
        assert (w.learner.groups, w.learner.sent) == (2, [2, 2, 2])
        w.pool.close()

    run(scenario())


def test_a_rank_and_an_engine_that_die_in_one_round_leave_the_other_engine_serving() -> None:
    async def die(members: Sequence[Actor]) -> None:
        members[0].death.set()
        raise LearnerLost("learner rank 0 died", (0,))

    async def scenario() -> None:
        w = world(Actor(), Actor(), spawn=lambda name: Actor(takes_snapshots=True), has_snapshot=True)
        await w.publish(4)
        w.learner.trouble.append(die)
        with pytest.raises(LearnerLost):
            await w.publish(5)
        await until(lambda: w.states == [("rollout 0", 1, "serving"), ("rollout 1", 0, "serving")])
        assert [each.version for each in w.pool.engines] == [4, 4]
        w.pool.close()

    run(scenario())


def test_a_version_whose_probe_the_learner_did_not_survive_is_taken_back() -> None:
    """All engines hold it then, but the learner goes back to a checkpoint, and the next version has another number."""

    async def die(sequences: Any) -> Any:
        raise LearnerLost("learner rank 0 died", (0,))

    async def scenario() -> None:
        w = world(Actor(takes_snapshots=True), Actor(takes_snapshots=True), has_snapshot=True)
        await w.publish(4)
        probe = w.learner.logprobs
        w.learner.logprobs = die  # type: ignore[method-assign]
        with pytest.raises(LearnerLost):
            await w.publish(5)
        await until(lambda: w.states == [("rollout 0", 0, "serving"), ("rollout 1", 0, "serving")])
        assert [each.version for each in w.pool.engines] == [each.holds for each in w.actors] == [4, 4]
        w.learner.logprobs = probe  # type: ignore[method-assign]
        w.learner.incarnation += 1
        assert (await w.publish(7)).num_engines == 2
        w.pool.close()

    run(scenario())
