from __future__ import annotations

import asyncio
from typing import Any

from r1ray.rollout.placement import EngineState, Placement


def state(index: int, *, num_slots: int = 4) -> EngineState:
    engine: Any = object()
    return EngineState(f"engine {index}", 0, engine, num_slots, "serving")


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
