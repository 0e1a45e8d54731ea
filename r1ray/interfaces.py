"""The five roles of the loop, as Protocols. The controller knows nothing else of the system.

``C`` stands for a *chunk*: the trajectories of one group that finished together, ``tuple[Trajectory, ...]``. On Ray
it is a reference into the object store, in a single process the tuple itself; the controller only passes it on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from r1ray.types import (
    Float32Array,
    GroupRecord,
    GroupRequest,
    Int32Array,
    Prompt,
    PublishStats,
    Response,
    Score,
    ScoredTrajectory,
    Shard,
    StepStats,
    Trajectory,
)

if TYPE_CHECKING:
    import torch

C = TypeVar("C")
C_co = TypeVar("C_co", covariant=True)
C_contra = TypeVar("C_contra", contravariant=True)
R_contra = TypeVar("R_contra", contravariant=True)


class RolloutEngine(Protocol[C_co]):
    """o_i ~ pi_old(. | q)."""

    def generate(self, request: GroupRequest) -> AsyncIterator[C_co]:
        """Yield the group's trajectories in chunks, as they finish. Raises ``EngineLost``; then nothing that was
        yielded counts and the group has to be generated again. Raises ``PromptTooLong``."""
        ...


class Scorer(Protocol[C_contra]):
    """r_i."""

    async def score(self, prompt: Prompt, chunk: C_contra) -> tuple[ScoredTrajectory, ...]:
        """Return the outcome and the facts of each trajectory of the chunk. Never raises because of what the model
        wrote."""
        ...

    async def classes(self, prompt: Prompt, answers: Sequence[str | None]) -> tuple[int | None, ...] | None:
        """Which answers to a prompt mean the same (:func:`r1ray.algo.consensus.answer_classes`); None where
        answers of its kind cannot be compared with each other: programs, essays."""
        ...


class Reference(Protocol[R_contra]):
    """log pi_ref. Lives beside the learner and reads the same rows, ``R``."""

    def logprobs(self, packed: R_contra) -> torch.Tensor | None:
        """[N] float32, one for each chosen token of the rows; None where there is no reference."""
        ...

    def refresh(self) -> None:
        """pi_ref <- pi_theta."""
        ...


class Learner(Protocol[C_contra]):
    """pi_theta: the only place where parameters change."""

    async def train(self, shards: Sequence[Shard], chunks: Sequence[C_contra]) -> StepStats:
        """One step: every minibatch of the shards (one shard for each rank) is one optimizer update."""
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


class SupervisedLearner(Learner[C_contra], Protocol[C_contra]):
    """A learner of examples or pairs; of a shard's samples the advantages mean nothing, and names are numbers of
    rows."""

    async def evaluate(self, shards: Sequence[Shard], chunks: Sequence[C_contra]) -> StepStats:
        """The forward pass alone. The metrics have bare names: ``loss``, ``accuracy``, ..., each a mean over the terms
        (tokens or pairs) of all shards."""
        ...


class WeightSync(Protocol):
    """pi_old <- pi_theta."""

    async def publish(self, version: int, *, held_out: bool = False, probe: bool = False) -> PublishStats:
        """When this returns, every serving engine holds verified weights of ``version``; with ``held_out`` those that
        only evaluate too, where there are any. ``probe``: the parity probe runs, due or not. Raises
        ``WeightSyncError``."""
        ...


class Recorder(Protocol[C_contra]):
    """The rollout log."""

    async def record(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[C_contra]]]) -> None:
        """Hand over the groups that ended in this step; does not wait for them to be written."""
        ...

    async def set_aside(self, step: int, groups: Sequence[tuple[GroupRecord, Sequence[C_contra]]]) -> Path:
        """Write groups that ended the run into a file of their own, which a resumed run leaves alone."""
        ...

    async def flush(self) -> None:
        """Return when everything handed over is on disk; raises what went wrong on the way."""
        ...


class RewardFn(Protocol):
    """One scoring rule: a number (rules: in [0, 1]), or a :class:`Score` with a word on how it came about; async where
    it waits. Raises ``UnscorableError`` where the prompt's own reference is broken and ``InfrastructureError`` where a
    machine or a service failed; whatever else it raises counts as 0, and is counted."""

    def __call__(self, prompt: Prompt, response: Response) -> float | Score | Awaitable[float | Score]: ...


Chunk = tuple[Trajectory, ...]
