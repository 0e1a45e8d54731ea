"""The reference policy of the KL term: a frozen copy beside the learner, the model without its adapters, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

import torch

from r1ray.config import LearnerConfig
from r1ray.learner.deepspeed_engine import copy_parameters
from r1ray.learner.frozen import FrozenModel
from r1ray.learner.lora import adapters_off
from r1ray.learner.packed import Packed
from r1ray.learner.parts import Stored, load_parts, num_parts, own_parts, part_file
from r1ray.learner.policy import PolicyModel
from r1ray.learner.writer import StateWriter

NAME = "reference"
"""Of its files."""


class Reference(Protocol):
    """log pi_ref. Lives beside the learner and reads the same rows."""

    def logprobs(self, packed: Packed) -> torch.Tensor | None:
        """[N] float32, one for each chosen token of the rows; None where there is no reference."""
        ...

    def refresh(self) -> None:
        """pi_ref <- pi_theta."""
        ...


class NoReference:
    """The Reference role where beta is 0: nothing is loaded, nothing is computed."""

    modules: Sequence[torch.nn.Module] = ()
    """Whose parameters are this role's alone."""

    def logprobs(self, packed: Packed) -> None:
        return None

    def refresh(self) -> None:
        return

    def save(self, folder: Path, *, writer: StateWriter | None = None) -> None:
        return

    def load(self, folder: Path) -> None:
        return


class AdaptersOff(NoReference):
    """The Reference role where adapters are trained: the model itself is still as it was. Never changes."""

    def __init__(self, policy: PolicyModel, logprobs: Callable[[Packed], torch.Tensor]) -> None:
        """
        Args:
            logprobs: those of the policy as it stands.
        """
        self._policy, self._logprobs = policy, logprobs

    def logprobs(self, packed: Packed) -> torch.Tensor:  # type: ignore[override]
        """See :class:`Reference`."""
        with adapters_off(self._policy):
            return self._logprobs(replace(packed, choices_NLK=None))


class FrozenReference:
    """A copy of the policy that changes only by :meth:`refresh`."""

    def __init__(
        self,
        policy: PolicyModel,
        copy: PolicyModel,
        config: LearnerConfig,
        *,
        rank: int,
        world_size: int,
        temperature: float,
        device: torch.device,
    ) -> None:
        """
        Args:
            copy: the policy as it is at the start, once more; taken over.
        """
        self._policy = policy
        self._copy = copy
        self._frozen = FrozenModel(copy, config, world_size=world_size, temperature=temperature, device=device)
        self.modules: Sequence[torch.nn.Module] = (copy,)
        self._rank = rank
        self._parts = num_parts(self._copy, world_size=world_size)
        self._part = rank if rank < self._parts else None
        self._stored = Stored()

    def logprobs(self, packed: Packed) -> torch.Tensor:
        """See :class:`Reference`."""
        if self._copy.decoder.path != self._policy.decoder.path:
            self._copy.decoder.use(self._policy.decoder.path)
        return self._frozen.logprobs(packed)

    def refresh(self) -> None:
        """pi_ref <- pi_theta."""
        copy_parameters(self._policy, self._copy)
        self._stored = Stored()

    def save(self, folder: Path, *, writer: StateWriter | None = None) -> None:
        """The reference belongs to the run's state. It is written once, and linked into later checkpoints until it is
        refreshed: they stay whole when earlier ones are removed. ``writer`` as of
        :func:`r1ray.learner.state.save_state`, which waits for what it had to write before."""
        if self._part is None:
            return
        path = part_file(folder, NAME, part=self._part, parts=self._parts)
        if self._stored.is_written:
            action = partial(self._stored.put, path)
        else:
            self._stored = Stored()  # a refresh while it is written makes another
            action = partial(self._stored.write, own_parts(self._copy, rank=self._rank), path)
        if writer is None:
            action()
        else:
            writer.run(action)

    def load(self, folder: Path) -> None:
        """What :meth:`save` wrote, with any number of ranks."""
        load_parts(self._copy, folder, NAME, rank=self._rank)
        self._stored = Stored()
        if self._part is not None and (own := part_file(folder, NAME, part=self._part, parts=self._parts)).exists():
            self._stored.found(own)
