"""Types for trajectories of several turns, in the order in which they occur.

    Environment.reset -> Observation -> tokens -> policy -> tokens -> Action -> Environment.step -> Observation ... Done

A turn is one policy segment and the environment's answer to it. Environments know messages and calls, but
no tokens; :mod:`r1ray.conversation` converts between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ToolSchema: TypeAlias = Mapping[str, Any]
"""Description of a tool as in chat templates and OpenAI's interface: ``{"type": "function", "function": {"name",
"description", "parameters"}}``; ``parameters`` is a JSON schema."""
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the policy wrote it."""

    name: str
    arguments: Mapping[str, Any]
    """Object that its JSON describes; empty if the call has a problem."""
    text: str = ""
    """The call as it was written."""
    problem: str = ""
    """Sentence that tells the model why the call is malformed; empty if it is well-formed. The schema is not
    checked."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    tool: str = ""
    """Name of the tool that returned this result."""
    call_id: str = ""
    """Id of the call that this result answers."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """Result of a tool that also gives rewards; other tools return the text alone."""

    content: str
    """Text for the policy."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the call, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One turn of the policy."""

    content: str
    """Its text without reasoning and calls."""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    """Calls in order, including malformed ones."""
    text: str = ""
    """Complete text of the turn."""
    is_whole: bool = True
    """True if the policy ended the turn itself; False if a length limit cut it."""
    turn: int = 0
    """Its number in the trajectory, from 0."""

    @property
    def message(self) -> Message:
        """The message that represents the turn in a history."""
        return Message("assistant", self.content, self.reasoning, self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The environment's answer, which the policy sees next."""

    messages: tuple[Message, ...]
    """The whole conversation up to the first turn (``reset``), or the messages that follow the policy's turn
    (``step``)."""
    tools: tuple[ToolSchema, ...] = ()
    """Tools offered in all turns (``reset``)."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the turn just taken, or for a call in it; :attr:`Done.rewards` has those of the whole
    trajectory."""
    num_errors: int = 0
    """Calls of the turn that a tool could not serve: unknown tool, malformed, wrong arguments, timeout, or a failure of
    the tool."""
    is_agents: bool = False
    """True if the world has an agent that calls the policy itself (``reset``): see
    :mod:`r1ray.environments.agent_world`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Access of one trajectory's agent to the policy: OpenAI's chat completions, with its own key."""

    base_url: str
    """``http://ADDRESS:PORT/v1``, on the private address of a node."""
    api_key: str = field(repr=False)
    """Key that is valid as long as the agent runs."""
    model: str
    """Name of the model on this server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The trajectory has ended."""

    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the final state, by name; each needs ``reward.parts.NAME`` to count in the total."""
    turn_rewards: Mapping[str, float] = field(default_factory=dict)
    """See :attr:`Observation.rewards`; for the last turn."""
    label: str = ""
    """One word for the kind of result: see :class:`r1ray.types.Score`."""
    detail: str = ""
    """Text for people."""
    num_errors: int = 0
    """See :attr:`Observation.num_errors`; of the last turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """The messages of one branch of a trajectory."""

    messages: tuple[Message, ...]
    """Messages from the first to the policy's last turn."""
    num_given: int
    """Number of messages before the policy's first turn in this branch."""
    turns: tuple[str, ...]
    """Complete text of each policy turn in this branch, with special tokens."""
    tools: tuple[ToolSchema, ...]
    is_whole: bool
    """True if the policy ended each of these turns itself."""


def error_rate(calls: Iterable[tuple[int, int]]) -> float:
    """Return the share of calls that no tool could serve; 0 if there were no calls.

    Args:
        calls: numbers of calls and of errors of each trajectory; an environment may count more errors than calls.
    """
    counts = [(num_calls, min(num_errors, num_calls)) for num_calls, num_errors in calls]
    num_all = sum(num_calls for num_calls, _ in counts)
    return sum(num_errors for _, num_errors in counts) / num_all if num_all else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCalls:
    """The calls of an agent in one trajectory."""

    num_answered: int
    num_extending: int
    """Answered calls that extend the tokens of an earlier call; the first one cannot."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Numbers of refused calls, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InEnvironment:
    """The environment's account of a trajectory."""

    name: str
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the final state."""
    turn_rewards: tuple[Mapping[str, float], ...] = ()
    """Parts of the reward for each turn; a turn is a policy segment."""
    turn_tokens: tuple[int, ...] = ()
    """Policy tokens of each turn."""
    num_calls: int = 0
    num_errors: int = 0
    """Calls that no tool could serve, including malformed ones."""
    seconds: float = 0.0
    """Time spent waiting for the environment. Unit: seconds."""
    label: str = ""
    detail: str = ""
    agent: AgentCalls | None = None
    """Calls of the agent; None if the environment took the turns."""

    @property
    def parts(self) -> dict[str, float]:
        """Each part of the reward for the whole trajectory: of its final state and of all its turns."""
        names = dict.fromkeys(name for rewards in (self.rewards, *self.turn_rewards) for name in rewards)
        return {name: sum(each.get(name, 0.0) for each in (self.rewards, *self.turn_rewards)) for name in names}
