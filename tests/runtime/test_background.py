from __future__ import annotations

import asyncio

from r1ray.runtime.background import Background


def test_what_a_task_raises_is_told_and_a_cancelled_one_raises_nothing() -> None:
    async def fail() -> None:
        raise ValueError("planted")

    async def wait() -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        told: list[BaseException] = []
        background = Background(told.append)
        background.start(fail())
        waiting = background.start(wait())
        await asyncio.sleep(0.01)
        assert [str(each) for each in told] == ["planted"]
        background.close()
        await asyncio.wait({waiting})
        assert waiting.cancelled() and len(told) == 1

    asyncio.run(scenario())
