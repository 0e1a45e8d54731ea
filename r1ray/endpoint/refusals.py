"""Refusals of calls: an HTTP status, a word that is counted, and a message in the form of OpenAI's errors."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A call that does not get a turn."""

    def __init__(
        self, status: int, code: str, sentence: str, param: str | None = None, *, is_worth_retrying: bool = False
    ) -> None:
        """
        Args:
            code: one word for the kind of refusal, which is counted.
            param: the field of the request at fault.
        """
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.param = status, code, sentence, param
        self.is_worth_retrying = is_worth_retrying

    @property
    def body(self) -> dict[str, Any]:
        """Error object in the form of OpenAI's API."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {"error": {"message": self.sentence, "type": kind, "param": self.param, "code": self.code}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers that tell a client whether to call again; without them it retries after each 429 and 5xx."""
        return {"x-should-retry": "true" if self.is_worth_retrying else "false"}


def invalid(param: str, sentence: str) -> Refused:
    """Return the refusal of a request with an invalid field."""
    return Refused(400, "invalid_request", f"{param}: {sentence}.", param)
