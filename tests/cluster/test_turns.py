"""Turns on shared devices, over fakes of our own actors: their order, and what becomes of who does not keep it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from r1ray.cluster.engine import updating
from r1ray.cluster.publish import RayWeightSync
from r1ray.cluster.room import Room
from r1ray.cluster.snapshot import Snapshot
from r1ray.cluster.turns import SharedDevices
from r1ray.config import Deadlines, WeightsConfig
from r1ray.errors import InfrastructureError, LearnerLost, WeightSyncError
from tests.cluster.pools import Actor, Told, pool_of, refuse, until
from tests.cluster.test_publish import ARRIVING, Learner

OWN = ("sleep", "wake", "pause", "commit", "resume")
"""Calls of engines that are looked at; ``logprobs`` are of a probe."""


class Sharing(Learner):
    """A learner that says where it goes."""

    def __init__(self, said: list[str], trouble: Sequence[Any] = ()) -> None:
        super().__init__(list(trouble))
        self.said = said
        self.make_room: Callable[[], Any] = refuse  # type: ignore[assignment]
        self.hangs_in = ""

    def before_restart(self, callback: Callable[[], Any]) -> None:
        self.make_room = callback

    async def each(self, method: str, *arguments: Any, **keywords: Any) -> list[Any]:
        self.said.append(f"learner {method}")
        if method == self.hangs_in:
            await asyncio.Event().wait()
        return await super().each(method, *arguments, **keywords)


class Said(Actor):
    """An engine that says what it does among the others."""

    def __init__(self, said: list[str], name: str = "engine", **how: Any) -> None:
        super().__init__(**how)
        self._said, self._own_name = said, name

    async def _answer(self, name: str, *arguments: Any) -> Any:
        if name in OWN:
            self._said.append(" ".join([self._own_name, name, *map(str, arguments)]))
        return await super()._answer(name, *arguments)


class World:
    """A publisher on shared devices; at first the engines sleep."""

    def __init__(
        self,
        said: list[str],
        *actors: Actor,
        spawn: Callable[[str], Any] = refuse,
        level: int = 2,
        trouble: Sequence[Any] = (),
        publish_s: float = 300.0,
    ) -> None:
        self.said, self.room = said, Room()
        self.learner = Sharing(said, trouble)
        self.pool = pool_of(actors, Told(), spawn, room=self.room)
        learner: Any = self.learner
        self.turns = SharedDevices(self.pool, learner, self.room, level=level, phase_s=publish_s / 3)
        self.weights = RayWeightSync(
            WeightsConfig(probe_every=1000),
            self.pool,
            learner,
            backend="r1ray_gloo",
            probe=[],
            bounds=(1.0, 1.0),
            deadlines=Deadlines(publish_s=publish_s),
            answer_s=1.0,
            snapshot=Snapshot(None),
            turns=self.turns,
        )
        self.weights._num_publishes = 3  # no probe is due

    async def publish(self, version: int) -> Any:
        ARRIVING[0] = version
        return await self.weights.publish(version)

    @property
    def on_device(self) -> list[str]:
        return [engine.on_device for engine in self.pool.engines]


def second(said: list[str], **how: Any) -> Callable[[str], Said]:
    """Return what starts an engine in the place of a lost one."""

    def spawn(name: str) -> Said:
        said.append("spawn")
        return Said(said, "second", **how)

    return spawn


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, 20))


def test_a_step_takes_the_turns_in_their_order() -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said))
        await w.publish(0)
        said.clear()
        await w.weights.rest()
        assert said == ["engine sleep 2", "learner come_back"]
        said.clear()
        published = await w.publish(1)
        assert said == [
            *("learner step_aside", "engine wake weights", "engine pause 1", "learner send_weights", "engine commit 1"),
            *("learner leave", "engine wake kv_cache", "engine resume"),
        ]
        assert w.on_device == ["all"] and set(published.turn_s) == {"hand_over", "sleep", "wake"}
        assert published.turn_s["hand_over"] >= published.turn_s["sleep"] + published.turn_s["wake"] > 0
        w.pool.close()

    run(scenario())


@pytest.mark.parametrize("level", [1, 2])
def test_weights_that_are_given_up_are_sent_again_where_the_version_stays(level: int) -> None:
    """Groups were gone when the learner wanted them: engines go on with the version that they had."""

    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said), level=level)
        await w.publish(0)
        await w.weights.rest()
        assert w.pool.engines[0].version == (None if level == 2 else 0)
        said.clear()
        await w.weights.go_on(0)
        assert ("learner send_weights" in said) == (level == 2) and said[-1] == "engine resume"
        assert (w.on_device, w.pool.engines[0].version) == (["all"], 0)
        said.clear()
        await w.weights.go_on(0)
        assert said == [], "they have the devices"
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_an_engine_that_dies_asleep_is_replaced_once_the_learner_has_left() -> None:
    async def scenario() -> None:
        said: list[str] = []
        first = Said(said, "first")
        w = World(said, first, spawn=second(said, ready_s=0.05))
        await w.publish(0)
        await w.weights.rest()
        first.death.set()
        await until(lambda: not w.pool.living)
        await asyncio.sleep(0.05)
        assert "spawn" not in said, "the learner trains where it would start"
        said.clear()
        await w.publish(1)
        assert said[:4] == ["learner leave", "spawn", "second sleep 2", "learner come_back"]
        assert said[-1] == "second resume" and (w.on_device, w.pool.engines[0].version) == (["all"], 1)
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_engines_that_all_died_asleep_are_replaced_where_groups_are_gone_too() -> None:
    async def scenario() -> None:
        said: list[str] = []
        first = Said(said, "first")
        w = World(said, first, spawn=second(said))
        await w.publish(0)
        await w.weights.rest()
        first.death.set()
        await until(lambda: not w.pool.living)
        await w.weights.go_on(0)
        assert (w.on_device, w.pool.engines[0].version, said[-1]) == (["all"], 0, "second resume")
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_the_learner_waits_for_an_engine_that_is_starting_where_it_wants_to_be() -> None:
    async def scenario() -> None:
        said: list[str] = []
        first, other = Said(said, "first"), Said(said, "other")
        w = World(said, first, other, spawn=second(said, ready_s=0.2))
        await w.publish(0)
        first.death.set()
        await until(lambda: "spawn" in said)
        await w.weights.rest()
        assert said.index("second sleep 2") < said.index("learner come_back")
        assert w.on_device == ["nothing", "nothing"]
        w.pool.close()

    run(scenario())


@pytest.mark.faults
@pytest.mark.parametrize("method", ["sleep", "wake"])
def test_an_engine_that_hangs_in_a_turn_is_lost_and_the_others_take_it(method: str) -> None:
    async def scenario() -> None:
        said: list[str] = []
        first, other = Said(said, "first"), Said(said, "other")
        w = World(said, first, other, spawn=lambda name: Said(said, "second"), publish_s=1.5)
        await w.publish(0)
        first.hangs_in += [method]
        await w.weights.rest()
        await w.publish(1)
        assert first.is_killed and not other.is_killed
        assert w.pool.engines[1].version == 1 and w.pool.engines[1].on_device == "all"
        await until(lambda: w.pool.engines[0].incarnation == 1 and not w.pool.engines[0].is_lost)
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_the_only_engine_that_hangs_as_it_wakes_is_replaced_within_the_publish() -> None:
    async def scenario() -> None:
        said: list[str] = []
        first = Said(said, "first")
        w = World(said, first, spawn=lambda name: Said(said, "second"), publish_s=1.5)
        await w.publish(0)
        await w.weights.rest()
        first.hangs_in += ["wake"]
        await w.publish(1)
        assert first.is_killed and (w.on_device, w.pool.engines[0].version) == (["all"], 1)
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_a_learner_that_is_lost_while_engines_sleep_finds_them_asleep_when_it_starts_again() -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said))
        await w.publish(0)
        await w.weights.rest()
        said.clear()
        await w.learner.make_room()
        w.learner.incarnation += 1
        assert said == [] and w.on_device == ["nothing"]
        await w.publish(3)
        assert "learner come_back" not in said, "new ranks are there with everything"
        assert (w.on_device, w.pool.engines[0].version) == (["all"], 3)
        w.pool.close()

    run(scenario())


@pytest.mark.faults
@pytest.mark.parametrize("level", [1, 2])
def test_engines_are_put_to_sleep_before_a_learner_starts_again_that_was_lost_in_a_round(level: int) -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said), level=level)
        await w.publish(0)
        await w.weights.rest()
        w.learner.trouble.append(LearnerLost("learner rank 0 died", (0,)))
        with pytest.raises(LearnerLost):
            await w.publish(1)
        assert w.on_device == ["weights"] and said[-1] != "engine resume", "there is no cache yet"
        await w.learner.make_room()
        w.learner.incarnation += 1
        assert w.on_device == ["nothing"]
        await w.publish(3)
        assert (w.on_device, w.pool.engines[0].version) == (["all"], 3)
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_a_learner_that_does_not_leave_is_lost() -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said), publish_s=0.6)
        w.learner.hangs_in = "leave"
        with pytest.raises(LearnerLost, match="the learner group"):
            await w.publish(0)
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_a_round_that_broke_is_sent_again_without_a_turn_of_the_learner() -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said), trouble=[WeightSyncError("planted")])
        assert (await w.publish(0)).num_resent == 1
        assert "learner come_back" not in said and said.count("engine sleep 2") == 0
        w.pool.close()

    run(scenario())


def test_an_engine_that_loads_a_snapshot_falls_asleep_after_it() -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said))
        await w.publish(0)
        with updating(w.pool.engines):
            resting = asyncio.ensure_future(w.weights.rest())
            await asyncio.sleep(0.1)
            assert "engine sleep 2" not in said
        await resting
        assert said[-2:] == ["engine sleep 2", "learner come_back"]
        w.pool.close()

    run(scenario())


@pytest.mark.faults
def test_an_infrastructure_error_of_the_learner_is_raised_as_it_is() -> None:
    async def scenario() -> None:
        said: list[str] = []
        w = World(said, Said(said), trouble=[InfrastructureError("a learner rank died")])
        with pytest.raises(InfrastructureError, match="a learner rank died"):
            await w.publish(0)
        w.pool.close()

    run(scenario())
