"""The nouns of a trajectory of several turns, in the order in which they come.

    Environment.reset -> Observation -> tokens -> policy -> tokens -> Action -> Environment.step -> Observation ... Done

A turn is one segment of the policy's, and the environment's answer to it. Environments know messages and calls, and
no tokens; :mod:`r1ray.conversation` goes from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

ToolSchema: TypeAlias = Mapping[str, Any]
"""A tool as chat templates and OpenAI's interface have it: ``{"type": "function", "function": {"name", "description",
"parameters"}}``; ``parameters`` is a JSON schema."""
Role: TypeAlias = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the policy wrote it."""

    name: str
    arguments: Mapping[str, Any]
    """The object that its JSON says; empty if it has a problem."""
    text: str = ""
    """The call as it was written."""
    problem: str = ""
    """A sentence for the model that says why it is malformed; empty where it is well-formed. The schema was not looked
    at."""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    tool: str = ""
    """Name of the tool whose result it is."""
    call_id: str = ""
    """Id of the call whose result it is."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool that pays for a call; others return the text alone."""

    content: str
    """Text for the policy."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the call, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """One turn of the policy's."""

    content: str
    """Its text without reasoning and calls."""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    """In their order, malformed ones among them."""
    text: str = ""
    """All that it wrote in the turn."""
    is_whole: bool = True
    """True if the policy ended the turn itself; False if a length limit cut it."""
    turn: int = 0
    """Its number in the trajectory, from 0."""

    @property
    def message(self) -> Message:
        """The message that a history has of it."""
        return Message("assistant", self.content, self.reasoning, self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """The environment's answer, which the policy is told next."""

    messages: tuple[Message, ...]
    """The whole conversation up to the first turn (``reset``), or what follows the policy's turn (``step``)."""
    tools: tuple[ToolSchema, ...] = ()
    """Tools that are offered in all turns (``reset``)."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the turn just taken, or for a call in it; :attr:`Done.rewards` has those of all."""
    num_errors: int = 0
    """Calls of the turn that a tool could not serve: unknown, malformed, wrong arguments, a timeout, the tool's own."""
    is_agents: bool = False
    """The world has an agent, which calls the policy itself (``reset``): see :mod:`r1ray.environments.agent_world`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The way of one trajectory's agent to the policy: OpenAI's chat completions, with a key of its own."""

    base_url: str
    """``http://ADDRESS:PORT/v1``, on the private address of a node."""
    api_key: str = field(repr=False)
    """It ends with the agent."""
    model: str
    """The name that the model has there."""


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
    """From the first to the policy's last turn."""
    num_given: int
    """Number of them that came before its first turn in this branch."""
    turns: tuple[str, ...]
    """All that it wrote in each of its turns in this branch, special tokens with it."""
    tools: tuple[ToolSchema, ...]
    is_whole: bool
    """True if it ended each of these turns itself."""


def error_rate(calls: Iterable[tuple[int, int]]) -> float:
    """Return the share of calls that no tool could serve; 0 without any.

    Args:
        calls: of each trajectory, and how many of them failed; an environment may count more errors than calls.
    """
    counts = [(num_calls, min(num_errors, num_calls)) for num_calls, num_errors in calls]
    num_all = sum(num_calls for num_calls, _ in counts)
    return sum(num_errors for _, num_errors in counts) / num_all if num_all else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentCalls:
    """The calls of an agent in one trajectory."""

    num_answered: int
    num_extending: int
    """Answered calls that went on from the tokens of an earlier one; the first cannot."""
    refused: Mapping[str, int] = field(default_factory=dict)
    """Numbers of calls that got no turn, by their reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InEnvironment:
    """The environment's account of a trajectory."""

    name: str
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Parts of the reward for the final state."""
    turn_rewards: tuple[Mapping[str, float], ...] = ()
    """Parts for each turn; a turn is a policy segment."""
    turn_tokens: tuple[int, ...] = ()
    """Policy tokens of each turn."""
    num_calls: int = 0
    num_errors: int = 0
    """Calls that no tool could serve; malformed ones among them."""
    seconds: float = 0.0
    """Waited for it."""
    label: str = ""
    detail: str = ""
    agent: AgentCalls | None = None
    """None where the environment took the turns."""

    @property
    def parts(self) -> dict[str, float]:
        """Return each part of the reward for the whole trajectory: of its final state and of all its turns."""
        names = dict.fromkeys(name for rewards in (self.rewards, *self.turn_rewards) for name in rewards)
        return {name: sum(each.get(name, 0.0) for each in (self.rewards, *self.turn_rewards)) for name in names}
