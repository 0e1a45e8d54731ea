"""The roles of the loop, as Protocols. The controller knows nothing else of the system.

    GroupRunner (of engines and scorers) --> Learner --> WeightSync --> GroupRunner
         `--> Recorder

A part of a role that the loop does not see is beside its users: the engine in :mod:`r1ray.rollout.engine`, the
reference in :mod:`r1ray.learner.kl_reference`, the learner of given rows in :mod:`r1ray.loop.supervised_loop`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from r1ray.turns import Action, Done, Observation, ToolResult, ToolSchema
from r1ray.types import (
    EngineTimes,
    Float32Array,
    GroupRecord,
    GroupRequest,
    Int32Array,
    Prompt,
    PublishStats,
    Response,
    Score,
    ScoredGroup,
    ScoredTrajectory,
    Shard,
    StepStats,
    Trajectory,
)


class Scorer(Protocol):
    """r_i."""

    async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
        """Never raises because of what the model wrote."""
        ...

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """Which answers to a prompt mean the same (:func:`r1ray.algo.consensus.answer_classes`); None where
        answers of its kind cannot be compared with each other: programs, essays."""
        ...


class GroupRunner(Protocol):
    """o_1 .. o_G ~ pi_old(. | q), and their rewards: groups, run by group workers."""

    async def run(self, request: GroupRequest) -> ScoredGroup:
        """Return the facts of a group; its trajectories stay with the worker. Raises GroupLost, GroupFailed."""
        ...

    async def abort(self, group_id: str, reason: str) -> None:
        """Close a group with what is scored; what it removes gets this reason."""
        ...

    def is_held(self, group: ScoredGroup) -> bool:
        """Return False once the worker that ran a group is known to be gone, with its trajectories."""
        ...

    async def read(self, groups: Sequence[ScoredGroup]) -> Mapping[str, Trajectory]:
        """Return the trajectories of groups by id, as far as they are held: for evaluation, which looks at texts."""
        ...

    async def drop(self, groups: Iterable[ScoredGroup]) -> None:
        """Let workers forget the trajectories of groups."""
        ...

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """See :class:`Scorer`."""
        ...

    async def engine_times(self) -> Mapping[str, EngineTimes]:
        """Return how each engine has spent its time, by its name."""
        ...

    def is_recovering(self) -> bool:
        """Return whether an engine is being replaced, or given weights. Who waits for a group does not count that
        time: it has deadlines of its own."""
        ...


class Learner(Protocol):
    """pi_theta: the only place where parameters change."""

    async def train(
        self, shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False
    ) -> StepStats:
        """Make every minibatch of the shards (one shard for each rank) an optimizer update. Raises GroupLost, before
        anything is computed, if trajectories of groups are gone.

        Args:
            groups: whose trajectories the shards name.
            has_more: the step goes on with another call. What is returned is of all its calls so far.
        """
        ...

    async def refresh_reference(self) -> None: ...

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        """log p of tokens 1..T-1 of each sequence ([T] int32), end to end, float32, at temperature 1 (the parity
        probe)."""
        ...

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        """Optimizer, scheduler, rng and parameters, as they are now, into ``folder``. With ``asynchronous`` the files
        are written later, and the folder is whole once :meth:`written` says so."""
        ...

    async def written(self) -> bool:
        """Whether everything that was saved is on disk. Raises what went wrong in writing it."""
        ...

    async def load(self, folder: Path) -> None: ...

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        """Write a Hugging Face model into ``folder``, which must not exist: the policy as it is now, or as ``save``
        wrote it into ``checkpoint``."""
        ...


class WeightSync(Protocol):
    """pi_old <- pi_theta."""

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        """When this returns, every serving engine holds verified weights of ``version``; one that did before is left
        alone, and one that is being started gets them when it is there. With ``eval_engines``
        those that only evaluate too, if there are any. ``probe``: the parity probe runs, due or not. Raises
        ``WeightSyncError``."""
        ...

    async def rest(self) -> None:
        """Leave the devices to the learner until the next publish, where engines share them with it: all that they were
        to generate is there. Raises LearnerLost."""
        ...

    async def go_on(self, version: int) -> None:
        """Have the devices back without a new version: there is more to generate by ``version``, which the learner
        still holds. Raises what :meth:`publish` does."""
        ...

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever a rollout engine is lost."""
        ...

    def when_behind(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever a rollout engine waits for the learner to publish the live version to it,
        once more: one in the place of a lost one. (Others are left alone by that.)"""
        ...

    def when_eval_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever an engine is lost that only evaluates."""
        ...


class Recorder(Protocol):
    """The rollout log."""

    async def record(self, step: int, records: Sequence[GroupRecord]) -> None:
        """Hand over the groups that ended in this step, and let their trajectories go once they are written; does not
        wait for that."""
        ...

    async def set_aside(self, step: int, records: Sequence[GroupRecord]) -> Path:
        """Write groups that ended the run into a file of their own, which a resumed run leaves alone."""
        ...

    async def flush(self) -> None:
        """Return when everything handed over is on disk, or lost with its writer; raises what else went wrong."""
        ...

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever the writer is lost. Another one takes its place."""
        ...


class Lent(Protocol):
    """Trajectories, or given rows, on their way to the process that needs them."""

    def read(self) -> Mapping[str, Any]:
        """Return them by name; what is gone is left out."""
        ...


class Environment(Protocol):
    """A world for one trajectory: made for it, and left with it. It raises InfrastructureError where a machine or a
    service failed; whatever else it raises is the environment's own fault. Neither is ever a reward of zero."""

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the conversation up to the first turn, and the tools."""
        ...

    async def step(self, action: Action) -> Observation | Done:
        """Answer a turn of the policy's."""
        ...

    async def close(self) -> None:
        """Let go of what it holds. A trajectory that was aborted ends here too."""
        ...


class Tool(Protocol):
    """A function that a policy may call in a turn."""

    @property
    def schema(self) -> ToolSchema: ...

    async def call(self, arguments: Mapping[str, Any]) -> str | ToolResult:
        """Return what the policy is told. Raises ToolFailed, with a sentence for it."""
        ...


class RewardFn(Protocol):
    """One scoring rule: a number (rules: in [0, 1]), or a :class:`Score` with a word on how it came about; async where
    it waits. Raises ``UnscorableError`` where the prompt's own reference is broken and ``InfrastructureError`` where a
    machine or a service failed; what becomes of whatever else it raises, ``reward.parts.X.on_error`` says."""

    def __call__(self, prompt: Prompt, response: Response) -> float | Score | Awaitable[float | Score]: ...
