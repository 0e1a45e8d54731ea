"""The tokens of one trajectory as its turns come, branch after branch.

    begin(prompt) --> [ ids --> engine --> sampled(turn) --> give(context) ] ... --> trajectory

What the engine is asked for is always the tokens of the branch, one after the other; nothing is tokenized again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from r1ray.turns import InEnvironment
from r1ray.types import Int32Array, Segment, Status, Trajectory

HISTORY = "history"
"""Role of a context segment in which a branch repeats, in its own words, what earlier ones have."""


@dataclass(slots=True)
class _Branch:
    start: Int32Array  # [P] int32, what comes before its first turn
    segments: list[Segment] = field(default_factory=list)

    @property
    def has_turn(self) -> bool:
        return any(segment.kind == "policy" for segment in self.segments)

    @property
    def ids(self) -> Int32Array:
        return np.concatenate([self.start, *(segment.token_ids for segment in self.segments)])


class Transcript:
    """What was given and sampled so far."""

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
        """What the learner has to read: the tokens of all branches."""
        return sum(len(branch.ids) for branch in self._branches)

    def begin(self, ids: Sequence[int]) -> None:
        """Begin a branch. One without a turn is forgotten: nothing in it is in the loss."""
        if self._branches and not self._branches[-1].has_turn:
            self._branches.pop()
        self._branches.append(_Branch(np.asarray(ids, dtype=np.int32)))

    def give(self, ids: Sequence[int], *, role: str, tool: str = "") -> None:
        """Add tokens that were given: what an environment answered, with the template's around it."""
        self._branches[-1].segments.append(self._context(ids, role=role, tool=tool))

    def sampled(self, turn: Trajectory) -> Segment:
        """Add a turn as an engine returned it. Returns its segment."""
        (segment,) = turn.policy_segments
        segment = replace(segment, branch=0, role="assistant")
        self._branches[-1].segments.append(segment)
        self._seconds += turn.seconds
        return segment

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
        return Segment(
            kind="context",
            token_ids=np.asarray(ids, dtype=np.int32),
            logprobs=np.zeros(0, dtype=np.float32),
            text=self._decode([int(each) for each in ids]),
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
