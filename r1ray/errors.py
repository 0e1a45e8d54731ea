"""Exceptions of r1ray, and :class:`PartFailure`, the record of an exception in the user's code.

R1RayError
+-- UserError             the user's configuration, file or machine; exit code 2, no traceback
|   +-- OwnFunctionFailed a function of the user's own failed in a run; exit code 2, with its traceback
+-- Terminated            SIGTERM: the run ended where it can be resumed; exit code 143
+-- GroupFailed           a group cannot be generated, although its engine works; the group is dropped
|   +-- PromptTooLong     its prompt does not fit
+-- NonFiniteLoss         a loss is not a number; nothing was updated
+-- ToolFailed            a tool cannot serve a call; the policy is told
+-- EnvironmentFailed     an environment's own code failed, and its trajectory with it
+-- UnscorableError       a prompt's own reference is broken: nothing can be judged by it
+-- InfrastructureError   a part of the system failed; never a reward of zero
    +-- DeadlineExceeded  a wait took too long
    |   +-- PartStuck     a reward function did not return, and only ending its process can stop it
    +-- EnvironmentLost   an environment worker died, and the worlds of its trajectories with it
    +-- EngineLost        a rollout engine died, or may no longer serve
    +-- GroupLost         a group worker died, and its groups with it; they are issued again
    +-- LearnerLost       a learner rank died, or does not answer; the group is started again
    +-- MachineTooBusy    other processes left a program or check too little processor time
    +-- SandboxUnavailable  untrusted code cannot be run safely on this machine; a UserError too
    +-- WeightSyncError   new weights could not be verified on the rollout engines
        +-- ParityError   engines compute other log-probabilities than the learner
"""

from __future__ import annotations

from dataclasses import dataclass


class R1RayError(Exception):
    """Base of everything that r1ray raises on purpose."""


class UserError(R1RayError):
    """Invalid user input. The message states the value found, the value needed, and the key."""


class OwnFunctionFailed(UserError):
    """A function of the user's own failed, and their configuration ends the run in that case. Running again is useless
    until the function or ``on_error`` is changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFailure:
    """Failure of a reward function on one response, or of an environment in one trajectory: a value stored with the
    score, not an exception."""

    part: str
    """Name of the part in ``reward.parts``."""
    kind: str
    """Exception and line, or the returned value: ``ValueError at my_rewards.py:12``, ``returned None``."""
    message: str
    response: str
    """Text of the response; the middle of a long one is left out, as in ``traceback``."""
    traceback: str = ""
    """Traceback of the exception; empty if nothing was raised."""
    on_error: str = "auto"
    """Consequence of the failure: see ``reward.parts.X.on_error``. ``zero`` for rules that ship, ``mask`` for
    environments."""
    ended_worker: bool = False
    """True if the process that called the function died of it, or had to be ended, more than once."""
    of: str = "reward part"
    """Kind of the part that failed; ``environment`` if it is an environment, whose name is then in ``part``."""

    def __str__(self) -> str:
        """Return the failure in one line, for tables."""
        place = self.kind.partition(" at ")[2]
        return f"{self.of} {self.part}: {self.message}" + (f" ({place})" if place else "")


class Terminated(R1RayError):
    """A run ended because it was asked to."""

    @classmethod
    def after(cls, step: int, *, has_checkpoint: bool) -> Terminated:
        """Return the error for a run that ended after this step; its message tells what the same command does next."""
        next_time = "goes on" if has_checkpoint else "begins anew, for there is no checkpoint yet"
        return cls(f"stopped after step {step}; the same command {next_time}")


class GroupFailed(R1RayError):
    """A group cannot be generated for a reason that lies in the group itself."""

    reason = "generation_failed"


class PromptTooLong(GroupFailed):
    """The prompt has more tokens than data.max_prompt_tokens."""

    reason = "prompt_too_long"


class NonFiniteLoss(R1RayError):
    """The loss of some groups is infinite or not a number; the parameters are as before the update."""

    def __init__(self, group_ids: tuple[str, ...]) -> None:
        super().__init__(group_ids)
        self.group_ids = group_ids

    def __str__(self) -> str:
        return f"the loss is not finite in the micro-batches of the groups {', '.join(self.group_ids)}"


class ToolFailed(R1RayError):
    """A tool cannot serve a call: the arguments are invalid, the call took too long, or the tool failed. The policy is
    told the message."""


class EnvironmentFailed(R1RayError):
    """The code of an environment raised, returned neither an observation nor an end, or exceeded its time limit.
    Neither the policy nor a machine is to blame."""

    def __init__(self, message: str, kind: str, traceback: str = "") -> None:
        super().__init__(message, kind, traceback)  # all arguments, so that the error survives pickling
        self.message, self.kind, self.traceback = message, kind, traceback
        """``kind`` is the part that is the same for every such failure: ``ValueError at my_world.py:12``, ``took longer
        than environment.step_timeout_s``; ``traceback`` is empty if nothing was raised."""

    def __str__(self) -> str:
        return self.message


class UnscorableError(R1RayError):
    """The reference of a prompt is broken (it cannot be parsed, its tests do not run); no response is to blame."""


class InfrastructureError(R1RayError):
    """A machine, a process or a connection failed; the model is not to blame."""


class DeadlineExceeded(InfrastructureError):
    """A wait ended without an answer."""


class PartStuck(DeadlineExceeded):
    """The function of a reward part did not return, and still runs in its thread."""

    def __init__(self, message: str, part: str) -> None:
        super().__init__(message, part)  # all arguments, so that the error survives pickling
        self.message, self.part = message, part

    def __str__(self) -> str:
        return self.message


class EnvironmentLost(InfrastructureError):
    """An environment worker is gone, with the worlds that it held. Their trajectories are generated again."""


class EngineLost(InfrastructureError):
    """A rollout engine is gone; its unfinished trajectories have to be generated again."""


class GroupLost(InfrastructureError):
    """The group worker that ran or held some groups is gone; the groups have to be issued again."""

    def __init__(self, group_ids: tuple[str, ...]) -> None:
        super().__init__(group_ids)
        self.group_ids = group_ids

    def __str__(self) -> str:
        return f"the group worker of groups {', '.join(self.group_ids)} is gone"


class LearnerLost(InfrastructureError):
    """The learner group has to be started again, whatever state its other ranks are in."""

    def __init__(self, message: str, ranks: tuple[int, ...] = ()) -> None:
        super().__init__(message, ranks)  # all arguments, so that the error survives pickling
        self.message, self.ranks = message, ranks
        """Ranks that are to blame, as far as they are known."""

    def __str__(self) -> str:
        return self.message


class MachineTooBusy(InfrastructureError):
    """Other processes left a program or a check too little processor time to judge it."""


class SandboxUnavailable(InfrastructureError, UserError):
    """No reliable isolation is available here; the message says what is missing and how to get it."""


class WeightSyncError(InfrastructureError):
    """An engine does not hold the weights that were published."""

    def __init__(self, message: str, engines: tuple[str, ...] = ()) -> None:
        super().__init__(message, engines)  # all arguments, so that the error survives pickling
        self.message, self.engines = message, engines
        """Names of the engines that failed, as far as they are known."""

    def __str__(self) -> str:
        return self.message


class ParityError(WeightSyncError):
    """An engine received the weights but computes other log-probabilities with them than the learner does."""


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure of a group; the later ones are its consequences."""
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
