from __future__ import annotations

import asyncio
import functools
import threading

import pytest

from r1ray.runtime.own_code import Raised, guarded, in_thread, is_async


def test_a_function_in_a_thread_gives_its_result_and_its_exception_whatever_that_is() -> None:
    async def outcomes() -> tuple[object, BaseException]:
        with pytest.raises(Raised) as raised:
            await in_thread(exit)
        return await in_thread(pow, 2, 5), raised.value.error

    result, error = asyncio.run(outcomes())
    assert result == 32 and isinstance(error, SystemExit)


def test_what_a_function_in_a_guarded_thread_raises_is_told_as_it_was() -> None:
    async def outcome() -> BaseException:
        with pytest.raises(Raised) as raised:
            await guarded(in_thread(exit))
        return raised.value.error

    assert isinstance(asyncio.run(outcome()), SystemExit)


def test_a_thread_that_was_given_up_ends_without_a_word() -> None:
    async def give_up() -> None:
        end = threading.Event()
        waiting = in_thread(end.wait)
        waiting.cancel()
        end.set()
        await in_thread(pow, 1, 1)

    asyncio.run(give_up())


def test_a_cancellation_of_the_codes_own_is_what_it_raised_and_ours_is_ours() -> None:
    async def cancels_itself() -> None:
        raise asyncio.CancelledError

    async def ask() -> None:
        with pytest.raises(Raised):
            await guarded(cancels_itself())
        task = asyncio.ensure_future(guarded(asyncio.sleep(60)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())


def test_what_gives_a_coroutine_is_seen_through_partials_and_objects() -> None:
    class Called:
        async def __call__(self) -> None: ...

    assert is_async(functools.partial(asyncio.sleep, 1)) and is_async(Called())
    assert not is_async(pow)
