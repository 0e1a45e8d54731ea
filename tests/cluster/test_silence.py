"""Who is silent: whoever leaves two questions in a row unanswered."""

from __future__ import annotations

import asyncio
import time

import pytest

from r1ray.cluster.silence import is_silent


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None: ...


def test_who_answers_is_not_silent_and_who_does_not_is() -> None:
    assert not asyncio.run(is_silent(at_once, silent_s=0.05))
    assert asyncio.run(is_silent(never, silent_s=0.05))


def test_an_answer_that_came_while_this_process_was_stopped_counts() -> None:
    asked: list[float] = []

    async def soon() -> None:
        asked.append(time.monotonic())
        await asyncio.sleep(0.01)

    async def scenario() -> bool:
        silence = asyncio.create_task(is_silent(soon, silent_s=0.1))
        await asyncio.sleep(0)
        time.sleep(0.2)  # as the loop of a stopped process
        return await silence

    assert not asyncio.run(scenario())
    assert asked


def test_what_the_question_raises_is_raised() -> None:
    async def dies() -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError, match="gone"):
        asyncio.run(is_silent(dies, silent_s=0.05))
