"""The tokens of one trajectory as its turns come, branch after branch.

    begin(prompt) --> [ ids --> engine --> sampled(turn) --> give(context) ] ... --> trajectory

What the engine is asked for is always the tokens of the branch, one after the other; nothing is tokenized again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from r1ray.turns import Action, Conversation, InEnvironment, Message, ToolSchema
from r1ray.types import Int32Array, Segment, Status, Trajectory

HISTORY = "history"
"""Role of a context segment in which a branch repeats, in its own words, what earlier ones have."""


@dataclass(slots=True)
class _Branch:
    start: Int32Array  # [P] int32, what comes before its first turn
    messages: list[Message]
    segments: list[Segment] = field(default_factory=list)
    num_given: int = field(init=False)
    turns: list[str] = field(default_factory=list)
    is_whole: bool = True

    def __post_init__(self) -> None:
        self.num_given = len(self.messages)

    @property
    def has_turn(self) -> bool:
        return any(segment.kind == "policy" for segment in self.segments)

    @property
    def ids(self) -> Int32Array:
        return np.concatenate([self.start, *(segment.token_ids for segment in self.segments)])

    def conversation(self, tools: Sequence[ToolSchema]) -> Conversation:
        """Return what was said, up to the policy's last turn."""
        size = max((number for number, each in enumerate(self.messages, 1) if each.role == "assistant"), default=0)
        return Conversation(
            messages=tuple(self.messages[: max(size, self.num_given)]),
            num_given=self.num_given,
            turns=tuple(self.turns),
            tools=tuple(tools),
            is_whole=self.is_whole,
        )


class Transcript:
    """Tokens that were given and sampled so far."""

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._branches: list[_Branch] = []
        self._seconds = 0.0

    @property
    def ids(self) -> Int32Array:
        """Tokens that the next turn follows, [P] int32: those of the last branch."""
        return self._branches[-1].ids

    @property
    def num_row_tokens(self) -> int:
        """Tokens of all branches, which the learner has to read."""
        given = sum(len(branch.start) for branch in self._branches)
        return given + sum(len(segment.token_ids) for branch in self._branches for segment in branch.segments)

    def begin(self, ids: Sequence[int], messages: Sequence[Message]) -> None:
        """Begin a branch with the tokens of a conversation. One without a turn is forgotten: nothing in it is in the
        loss."""
        if self._branches and not self._branches[-1].has_turn:
            self._branches.pop()
        self._branches.append(_Branch(np.asarray(ids, dtype=np.int32), list(messages)))

    def give(self, ids: Sequence[int], messages: Sequence[Message]) -> None:
        """Add messages that were given, what an environment answered, by their tokens with the template's around."""
        role = messages[0].role if messages else "user"
        tools = dict.fromkeys(message.tool for message in messages if message.tool)
        self._branches[-1].messages += messages
        self._branches[-1].segments.append(self._context(ids, role=role, tool=", ".join(tools)))

    def sampled(self, turn: Trajectory) -> Segment:
        """Add a turn as an engine returned it. Returns its segment."""
        (segment,) = turn.policy_segments
        segment = replace(segment, branch=0, role="assistant")
        self._branches[-1].segments.append(segment)
        self._seconds += turn.seconds
        return segment

    def said(self, action: Action, text: str) -> None:
        """Note what the turn that was just sampled says.

        Args:
            text: all of it, special tokens with it.
        """
        branch = self._branches[-1]
        branch.messages.append(action.message)
        branch.turns.append(text)
        branch.is_whole &= action.is_whole

    def conversations(self, tools: Sequence[ToolSchema]) -> tuple[Conversation, ...]:
        """Return what was said in each branch that has a turn."""
        return tuple(branch.conversation(tools) for branch in self._branches if branch.has_turn)

    def trajectory(self, group_id: str, index: int, *, status: Status, world: InEnvironment | None) -> Trajectory:
        """Return the whole. Its prompt is the longest common beginning of all branches before their first turns; what
        else there is before the first turn of a branch is a context segment."""
        branches = [branch for branch in self._branches if branch.has_turn]
        prompt = common_beginning([branch.start for branch in branches or self._branches])
        segments: list[Segment] = []
        for number, branch in enumerate(branches):
            rest = branch.start[len(prompt) :]
            own = [self._context(rest, role=HISTORY)] if len(rest) else []
            segments += [replace(segment, branch=number) for segment in [*own, *branch.segments]]
        return Trajectory(
            group_id=group_id,
            index=index,
            prompt_token_ids=prompt,
            segments=tuple(segments),
            status=status,
            seconds=self._seconds,
            world=world,
        )

    def _context(self, ids: Sequence[int] | Int32Array, *, role: str, tool: str = "") -> Segment:
        token_ids = np.asarray(ids, dtype=np.int32)
        return Segment(
            kind="context",
            token_ids=token_ids,
            logprobs=np.zeros(0, dtype=np.float32),
            text=self._decode(token_ids.tolist()),
            role=role,
            tool=tool,
        )


def common_beginning(sequences: Sequence[Int32Array]) -> Int32Array:
    """Return the longest common beginning of sequences of tokens, [T] int32; of none nothing.

    >>> common_beginning([np.array([1, 2, 3]), np.array([1, 2, 4, 5])]).tolist()
    [1, 2]
    """
    if not sequences:
        return np.zeros(0, dtype=np.int32)
    common, *others = sequences
    for other in others:
        size = min(len(common), len(other))
        differs = np.flatnonzero(common[:size] != other[:size])
        common = common[: differs[0] if len(differs) else size]
    return common
