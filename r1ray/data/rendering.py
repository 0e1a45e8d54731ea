"""Rendering of every prompt of a source, before anything starts, to find the prompts that a template refuses.

    batches of rows --questions--> this process; after ALONE_S seconds of it, processes of its own --> reasons, or none

A chat template is a program that Python interprets, so threads hardly help (27 microseconds for a prompt, 22 with two
threads). Processes take seconds to start, which only pays for large files.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeAlias, TypeVar

from r1ray.data.template import Question
from r1ray.errors import InfrastructureError, UserError

T = TypeVar("T")
Render: TypeAlias = Callable[[Question], str]
ALONE_S = 3.0
"""Time that this process renders alone: enough for some 100,000 prompts with a chat template, or a million with the
paper's."""
MAX_PROCESSES = 8
"""Most rendering processes. The single process that reads and checks the rows can keep no more busy."""


def refusals(
    batches: Iterable[list[T]], make_render: Callable[[], Render], *, question: Callable[[T], Question]
) -> Iterator[tuple[list[T], list[str | None]]]:
    """Yield each batch with the reasons why its items are refused; None for an item that can be rendered.

    Args:
        make_render: makes the function that renders a question and raises UserError for a question that it cannot
            render. It is called in each process, so it has to be picklable.
    """
    render, spent, waiting = make_render(), 0.0, iter(batches)
    for batch in waiting:
        if spent > ALONE_S:
            yield from _apart(itertools.chain([batch], waiting), make_render, question=question)
            return
        begun = time.monotonic()
        reasons = _reasons(render, [question(item) for item in batch])
        spent += time.monotonic() - begun
        yield batch, reasons


def _reasons(render: Render, questions: Sequence[Question]) -> list[str | None]:
    return [_reason(render, each) for each in questions]


def _reason(render: Render, question: Question) -> str | None:
    try:
        render(question)
    except UserError as error:
        return str(error)
    return None


def _apart(
    batches: Iterable[list[T]], make_render: Callable[[], Render], *, question: Callable[[T], Question]
) -> Iterator[tuple[list[T], list[str | None]]]:
    """Render in processes, one batch at a time in each, and yield the batches in their order."""
    workers = [_Worker(make_render) for _ in range(min(MAX_PROCESSES, max(1, len(os.sched_getaffinity(0)) - 1)))]
    under_way: deque[tuple[list[T], _Worker]] = deque()
    try:
        for batch, worker in zip(batches, itertools.cycle(workers), strict=False):
            if len(under_way) == len(workers):
                done, first = under_way.popleft()
                yield done, first.answer()
            worker.ask([question(item) for item in batch])
            under_way.append((batch, worker))
        while under_way:
            done, first = under_way.popleft()
            yield done, first.answer()
    finally:
        for worker in workers:
            worker.close()


class _Worker:
    """A process that renders. It ends when its owner closes the connection or is gone."""

    def __init__(self, make_render: Callable[[], Render]) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy the locks of other threads
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, make_render), daemon=True)
        self._process.start()
        theirs.close()

    def ask(self, questions: list[Question]) -> None:
        self._connection.send(questions)

    def answer(self) -> list[str | None]:
        try:
            found: list[str | None] = self._connection.recv()
        except EOFError as error:
            raise InfrastructureError(
                "a process that renders prompts has ended; the same command tries again"
            ) from error
        return found

    def close(self) -> None:
        self._connection.close()
        self._process.join()


def _work(connection: Connection[Any, Any], make_render: Callable[[], Render]) -> None:
    render = make_render()
    while True:
        try:
            questions = connection.recv()
        except EOFError:
            return
        connection.send(_reasons(render, questions))
