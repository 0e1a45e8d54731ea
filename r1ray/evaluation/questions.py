"""Concurrent questions, each with its own deadline, as sampling and search ask them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from r1ray.errors import first_of
from r1ray.rollout.turn_sampler import MAX_ATTEMPTS
from r1ray.runtime.deadline import never, standing_first, within
from r1ray.types import Prompt

A = TypeVar("A")


async def ask_each(
    prompts: Mapping[int, Prompt],
    ask: Callable[[int, Prompt], Awaitable[A]],
    *,
    at_a_time: int,
    deadline_s: float,
    world_s: float = 0.0,
    sought: Callable[[Prompt], str],
    keep: Callable[[int, A], None],
    stands_still: Callable[[], bool] = never,
) -> dict[int, A]:
    """Ask every question, ``at_a_time`` of them at once (at least one), and return the answers in the order of the
    questions.

    Args:
        prompts: prompts by their number in the benchmark.
        deadline_s: deadline of one question, from when it is asked.
        world_s: longest time of one trajectory in its environment, which does not count.
        sought: returns, for the message of DeadlineExceeded, what was awaited of a question.
        keep: is called with each answer as soon as it arrives.
        stands_still: as in :func:`~r1ray.runtime.deadline.within`.

    Raises:
        BaseException: the first failure of a question; the others are cancelled.
    """
    waiting = iter(prompts.items())
    answers: dict[int, A] = {}

    async def work(waiting: Iterator[tuple[int, Prompt]]) -> None:
        for index, prompt in waiting:
            in_world_s = MAX_ATTEMPTS * world_s if prompt.environment else 0.0
            answers[index] = await within(
                deadline_s,
                ask(index, prompt),
                waiter="the evaluation",
                owner=sought(prompt),
                key="deadlines.generate_s",
                stands_still=standing_first(in_world_s, stands_still),
            )
            keep(index, answers[index])

    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(max(1, min(at_a_time, len(prompts)))):
                tasks.create_task(work(waiting))
    except BaseExceptionGroup as group:
        raise first_of(group) from group
    return {index: answers[index] for index in prompts}


def longest_in_worlds(prompts: Sequence[Prompt], *, at_a_time: int, world_s: float) -> float:
    """Return the longest total time of questions in their environments, if asked as :func:`ask_each` asks them."""
    num_rounds = math.ceil(sum(bool(prompt.environment) for prompt in prompts) / max(1, at_a_time))
    return num_rounds * MAX_ATTEMPTS * world_s
