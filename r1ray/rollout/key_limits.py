"""The limits of one agent's key: calls, calls at once, the tokens of a conversation and of all rows together."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.endpoint.chat_call import ChatCall
from r1ray.endpoint.refusals import Refused
from r1ray.rollout.call_tree import Call
from r1ray.rollout.history import CHARS_PER_TOKEN

MAX_AT_ONCE = 8
"""Calls of one key that may be under way."""
CUT = ("calls_exhausted", "tokens_exhausted", "context_length_exceeded")
"""Refusals after which, if no answer follows, a trajectory counts as truncated."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The tokens of a call that is under way."""

    num_own: int
    """Tokens that it adds to its row, or that its row begins with, without the turn."""
    max_tokens: int
    """The most tokens that its turn may have."""


class KeyLimits:
    """The calls and tokens that are left of a key."""

    def __init__(self, max_calls: int, max_tokens: int, *, max_row_tokens: int) -> None:
        """
        Args:
            max_tokens: of a conversation with its answer.
            max_row_tokens: of all rows together.
        """
        self._calls_left, self._max_calls, self._max_tokens = max_calls, max_calls, max_tokens
        self.max_row_tokens, self.row_tokens, self.reserved = max_row_tokens, 0, 0

    def check(self, asked: ChatCall, *, num_running: int) -> None:
        """Raise Refused for a call that is one too many, or that is too long to be rendered."""
        if not self._calls_left:
            sentence = f"This key has had its {self._max_calls} calls (environment.max_turns)."
            raise Refused(400, "calls_exhausted", sentence)
        if num_running >= MAX_AT_ONCE:
            raise _later(f"This key has {MAX_AT_ONCE} calls under way; call again when one has ended.")
        if len(asked.messages) > self._max_tokens or asked.num_chars > CHARS_PER_TOKEN * self._max_tokens:
            raise self._too_long("far more")

    def take(self, call: Call, wanted: int) -> Taken:
        """Return the tokens of a call, which are reserved for it; its turn has as many as are wanted, or are left.
        Raises Refused where none are."""
        num_own = len(call.bridge) if call.is_in_row else len(call.given)
        if len(call.given) >= self._max_tokens:
            raise self._too_long(f"{len(call.given)}")
        left = self.max_row_tokens - self.row_tokens - num_own
        if left < 1:
            sentence = f"All conversations of this key together may have {self.max_row_tokens} tokens, and have them."
            raise Refused(400, "tokens_exhausted", sentence, "messages")
        if left - self.reserved < 1:
            raise _later("Other calls of this key, under way, may need all tokens that are left; call again later.")
        taken = Taken(num_own, min(wanted, left - self.reserved, self._max_tokens - len(call.given)))
        self._calls_left -= 1
        self.reserved += taken.num_own + taken.max_tokens
        return taken

    def give_back(self, taken: Taken, *, num_sampled: int) -> None:
        """Book what a call has cost: nothing where nothing was sampled."""
        self.reserved -= taken.num_own + taken.max_tokens
        if num_sampled:
            self.row_tokens += taken.num_own + num_sampled

    def _too_long(self, found: str) -> Refused:
        sentence = f"A conversation, with its answer, may have {self._max_tokens} tokens, and this one has {found}."
        return Refused(400, "context_length_exceeded", sentence, "messages")


def over() -> Refused:
    """Return the refusal of a call whose trajectory takes no more."""
    return Refused(503, "ended", "The trajectory of this key has ended.")


def _later(sentence: str) -> Refused:
    return Refused(429, "too_many_at_once", sentence, is_worth_retrying=True)
