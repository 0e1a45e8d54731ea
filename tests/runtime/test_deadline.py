from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from r1ray.errors import DeadlineExceeded
from r1ray.runtime.deadline import never, standing_first, within
from r1ray.runtime.own_process import Name, OwnProcess, be


async def wait(awaitable: asyncio.Future[int], seconds: float = 10.0) -> int:
    return await within(seconds, awaitable, waiter="the test", owner="nobody", key="deadlines.learn_s")


def test_a_wait_that_is_too_long_says_who_waited_for_whom() -> None:
    async def main() -> None:
        await wait(asyncio.get_running_loop().create_future(), seconds=0.01)

    with pytest.raises(DeadlineExceeded, match=r"the test waited 0.01 s for nobody .* raise deadlines.learn_s"):
        asyncio.run(main())


def test_in_a_run_it_names_actor_node_and_log(tmp_path: Path) -> None:
    async def main() -> None:
        await within(
            0.01, asyncio.Event().wait(), waiter="the test", owner="the learner group", key="deadlines.learn_s"
        )

    log = tmp_path / "learner-rank-1.log"
    OwnProcess(Name("learner rank", 1), log).write()
    be(OwnProcess(Name("driver", 0), tmp_path / "driver-0.log"))
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            asyncio.run(main())
    finally:
        be(None)
    place = f"learner rank 1, running, process {os.getpid()} on {socket.gethostname()}"
    assert place in str(caught.value) and str(log) in str(caught.value)


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


def test_a_clock_that_stands_first_runs_from_then_on() -> None:
    stands = standing_first(0.05)
    assert stands()
    time.sleep(0.06)
    assert not stands() and standing_first(0.0, lambda: True)() and standing_first(0.0) is never
    assert standing_first(0.0, stands)() is False and standing_first(1e-9, lambda: True)()


def test_time_during_which_the_clock_stands_still_does_not_count() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        began, recovered = loop.time(), loop.time() + 0.4

        def stands_still() -> bool:
            return loop.time() < recovered

        async def answer(seconds: float) -> None:
            await asyncio.sleep(seconds)

        names = {"waiter": "the test", "owner": "nobody", "key": "deadlines.learn_s"}
        await within(0.2, answer(0.45), stands_still=stands_still, **names)
        first, recovered = loop.time() - began, loop.time() + 0.4
        with pytest.raises(DeadlineExceeded):
            await within(0.2, answer(60), stands_still=stands_still, **names)
        return first, loop.time() - began - first

    first, second = asyncio.run(main())
    assert first >= 0.44
    assert 0.55 <= second < 10, "the clock runs again"
