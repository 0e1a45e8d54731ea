"""A judge behind an OpenAI-compatible HTTP service."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletion

from r1ray.data.replies import Said, ask_until_valid
from r1ray.errors import DeadlineExceeded, InfrastructureError, UserError
from r1ray.runtime.deadline import within

NEEDS_KEY = "api.openai.com"
MAX_RETRIES = 5
"""Retries of a request that was temporarily refused (408, 409, 429), failed (5xx) or found no connection. The openai
package waits 0.5 s, then twice as long each time up to 8 s, or as long as the service asks."""


class ApiJudge:
    """The Judge role, by a model of a service that offers chat completions with JSON schemas."""

    def __init__(
        self,
        url: str,
        model: str,
        api_key_env: str = "OPENAI_API_KEY",
        *,
        deadline_s: float,
        max_tokens: int,
        max_in_flight: int,
    ) -> None:
        """
        Args:
            url: base URL, such as ``https://api.openai.com/v1``.
            api_key_env: name of the environment variable with the key. Only OpenAI's own service requires a key.
            deadline_s: time limit of one question with all its retries, from when it is sent.
            max_tokens: token limit of one reply.
            max_in_flight: number of questions that are open at a time. Others wait.

        Raises:
            UserError: the key is missing.
        """
        key = os.environ.get(api_key_env)
        if not key and urlsplit(url).hostname == NEEDS_KEY:
            raise UserError(
                f"judge.url={url}: needs a key in the environment variable {api_key_env} (judge.api_key_env)."
            )
        # The client has no timeout of its own: the deadline bounds all of its tries together.
        self._client = AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=MAX_RETRIES, timeout=None)
        self._model, self._max_tokens, self._deadline_s = model, max_tokens, deadline_s
        self._name = f"the judge {model} at {url}"
        self._slots = asyncio.Semaphore(max_in_flight)

    async def ask(self, prompt: str, schema: Mapping[str, object]) -> Mapping[str, object]:
        """See :class:`r1ray.reward.judged.Judge`. Raises InfrastructureError."""
        attempt = partial(self._try, prompt, schema)
        async with self._slots:  # the deadline starts with the first request
            try:
                return await within(
                    self._deadline_s,
                    ask_until_valid(attempt, schema, judge=self._name),
                    waiter="a question",
                    owner=self._name,
                    key="judge.deadline_s",
                )
            except DeadlineExceeded as error:  # the request is cancelled, and nothing is stuck
                raise InfrastructureError(str(error)) from error

    async def _try(self, prompt: str, schema: Mapping[str, object], temperature: float, number: int) -> Said:
        try:
            reply = await self._client.chat.completions.create(
                model=self._model,
                messages=[{"role": "user", "content": prompt}],
                temperature=temperature,
                seed=number,
                max_completion_tokens=self._max_tokens,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "reply", "strict": True, "schema": dict(schema)},
                },
            )
        except OpenAIError as error:  # its text begins with the HTTP status, if there is one
            raise InfrastructureError(f"{self._name}: {_first_line(error)}") from error
        except json.JSONDecodeError as error:
            raise InfrastructureError(f"{self._name}: its reply is no JSON: {error}") from error
        return self._said(reply)

    def _said(self, reply: ChatCompletion) -> Said:
        try:  # the openai package does not validate replies
            choice = reply.choices[0]
            return Said(choice.message.content or choice.message.refusal or "", choice.finish_reason != "length")
        except (AttributeError, IndexError, TypeError) as error:
            raise InfrastructureError(f"{self._name}: its reply is no chat completion: {reply!r:.200}") from error

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _first_line(error: OpenAIError) -> str:
    """Return one line of an error, whose text may be a whole page, with the cause of a failed connection."""
    causes = [error, *([error.__cause__] if error.__cause__ else [])]
    lines = [line for cause in causes for line in str(cause).strip().splitlines()[:1]]
    return " ".join(lines)[:300] or type(error).__name__
