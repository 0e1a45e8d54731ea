"""Preference reward models as parts of the reward (paper section 2.3.4).

    (prompt, summary | response) of many completions --a few ms--> one call of the model --> one score each

The model is a role of its own and is passed in by the code that serves it. Its score has no fixed scale;
``reward.combine=normalised`` makes it comparable with other parts.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

from r1ray.errors import DeadlineExceeded, InfrastructureError
from r1ray.reward.extract import SPECIAL_TOKEN, after_think, answer_section
from r1ray.reward.format import whole_text
from r1ray.types import Prompt, Response

WINDOW_S = 0.005
MAX_ROWS = 64
Row = tuple[str, str]
"""Prompt and response, as the model gets them."""


class PreferenceModel(Protocol):
    """A reward model that serves many completions: :class:`r1ray.reward.model.RewardModel` over actors."""

    async def score(self, prompts_and_responses: Sequence[Row], /) -> Sequence[float]:
        """Return one score for each row. An exception is a fault of the machine, never of the completion."""
        ...


def seen(prompt: Prompt, response: Response, *, sees: str) -> Row:
    """Return the input of a model: the prompt and the whole ``response``; or the prompt, without the opening of the
    reasoning that a template put at its end, and the ``summary``."""
    if sees == "response":
        return prompt.text, response.text
    asked = prompt.text
    for opening in ("<think>", SPECIAL_TOKEN):
        if asked.rstrip().endswith(opening):
            asked = asked.rstrip().removesuffix(opening)
    return asked, summary_of(prompt, response)


def summary_of(prompt: Prompt, response: Response) -> str:
    """Return the text after the reasoning, of either pattern, or its ``<answer>`` if there is one. "" if the reasoning
    never ends, the whole text if there is none."""
    text = whole_text(prompt, response, opening=SPECIAL_TOKEN)
    if SPECIAL_TOKEN in text:
        first, last = text.find(SPECIAL_TOKEN), text.rfind(SPECIAL_TOKEN)
        return text[last + len(SPECIAL_TOKEN) :].strip() if last > first else ""
    final = after_think(whole_text(prompt, response))
    section = answer_section(final)
    return (final if section is None else section).strip()


class Batches:
    """Scores single rows in batches: rows that arrive within ``WINDOW_S``, or while the limit of calls is reached, go
    to the model in one call."""

    def __init__(self, model: PreferenceModel, *, name: str, max_calls: int = 1, max_rows: int = MAX_ROWS) -> None:
        """
        Args:
            name: name of the model in ``reward.models``.
            max_calls: number of calls that may be under way at a time.
            max_rows: number of rows in one call.
        """
        self._model, self._name = model, name
        self._max_calls, self._max_rows = max_calls, max_rows
        self._waiting: list[tuple[Row, asyncio.Future[float]]] = []
        self._callers: set[asyncio.Task[None]] = set()
        self._num_calling = 0
        self._is_collecting = False

    async def score(self, row: Row) -> float:
        """Return the score of a row. Raises InfrastructureError. If the model fails on a row, the others of its batch
        are scored nevertheless."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, future))
        self._collect()
        return await future

    def _collect(self) -> None:
        if self._waiting and not self._is_collecting and self._num_calling < self._max_calls:
            self._is_collecting = True
            self._num_calling += 1  # not len(_callers): a task leaves that set a little after its last look at _waiting
            caller = asyncio.create_task(self._work())
            self._callers.add(caller)
            caller.add_done_callback(self._callers.discard)

    async def _work(self) -> None:
        """Call the model repeatedly until no row is waiting."""
        await asyncio.sleep(WINDOW_S)
        self._is_collecting = False
        while self._waiting:
            batch, self._waiting = self._waiting[: self._max_rows], self._waiting[self._max_rows :]
            self._collect()
            await self._call([(row, future) for row, future in batch if not future.done()])
        self._num_calling -= 1

    async def _call(self, batch: Sequence[tuple[Row, asyncio.Future[float]]]) -> None:
        if not batch:
            return
        try:
            scores = await self._model.score([row for row, _ in batch])
            if not all(map(math.isfinite, scores)):
                raise InfrastructureError("a score is not a finite number")
        except Exception as error:  # any error is passed on to the callers that wait
            if len(batch) > 1 and not isinstance(error, DeadlineExceeded):
                await asyncio.gather(*(self._call([single]) for single in batch))
                return
            for _, future in batch:
                if not future.done():
                    future.set_exception(InfrastructureError(f"reward.models.{self._name}: {error}"))
            return
        for (_, future), score in zip(batch, scores, strict=True):
            if not future.done():
                future.set_result(float(score))
