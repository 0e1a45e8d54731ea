from __future__ import annotations

import asyncio
from typing import Any

from r1ray.rollout.placement import EngineState, Home, Placement


def state(index: int, *, num_slots: int = 4, state: Any = "serving") -> EngineState:
    engine: Any = object()
    return EngineState(f"engine {index}", 0, engine, num_slots, state)


def test_what_placement_keeps_does_not_grow_with_the_trajectories_that_it_has_placed() -> None:
    async def scenario() -> None:
        placement = Placement()
        placement.update([state(index) for index in range(3)])
        for number in range(5000):
            slot = await placement.acquire()
            placement.release(slot, kv_tokens=100_000 - number)  # every entry overtakes the one before
        assert len(placement._heap) < 100

    asyncio.run(scenario())


def test_a_slot_that_nobody_waits_for_any_more_goes_to_the_next() -> None:
    async def scenario() -> None:
        placement = Placement()
        placement.update([state(0, num_slots=1)])
        slot = await placement.acquire()
        given_up, patient = asyncio.create_task(placement.acquire()), asyncio.create_task(placement.acquire())
        await asyncio.sleep(0)
        placement.release(slot)
        given_up.cancel()  # in the same turn in which it is given the slot
        assert await asyncio.wait_for(patient, 1) is slot and slot.running == 1

    asyncio.run(scenario())


async def soon(task: asyncio.Task[Any]) -> bool:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task.done()


def test_a_turn_waits_for_the_engine_of_the_turn_before_while_another_is_free() -> None:
    async def scenario() -> None:
        placement = Placement()
        placement.update([state(0, num_slots=1), state(1)])
        slot = await placement.acquire()
        home = Home.of(slot)
        placement.release(slot, kv_tokens=9_000)
        assert await placement.acquire(home=home) is slot, "the other one is the least busy"
        again = asyncio.create_task(placement.acquire(home=home))
        assert not await soon(again) and placement.num_waiting == 1
        placement.release(slot)
        assert await again is slot

    asyncio.run(scenario())


def test_new_weights_send_turns_to_the_least_busy_engine_those_that_wait_among_them() -> None:
    async def scenario() -> None:
        placement = Placement()
        placement.update([state(0, num_slots=1), state(1)])
        slot = await placement.acquire()
        assert slot.state.name == "engine 0"
        waits = asyncio.create_task(placement.acquire(home=Home.of(slot)))
        assert not await soon(waits)
        placement.update([state(0, state="held"), state(1, state="held")])
        assert not await soon(waits)
        placement.update([state(0, num_slots=1), state(1)])
        assert (await waits).state.name == "engine 1"
        assert (await placement.acquire(home=Home(slot, 0))).state.name == "engine 1", "what began before the weights"

    asyncio.run(scenario())


def test_a_lost_engine_sends_turns_to_another_one() -> None:
    async def scenario() -> None:
        placement = Placement()
        placement.update([state(0, num_slots=1), state(1)])
        slot = await placement.acquire()
        waits = asyncio.create_task(placement.acquire(home=Home.of(slot)))
        assert not await soon(waits)
        placement.update([state(0, state="lost")])
        assert (await waits).state.name == "engine 1"
        assert (await placement.acquire(home=Home.of(slot))).state.name == "engine 1"

    asyncio.run(scenario())


def test_later_turns_go_before_first_ones_and_evaluation_before_both() -> None:
    async def scenario() -> None:
        placement, order = Placement(), list[str]()
        placement.update([state(0, num_slots=1)])
        slot = await placement.acquire()

        async def take(name: str, **how: Any) -> None:
            taken = await placement.acquire(**how)
            order.append(name)
            placement.release(taken)

        placed = [
            asyncio.create_task(take("first turn")),
            asyncio.create_task(take("later turn, elsewhere before", home=Home(slot, -1))),
            asyncio.create_task(take("later turn, here before", home=Home.of(slot))),
            asyncio.create_task(take("evaluation", is_eval=True)),
            asyncio.create_task(take("evaluation, here before", home=Home.of(slot), is_eval=True)),
        ]
        await asyncio.sleep(0)
        placement.release(slot)
        await asyncio.gather(*placed)
        assert order == [
            *("evaluation", "evaluation, here before", "later turn, here before"),
            *("later turn, elsewhere before", "first turn"),
        ]

    asyncio.run(scenario())
