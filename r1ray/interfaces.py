"""Roles of the loop, as Protocols. The controller knows no other part of the system.

    GroupRunner (of engines and scorers) --> Learner --> WeightSync --> GroupRunner
         `--> Recorder

Roles that the loop does not see are defined beside their users: the engine in :mod:`r1ray.rollout.engine`, the
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
        """Return the trajectory with its outcome. Never raises because of the model's output."""
        ...

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """Return the classes of answers that mean the same (:func:`r1ray.algo.consensus.answer_classes`); None if
        answers of this kind (programs, essays) cannot be compared with each other."""
        ...


class GroupRunner(Protocol):
    """o_1 .. o_G ~ pi_old(. | q), and their rewards: groups, run by group workers."""

    async def run(self, request: GroupRequest) -> ScoredGroup:
        """Return the facts of a group; its trajectories stay with the worker. Raises GroupLost, GroupFailed."""
        ...

    async def abort(self, group_id: str, reason: str) -> None:
        """Close a group with the trajectories that are scored; the others are removed with this reason."""
        ...

    def is_held(self, group: ScoredGroup) -> bool:
        """Return False once the worker that ran a group is known to be gone, and the group's trajectories with it."""
        ...

    async def read(self, groups: Sequence[ScoredGroup]) -> Mapping[str, Trajectory]:
        """Return the trajectories of groups by id, as far as they are held; evaluation needs their texts."""
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
        """Return whether an engine is being replaced or receives weights. Waits for a group do not count that time,
        which has deadlines of its own."""
        ...


class Learner(Protocol):
    """pi_theta: the only place where parameters change."""

    async def train(
        self, shards: Sequence[Shard], groups: Sequence[ScoredGroup], *, has_more: bool = False
    ) -> StepStats:
        """Do one optimizer update for every minibatch of the shards (one shard for each rank). Raises GroupLost, before
        anything is computed, if trajectories of groups are gone.

        Args:
            groups: the groups whose trajectories the shards name.
            has_more: the step continues with another call. The returned metrics cover all of its calls so far.
        """
        ...

    async def refresh_reference(self) -> None: ...

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        """Return log p of tokens 1..T-1 of each sequence ([T] int32), laid end to end, float32, at temperature 1 (for
        the parity probe)."""
        ...

    async def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        """Save optimizer, scheduler, rng and parameters, as they are now, into ``folder``. With ``asynchronous`` the
        files are written later, and the folder is complete once :meth:`written` returns True."""
        ...

    async def written(self) -> bool:
        """Return whether everything that was saved is on disk. Raises the error of a failed write."""
        ...

    async def load(self, folder: Path) -> None: ...

    async def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        """Write a Hugging Face model into ``folder``, which must not exist: the current policy, or the one that
        ``save`` wrote into ``checkpoint``."""
        ...


class WeightSync(Protocol):
    """pi_old <- pi_theta."""

    async def publish(self, version: int, *, eval_engines: bool = False, probe: bool = False) -> PublishStats:
        """Publish the learner's weights as ``version``; on return every serving engine holds them, verified. Engines
        that held them before are left alone, and an engine that is being started gets them once it is up.

        Args:
            eval_engines: include the engines that only evaluate, if there are any.
            probe: run the parity probe, due or not.

        Raises ``WeightSyncError``.
        """
        ...

    async def rest(self) -> None:
        """Leave the devices to the learner until the next publish, if engines share them with it: everything they had
        to generate is done. Raises LearnerLost."""
        ...

    async def go_on(self, version: int) -> None:
        """Take the devices back without a new version, to generate more with ``version``, which the learner still
        holds. Raises the same errors as :meth:`publish`."""
        ...

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever a rollout engine is lost."""
        ...

    def when_behind(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever a rollout engine that replaces a lost one waits for the learner to publish
        the live version to it. (That publish leaves the other engines alone.)"""
        ...

    def when_eval_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever an engine that only evaluates is lost."""
        ...


class Recorder(Protocol):
    """The rollout log."""

    async def record(self, step: int, records: Sequence[GroupRecord]) -> None:
        """Hand over the groups that ended in this step, and release their trajectories once they are written. Does not
        wait for the write."""
        ...

    async def set_aside(self, step: int, records: Sequence[GroupRecord]) -> Path:
        """Write groups that ended the run into a file of their own, which a resumed run leaves alone."""
        ...

    async def flush(self) -> None:
        """Return when everything handed over is on disk, or was lost with the writer; raises any other error."""
        ...

    def when_lost(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called whenever the writer is lost. Another one takes its place."""
        ...


class Lent(Protocol):
    """Trajectories, or given rows, on their way to the process that needs them."""

    def read(self) -> Mapping[str, Any]:
        """Return them by name, without those that are gone."""
        ...


class Environment(Protocol):
    """A world for one trajectory, made for it and closed with it. It raises InfrastructureError if a machine or a
    service failed; any other exception is the environment's own fault. Neither ever becomes a reward of zero."""

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        """Return the conversation up to the first turn, and the tools."""
        ...

    async def step(self, action: Action) -> Observation | Done:
        """Return the answer to a turn of the policy."""
        ...

    async def close(self) -> None:
        """Release all resources. Aborted trajectories are closed, too."""
        ...


class Tool(Protocol):
    """A function that a policy may call in a turn."""

    @property
    def schema(self) -> ToolSchema: ...

    async def call(self, arguments: Mapping[str, Any]) -> str | ToolResult:
        """Return the result to show to the policy. Raises ToolFailed, with a message for the policy."""
        ...


class RewardFn(Protocol):
    """One scoring rule. It returns a number (rules: in [0, 1]) or a :class:`Score`, which adds details; it is async if
    it waits. Raises ``UnscorableError`` if the prompt's own reference is broken and ``InfrastructureError`` if a
    machine or a service failed; ``reward.parts.X.on_error`` decides the consequence of any other exception."""

    def __call__(self, prompt: Prompt, response: Response) -> float | Score | Awaitable[float | Score]: ...
