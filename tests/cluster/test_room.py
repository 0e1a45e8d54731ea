from __future__ import annotations

import asyncio

from r1ray.cluster.room import Room


def test_nothing_starts_while_the_room_is_closed_which_waits_for_what_has_begun() -> None:
    async def scenario() -> None:
        room, said = Room(), list[str]()

        async def start(name: str) -> None:
            async with room.taken():
                said.append(f"{name} starts")
                await asyncio.sleep(0.02)
                said.append(f"{name} is there")

        first = asyncio.ensure_future(start("first"))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(room.close())
        await asyncio.sleep(0)
        second = asyncio.ensure_future(start("second"))
        await closing
        assert said == ["first starts", "first is there"]
        await asyncio.sleep(0.02)
        room.open()
        await asyncio.gather(first, second)
        assert said[2:] == ["second starts", "second is there"]

    asyncio.run(asyncio.wait_for(scenario(), 10))


def test_what_fails_to_start_leaves_the_room() -> None:
    async def scenario() -> None:
        room = Room()
        try:
            async with room.taken():
                raise RuntimeError("planted")
        except RuntimeError:
            await room.close()

    asyncio.run(asyncio.wait_for(scenario(), 10))
