"""The calls of an agent as a tree of tokens: which recorded turn a call goes on from, and the rows that come of it.

    messages --matched--> the last recorded turn that they repeat --bridge--> its tokens, sampled ones, and new ones
                      `--> none: rendered anew

A turn whose client has gone on from it twice is in two rows: in one as what was sampled, in the other as context. So
each sampled token is in the loss once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from r1ray.conversation import ChatRenderer
from r1ray.endpoint.chat_call import ChatCall
from r1ray.endpoint.messages import Said, as_messages
from r1ray.rollout.history import history_of
from r1ray.rollout.transcript import Transcript
from r1ray.turns import Action, Message, ToolSchema
from r1ray.types import Status, Trajectory


@dataclass(eq=False, slots=True)
class Call:
    """A call, and the turn that answered it."""

    number: int
    """From 1, in the order in which they came."""
    prefix: bytes
    """Digest of its tools and messages."""
    messages: tuple[Message, ...]
    """The conversation as the policy has it, up to this turn."""
    tools: tuple[ToolSchema, ...]
    given: list[int] = field(default_factory=list)
    """The tokens that the turn follows."""
    parent: Call | None = None
    """The call whose tokens it goes on from."""
    new: tuple[Message, ...] = ()
    """Messages after the parent's turn."""
    bridge: tuple[int, ...] = ()
    """The same, as tokens."""
    next: Call | None = None
    """The call that goes on in its row."""
    turn: Trajectory | None = None
    action: Action | None = None
    answered: int = 0
    """Its place among the turns that a client was told, from 1; 0: nobody was."""

    @property
    def is_in_row(self) -> bool:
        """Return whether it goes on in the row of its parent; else it begins one."""
        return self.parent is not None and self.parent.next is self

    @property
    def sampled(self) -> list[int]:
        """The tokens of its turn."""
        return self.turn.policy_segments[0].token_ids.tolist() if self.turn is not None else []


class CallTree:
    """The calls of one trajectory."""

    def __init__(self, renderer: ChatRenderer) -> None:
        self._renderer = renderer
        self._num_begun = self.num_answered = self.num_extending = 0
        self._turns: dict[bytes, Call] = {}
        """Turns that clients were told, by the digest of all up to them; of equal ones the last."""
        self.calls: list[Call] = []
        """Calls with a turn, in the order of their ends."""

    @property
    def last(self) -> Call | None:
        """The call that was answered last."""
        return max((each for each in self.calls if each.answered), key=lambda each: each.answered, default=None)

    def begin(self, asked: ChatCall) -> Call:
        """Return a call with the tokens that its turn follows. Raises UserError where the template refuses them.

        It takes its place in a row, until :meth:`end` or :meth:`drop`.
        """
        digests = _digests(asked.tools, asked.messages)
        parent, size = self._parent(digests)
        new = as_messages(asked.messages, size)
        messages = (*(self._history(parent) if parent is not None else ()), *new)
        call = Call(number=self._num_begun + 1, prefix=digests[-1], messages=messages, tools=asked.tools)
        if parent is None or not self._goes_on(call, parent, new):
            call.given = self._renderer.prompt(messages, asked.tools)  # recorded turns in it have their reasoning
        self._num_begun = call.number
        return call

    def drop(self, call: Call) -> None:
        """Forget a call for which nothing was sampled."""
        if call.parent is not None and call.parent.next is call:
            call.parent.next = None

    def end(self, call: Call, turn: Trajectory, action: Action) -> None:
        """Record the turn of a call."""
        call.turn, call.action = turn, action
        self.calls.append(call)

    def told(self, call: Call, answer: Said) -> None:
        """Note that the client of a call gets its turn, and how: others may go on from there."""
        self.num_answered += 1
        call.answered = self.num_answered
        self.num_extending += call.parent is not None
        self._turns[_next(call.prefix, answer)] = call

    def transcript(self) -> Transcript:
        """Return the rows, in the order of the last turns that clients were told in them."""
        made = Transcript(self._renderer.decode)
        rows = [_row(each) for each in self.calls if not each.is_in_row]
        for row in sorted(rows, key=lambda row: max(each.answered for each in row)):
            made.begin(row[0].given, row[0].messages)
            for place, call in enumerate(row):
                assert call.turn is not None and call.action is not None
                if place:
                    made.give(call.bridge, call.new)
                made.sampled(call.turn)
                made.said(call.action, self._renderer.decode(call.sampled))
        return made

    def _goes_on(self, call: Call, parent: Call, new: tuple[Message, ...]) -> bool:
        """Have a call go on from the tokens of a recorded turn. Return False if the template would write that turn in
        another way, or if a turn of the client's own making follows it."""
        if not new or any(each.role == "assistant" for each in new):
            return False
        ids = self._renderer.bridge(parent.messages, parent.tools, parent.given, parent.sampled, new)
        if ids is None:
            return False
        call.parent, call.new, call.bridge = parent, new, tuple(ids)
        call.given = [*parent.given, *parent.sampled, *ids]
        if parent.next is None:
            parent.next = call
        return True

    def _parent(self, digests: Sequence[bytes]) -> tuple[Call | None, int]:
        """Return the last recorded turn that messages repeat, and how many they are with it."""
        for size in range(len(digests) - 1, 0, -1):
            if (found := self._turns.get(digests[size])) is not None:
                return found, size
        return None, 0

    @staticmethod
    def _history(call: Call) -> tuple[Message, ...]:
        assert call.action is not None
        return (*call.messages, history_of(call.action))


def status_of(call: Call, *, is_cut: bool) -> Status:
    """Return how a trajectory has ended whose last call this is.

    Args:
        is_cut: a limit ended it.
    """
    whole = call.action is not None and call.action.is_whole
    return "finished" if whole and not is_cut else "truncated"


def _row(call: Call) -> list[Call]:
    row = [call]
    while (call := row[-1]).next is not None and call.next.turn is not None:
        row.append(call.next)
    return row


def _digests(tools: Sequence[ToolSchema], messages: Sequence[Said]) -> list[bytes]:
    """Return the digest of the tools, and of them with each beginning of a conversation."""
    found = [blake2b(json.dumps(tools, sort_keys=True).encode(), digest_size=16).digest()]
    for each in messages:
        found.append(_next(found[-1], each))
    return found


def _next(digest: bytes, message: Said) -> bytes:
    return blake2b(digest + message.key, digest_size=16).digest()
