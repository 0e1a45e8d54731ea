from __future__ import annotations

import asyncio

import pytest

from r1ray.errors import DeadlineExceeded
from r1ray.runtime.deadline import within


async def wait(awaitable: asyncio.Future[int], seconds: float = 10.0) -> int:
    return await within(seconds, awaitable, waiter="the test", owner="nobody", key="deadlines.learn_s")


def test_a_wait_that_is_too_long_says_who_waited_for_whom() -> None:
    async def main() -> None:
        await wait(asyncio.get_running_loop().create_future(), seconds=0.01)

    with pytest.raises(DeadlineExceeded, match=r"the test waited 0.01 s for nobody .* raise deadlines.learn_s"):
        asyncio.run(main())


def test_a_timeout_inside_is_not_taken_for_the_deadline() -> None:
    async def main() -> None:
        failing = asyncio.get_running_loop().create_future()
        failing.set_exception(TimeoutError("a socket"))
        await wait(failing)

    with pytest.raises(TimeoutError, match="a socket"):
        asyncio.run(main())


def test_a_cancellation_that_comes_with_the_result_is_not_lost() -> None:
    async def main() -> None:
        result = asyncio.get_running_loop().create_future()
        waiting = asyncio.create_task(wait(result))
        await asyncio.sleep(0)
        result.set_result(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(main())
