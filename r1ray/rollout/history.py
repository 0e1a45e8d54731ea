"""A conversation that is too long: texts that lose their middle, results that lose their text, and the
summary that takes the place of a history. Pure functions of messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from r1ray.turns import Action, Message

SUMMARISE = (
    "The conversation has become too long to go on. Write down all that is needed to go on with the task: what was "
    "asked, what was tried, what was found, and what remains to be done. Only this text will be kept."
)
SUMMARY = "What was done so far, in your own words:"
DROPPED = "[This result was left out, because the conversation became too long.]"
LEAST_CHARS = 32
"""Shortest text that a message is cut to, beside the sentence that says so."""
CHARS_PER_TOKEN = 32
"""No text has more of them in the mean: what is longer is cut before it is tokenized."""


@dataclass(frozen=True, slots=True)
class Bridge:
    """Tokens of new messages."""

    ids: Sequence[int]
    whole: Sequence[int] | None = None
    """The tokens of the whole conversation, if the new messages cannot follow what was sampled: it needs another
    branch."""

    @property
    def follows(self) -> bool:
        return self.whole is None


def fitted(
    messages: Sequence[Message], bridge: Callable[[Sequence[Message]], Bridge], *, max_tokens: int
) -> tuple[Sequence[Message], Bridge]:
    """Return messages with their bridge, the longest of them cut in their middle until it has at most ``max_tokens``,
    or nothing is left to cut."""
    longest = max((len(message.content) for message in messages), default=0)
    allowed = min(longest, CHARS_PER_TOKEN * max_tokens)
    while True:
        shown = [replace(each, content=cut(each.content, allowed, max_tokens=max_tokens)) for each in messages]
        found = bridge(shown)
        if len(found.ids) <= max_tokens or allowed <= LEAST_CHARS:
            return shown, found
        allowed = max(LEAST_CHARS, int(0.9 * allowed * max_tokens / len(found.ids)))


def cut(text: str, allowed: int, *, max_tokens: int) -> str:
    """Return a text, or its beginning and its end with a sentence between that says what is missing.

    >>> cut("0123456789", 4, max_tokens=2)
    '01\\n[... 6 characters are left out: an answer has at most 2 tokens ...]\\n89'
    """
    if len(text) <= allowed:
        return text
    half = allowed // 2
    said = f"[... {len(text) - 2 * half} characters are left out: an answer has at most {max_tokens} tokens ...]"
    return f"{text[:half]}\n{said}\n{text[len(text) - half :]}"


def history_of(action: Action) -> Message:
    """Return what a later branch has of a turn. One with a malformed call is there as it was written: nothing else says
    what the call was."""
    return Message("assistant", action.text) if any(call.problem for call in action.calls) else action.message


def without_oldest_results(
    messages: Sequence[Message], num_first: int, num_last: int, fits: Callable[[Sequence[Message]], bool]
) -> tuple[Message, ...]:
    """Return a conversation whose oldest answers of the environment have lost their text: as few of them as makes it
    fit, by powers of two; all where it does not.

    Args:
        num_first: messages up to the first turn, which stay.
        num_last: messages that answer the last turn, which stay.
    """
    old = range(num_first, len(messages) - num_last)
    results = [i for i in old if messages[i].role != "assistant" and messages[i].content != DROPPED]
    shorter, num_dropped = list(messages), 1
    while results:
        for index in results[:num_dropped]:
            shorter[index] = replace(messages[index], content=DROPPED)
        if num_dropped >= len(results) or fits(shorter):
            break
        num_dropped *= 2
    return tuple(shorter)


def with_summary(first: Sequence[Message], summary: str) -> tuple[Message, ...]:
    """Return the conversation up to the first turn with a summary of what followed. It stands in the last message where
    that is a user's: many templates want the roles to alternate."""
    text = f"{SUMMARY}\n\n{summary}"
    if first and first[-1].role == "user":
        return (*first[:-1], replace(first[-1], content=f"{first[-1].content}\n\n{text}"))
    return (*first, Message("user", text))
