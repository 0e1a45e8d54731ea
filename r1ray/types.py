"""The nouns of r1ray, in the order in which data flows through one step.

    Prompt -> GroupRequest -> Trajectory (G of them) -> ScoredTrajectory -> SampleRef -> Shard -> StepStats

Everything here is frozen and crosses processes. Token arrays are numpy (Ray maps them without copying);
torch tensors never leave a process except through ``r1ray.weights``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from r1ray.checks import Check, ProgramTests
from r1ray.errors import PartFailure
from r1ray.turns import Conversation, InEnvironment, Message

Int32Array: TypeAlias = npt.NDArray[np.int32]
Float32Array: TypeAlias = npt.NDArray[np.float32]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
ExpertsArray: TypeAlias = npt.NDArray[np.unsignedinteger]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The question q.

    Example: ``Prompt(id="7", text="User:24a+4\\nAssistant:", check=MathAnswer("28"), domain="math", language="en")``
    """

    id: str
    """The data set's own name of the row."""
    text: str
    """What the model is given, template applied; tokenized as it stands."""
    check: Check
    domain: str
    language: str
    columns: Mapping[str, object] = field(default_factory=dict)
    """The columns of its row by the file's own names, for reward functions and checks of the user's: plain data, as
    JSON has it. Images and other bytes are not carried, nor what is very long (``r1ray.data.own_columns``)."""
    environment: str = ""
    """The environment that its trajectories are in; empty: none, and one turn."""
    messages: tuple[Message, ...] = ()
    """The question as messages, in the run's form, if it has an environment."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How completions are drawn. Training always uses ``top_p=1``: a renormalised distribution is not the policy."""

    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...] = ()
    """Strings after which a completion ends, unfinished: a tree search generates answers in segments."""
    with_logprobs: bool = True
    """Whether log-probabilities are asked for; evaluation has no use for them."""
    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end a turn, beside the model's own end of sequence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRequest:
    """The order for one group: G completions of one prompt."""

    group_id: str
    """Unique name of this use of the prompt, ``"<epoch>/<position>"``; the ledger's key."""
    prompt: Prompt
    group_size: int
    sampling: Sampling
    seed: int
    """Trajectory i is sampled with ``seed + i``."""
    min_group_size: int | None = None
    """The group is closed once so many trajectories are scored, and the others are aborted; None: it waits for all."""
    is_eval: bool = False


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """Seconds since an engine began to serve; ``busy_s + idle_s + paused_s`` is the wall time."""

    busy_s: float
    """Something was generated."""
    idle_s: float
    paused_s: float
    """New weights were coming in."""
    eval_s: float
    """Evaluation's part of ``busy_s``, by its share of the trajectories under way."""


@dataclass(frozen=True, slots=True)
class VersionSpan:
    """Tokens ``[start, end)`` of a segment were sampled by policy ``version``."""

    version: int
    start: int
    end: int


Status: TypeAlias = Literal["finished", "truncated", "aborted", "failed"]
"""The policy (or its environment) ended the output; a length limit cut it; it was aborted and may go on; it failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Tokens of one kind, in a row of a trajectory.

    A ``policy`` segment was sampled. A ``context`` segment was given (tool results, user turns, text of the template,
    earlier tokens that a later branch repeats): it is never in the loss.
    """

    kind: Literal["policy", "context"]
    token_ids: Int32Array  # [T] int32; of a policy segment with the end-of-sequence token where one was sampled
    logprobs: Float32Array  # [T] float32, log pi_old: temperature applied, all of the vocabulary; or [0]
    versions: tuple[VersionSpan, ...] = ()
    """Of a policy segment: which policy sampled which of its tokens."""
    text: str = ""
    """The tokens decoded, without the end-of-sequence token."""
    branch: int = 0
    role: str = "assistant"
    tool: str = ""
    """Name of the tool that gave a context segment."""
    stop: str = ""
    """The stop string on which a policy segment ended; empty where it ended otherwise."""
    experts: ExpertsArray = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.uint8))  # [R, layers, K]
    """The experts that the engine chose for the first R tokens of the branch, its prompt among them, where it was asked
    for them (``learner.router.replay``): all but the last token of a policy segment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One output o_i: a prompt and what followed. A completion is a trajectory of one policy segment.

    Where a template rewrites history the trajectory has several branches. What the engine saw in a branch is
    ``prompt_token_ids`` followed by the tokens of that branch's segments; what was sampled in an earlier branch stands
    in a later one as context, so that each sampled token is in the loss once.
    """

    group_id: str
    index: int
    """Of G."""
    prompt_token_ids: Int32Array  # [P] int32
    segments: tuple[Segment, ...]
    """In order, branch after branch."""
    status: Status
    seconds: float = 0.0
    """What generating it took."""
    world: InEnvironment | None = None
    conversations: tuple[Conversation, ...] = ()
    """The conversation of each branch; of trajectories of evaluations in environments."""
    domain: str = ""
    """Domain of its prompt, once the trajectory is kept for the learner."""

    def __post_init__(self) -> None:
        numbers = [segment.branch for segment in self.segments]
        assert numbers == sorted(numbers), f"segments of branches {numbers}"

    @property
    def id(self) -> str:
        """See :func:`trajectory_id`."""
        return trajectory_id(self.group_id, self.index)

    @property
    def branches(self) -> tuple[tuple[Segment, ...], ...]:
        """The segments of each branch: one training row each."""
        numbers = dict.fromkeys(segment.branch for segment in self.segments)
        return tuple(tuple(s for s in self.segments if s.branch == number) for number in numbers)

    @property
    def policy_segments(self) -> tuple[Segment, ...]:
        return tuple(segment for segment in self.segments if segment.kind == "policy")

    @property
    def is_ended(self) -> bool:
        """Whether the policy ended its output itself: no limit cut it, and no stop string."""
        return self.status == "finished" and not any(segment.stop for segment in self.policy_segments[-1:])

    @property
    def text(self) -> str:
        """What the policy wrote, all its segments one after the other."""
        return "".join(segment.text for segment in self.policy_segments)

    @property
    def num_policy_tokens(self) -> int:
        """|o_i|: the tokens in the loss."""
        return sum(len(segment.token_ids) for segment in self.policy_segments)

    @property
    def num_context_tokens(self) -> int:
        return sum(len(segment.token_ids) for segment in self.segments if segment.kind == "context")

    @property
    def num_row_tokens(self) -> int:
        """What the learner's forward pass has to read: prompt and segments of every branch."""
        return self.num_policy_tokens + self.num_context_tokens + len(self.branches) * len(self.prompt_token_ids)

    @property
    def oldest_version(self) -> int:
        """The age of a trajectory is the age of its oldest sampled token."""
        return min(span.version for segment in self.policy_segments for span in segment.versions)

    @property
    def newest_version(self) -> int:
        return max(span.version for segment in self.policy_segments for span in segment.versions)


def trajectory_id(group_id: str, index: int) -> str:
    """Return ``"<group_id>#<index>"``, which is unique among the trajectories of a run."""
    return f"{group_id}#{index}"


def group_of(trajectory: str) -> str:
    """Return the group of a trajectory, by their names."""
    return trajectory.rpartition("#")[0]


@dataclass(frozen=True, slots=True)
class Response:
    """What a reward function sees of a trajectory."""

    text: str
    finished: bool
    """Whether the model ended its output itself; False where the length limit or a stop string cut it."""
    num_tokens: int | None = None
    max_tokens: int | None = None
    """The length limit it was sampled with. Both are None where only the text is known."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a reward function says of a response where a bare number is not enough."""

    value: float
    label: str = ""
    """One word for the kind of result, counted in the metrics: ``correct``, ``wrong``, ``no_answer``, ``timeout``."""
    extracted: str | None = None
    """The answer, or the program, that was judged."""
    detail: str = ""
    """For people: which test failed and how."""
    metrics: dict[str, float] = field(default_factory=dict)
    """Other numbers of the same judgement, by name: ``f1`` beside an exact match. They are logged, never rewarded."""
    tests: ProgramTests | None = None
    """Tests of a program, where it was tested."""


@dataclass(frozen=True, slots=True)
class Scored:
    """The trajectory was judged: r_i and its named parts."""

    total: float
    parts: dict[str, float]
    """And the metrics of their scores: what has no weight adds nothing to the total."""
    failures: tuple[PartFailure, ...] = ()
    """Failures of parts whose function raised, or returned no number; they count 0."""
    label: str = ""
    """One word of the first part that gives one (accuracy's, as a rule): see :class:`Score`."""
    detail: str = ""
    tests: ProgramTests | None = None
    """Tests of a program, where it was tested."""


@dataclass(frozen=True, slots=True)
class Unscorable:
    """The prompt's own reference is broken: the prompt is quarantined, no trajectory of it is scored."""

    reason: str


@dataclass(frozen=True, slots=True)
class ScoringFailed:
    """The reward system failed, not the model: the trajectory is left out of its group's mean, std and loss."""

    reason: str
    failures: tuple[PartFailure, ...] = ()
    """If the user's function failed, and ``on_error`` says to mask it; a machine or a service did otherwise."""


Outcome: TypeAlias = Scored | Unscorable | ScoringFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredTrajectory:
    """A trajectory's outcome, and the few facts of it that the controller needs.

    The controller never opens a trajectory; this is all that it knows about one.
    """

    index: int
    outcome: Outcome
    extracted: str | None
    """The answer found in the text, None where there is none."""
    num_prompt_tokens: int
    num_policy_tokens: int
    num_context_tokens: int
    num_row_tokens: int
    """See :attr:`Trajectory.num_row_tokens`."""
    num_turns: int
    num_branches: int
    status: Status
    oldest_version: int
    newest_version: int
    seconds: float = 0.0
    """What scoring it took."""
    world: InEnvironment | None = None

    @classmethod
    def of(
        cls, trajectory: Trajectory, outcome: Outcome, *, extracted: str | None, seconds: float = 0.0
    ) -> ScoredTrajectory:
        """Return a trajectory's facts with its outcome."""
        return cls(
            index=trajectory.index,
            outcome=outcome,
            extracted=extracted,
            num_prompt_tokens=len(trajectory.prompt_token_ids),
            num_policy_tokens=trajectory.num_policy_tokens,
            num_context_tokens=trajectory.num_context_tokens,
            num_row_tokens=trajectory.num_row_tokens,
            num_turns=len(trajectory.policy_segments),
            num_branches=len(trajectory.branches),
            status=trajectory.status,
            oldest_version=trajectory.oldest_version,
            newest_version=trajectory.newest_version,
            seconds=seconds,
            world=trajectory.world,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """A trajectory that is not in its group: it takes no part in mean, std and loss, and is counted by its reason."""

    index: int
    reason: str
    """``late``, ``engine_lost``, ``environment_lost``, ``environment_failed``, ``failed``, or why the group was closed
    before its end: ``enough``, ``surplus``."""
    num_policy_tokens: int
    """What there was of it."""
    failure: PartFailure | None = None
    """Failure of its environment, if that is the reason; the part is the environment's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredGroup:
    """All that the driver gets of a group: no tokens, no text.

    The trajectories themselves stay with the group worker until they are dropped there; whoever needs them reads them
    by id. A worker that was started again has another incarnation, and none of what the one before held.
    """

    group_id: str
    trajectories: tuple[ScoredTrajectory, ...]
    """In the order of their indices."""
    removed: tuple[Removed, ...]
    worker: int
    incarnation: str
    generate_s: float
    """From the first trajectory that was begun to the last that ended."""
    reward_s: float
    """From there to the last reward."""
    num_retries: int = 0
    """Trajectories that were generated again, alone."""

    @property
    def ids(self) -> list[str]:
        """The names of all its trajectories, with those that were removed."""
        return [trajectory_id(self.group_id, i) for i in sorted(one.index for one in self.trajectories + self.removed)]


@dataclass(frozen=True, slots=True)
class SampleRef:
    """One trajectory of a training batch, by name, with its advantage A_i. Of given rows the name is the row's number
    in its step."""

    id: str
    """See :attr:`Trajectory.id`."""
    advantage: float
    num_tokens: int
    """What the learner's forward pass has to read: the tokens of all its branches, the prompt in each."""
    turn_advantages: tuple[float, ...] = ()
    """A_i of each turn, with ``algo.credit=turn``; they take the advantage's place."""
    num_prompt_tokens: int = 0
    """At the beginning of each branch; the samples of a group begin alike."""
    num_branches: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Minibatch:
    """One rank's share of one optimizer step, in micro-batches, with the *global* denominators."""

    microbatches: tuple[tuple[SampleRef, ...], ...]
    """As many on every rank; a rank that has nothing left gets empty ones."""
    num_sequences: int
    """Trajectories of the minibatch over all ranks."""
    num_tokens: int
    """Policy tokens of the minibatch over all ranks."""
    num_distinct_tokens: int = 0
    """Tokens that the minibatch has to read over all ranks, with the prompt of each group once."""


@dataclass(frozen=True, slots=True)
class Shard:
    """What one learner rank gets for one step: its part of each minibatch, in order."""

    minibatches: tuple[Minibatch, ...]
    learner_version: int
    """Policy version before the step."""


@dataclass(frozen=True, slots=True)
class StepStats:
    """What the learner reports of one step, already reduced over ranks and minibatches."""

    metrics: dict[str, float]
    """By the names of metrics.jsonl: ``loss/policy``, ``kl/ref``, ``clip_fraction``, ..."""
    trained_tokens: int
    """Tokens that went through forward and backward, prompts included, padding left out."""
    padding_tokens: int


@dataclass(frozen=True, slots=True)
class PublishStats:
    """What one weight publish cost and what it verified."""

    version: int
    seconds: float
    num_bytes: int
    num_engines: int
    num_resent: int
    probe_max_diff: float | None
    """Largest |log p(engine) - log p(learner)| on the probe, nats; None where no probe was due."""
    probe_mean_diff: float | None = None
    """Mean of the same, of the engine where it is largest."""
    probe_kl: float | None = None
    """KL divergence of the learner from the engine on the probe, by k3, of the engine where it is largest."""
    probe_s: float = 0.0
    """Seconds of the probe; ``seconds`` includes them."""
    turn_s: Mapping[str, float] = field(default_factory=dict)
    """Seconds of turns on shared devices since the last publish: ``hand_over``, and of it ``sleep`` and ``wake`` of the
    engines; empty where engines and learner have devices of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRecord:
    """One group as the rollout log keeps it."""

    group_id: str
    prompt: Prompt
    group: ScoredGroup | None
    """None: it failed before there was anything of it."""
    advantages: tuple[float | None, ...]
    """One for each of its trajectories; None where it was not trained on."""
    status: Literal["trained", "dropped", "uniform", "not_finite", "evaluated"]
    dropped_reason: str = ""
