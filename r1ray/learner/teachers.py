"""Teachers of on-policy distillation: frozen models of any size, which read what the policy sampled.

samples of a micro-batch --by domain--> rows of each teacher --> log pi_teacher, in the order of the samples
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from r1ray.config import LearnerConfig
from r1ray.learner.fitting import MakeRows, fill_up, within_limit
from r1ray.learner.frozen import FrozenModel
from r1ray.learner.policy import PolicyModel, check_policy
from r1ray.learner.rows import make_rows
from r1ray.types import SampleRef, Trajectory

OTHERS = ""
"""Domain of the teacher that has all domains without one of their own."""


@dataclass(frozen=True, slots=True)
class Taught:
    """The tokens in the loss of a micro-batch as their teachers see them."""

    logp_N: torch.Tensor  # [N] float32
    """log pi_teacher; 0 for tokens without a teacher."""
    number_N: torch.Tensor  # [N] int64
    """The number of the domain that each token's teacher is for; -1: there is none."""

    def beside(self, logp_N: torch.Tensor) -> torch.Tensor:
        """Return log pi_teacher, and log pi_theta where there is no teacher, so that they do not differ there.

        Args:
            logp_N: log pi_theta.
        """
        return torch.where(self.number_N >= 0, self.logp_N, logp_N.detach())


class Teachers:
    """All teachers of a run, on one rank."""

    def __init__(
        self,
        models: Mapping[str, str],
        load: Callable[[str], Any],
        config: LearnerConfig,
        *,
        world_size: int,
        temperature: float,
        device: torch.device,
        sequence_group: Any = None,
        packs_trees: bool = False,
    ) -> None:
        """
        Args:
            models: by the domain they teach, see :attr:`r1ray.config.TeacherConfig.models`.
            load: makes the model of a path.
            packs_trees: compute common beginnings once, as far as a teacher can.

        Raises UserError for a model that computes nothing but by itself, see :func:`check_policy`.
        """
        self._config, self._device = config, device
        self._domains = list(models)
        paths = list(dict.fromkeys(models.values()))  # one model may teach several domains
        self._domains_of = [[n for n, each in enumerate(models.values()) if each == path] for path in paths]
        """Numbers of the domains of each teacher."""
        own = {f"teacher/kl/{name}": number for number, name in enumerate(self._domains) if name != OTHERS}
        self._measured: dict[str, int | None] = {"teacher/kl": None} | own if models else {}
        self._teachers = [
            FrozenModel(
                PolicyModel(load(path), sequence_group=sequence_group),
                config,
                world_size=world_size,
                temperature=temperature,
                device=device,
            )
            for path in paths
        ]
        for path, teacher in zip(paths, self._teachers, strict=True):
            check_policy(
                teacher.forward,
                name=path,
                device=device,
                multiple=config.sequence_parallel_size,
                packs_trees=packs_trees,
            )

    @property
    def modules(self) -> Sequence[torch.nn.Module]:
        """Modules whose parameters are the teachers' alone."""
        return [teacher.model for teacher in self._teachers]

    def logprobs(self, samples: Sequence[SampleRef], trajectories: Mapping[str, Trajectory]) -> Taught:
        """Return what the teachers say of the tokens that were sampled, in their order. Without samples it is of one
        token, as the rows of a rank without work are. Under ZeRO 3 every rank has to call it, as often."""
        sampled = [trajectories[sample.id] for sample in samples]
        numbers = [self._number_of(each.domain) for each in sampled] or [-1]
        lengths = torch.tensor([each.num_policy_tokens for each in sampled] or [1])
        number_N = torch.tensor(numbers).repeat_interleave(lengths).to(self._device)
        logp_N = torch.zeros(len(number_N), device=self._device)
        for teacher, domains in zip(self._teachers, self._domains_of, strict=True):
            own = [each for each, number in zip(samples, numbers, strict=False) if number in domains]
            is_own_N = torch.isin(number_N, torch.tensor(domains, device=self._device))
            logp_N[is_own_N] = self._read(teacher, own, trajectories)
        return Taught(logp_N, number_N)

    @property
    def sums(self) -> list[str]:
        """Names of :meth:`kl_sums`."""
        return [name for metric in self._measured for name in (metric, f"tokens of {metric}")]

    def kl_sums(self, taught: Taught, logp_N: torch.Tensor) -> dict[str, float]:
        """Return, for all teachers and for each domain that has its own, the sum of log pi_theta - log pi_teacher over
        the tokens with a teacher, and their number."""
        found = []
        for number in self._measured.values():
            is_taught_N = taught.number_N >= 0 if number is None else taught.number_N == number
            found += [(logp_N.detach() - taught.logp_N)[is_taught_N].sum().item(), is_taught_N.sum().item()]
        return dict(zip(self.sums, found, strict=True))

    def metrics(self, totals: Mapping[str, float]) -> dict[str, float]:
        """Return the means of the sums over micro-batches and ranks, as far as there were tokens."""
        counts = {name: totals[f"tokens of {name}"] for name in self._measured}
        return {name: totals[name] / count for name, count in counts.items() if count}

    def _number_of(self, domain: str) -> int:
        for name in (domain, OTHERS):
            if name in self._domains:
                return self._domains.index(name)
        return -1

    def _read(
        self, teacher: FrozenModel, samples: Sequence[SampleRef], trajectories: Mapping[str, Trajectory]
    ) -> torch.Tensor:
        """Return log pi of one teacher for the sampled tokens of its samples, [n] float32."""
        is_divided = self._config.zero_stage == 3
        if not samples and not is_divided:
            return torch.zeros(0, device=self._device)
        make: MakeRows = partial(
            make_rows,
            trajectories=trajectories,
            learner_version=0,  # the age of a token is the policy's affair
            device=self._device,
            multiple=self._config.sequence_parallel_size,
            as_tree=teacher.model.decoder.packs_trees,
            max_tokens=self._config.max_tokens_per_microbatch,
        )
        parts = within_limit(samples, make, max_tokens=self._config.max_tokens_per_microbatch)
        if is_divided:
            fill_up([parts], make, device=self._device)
        found = [(rows.is_empty, teacher.logprobs(rows.packed)) for _, rows in parts]
        return torch.cat([logp_N[:0] if is_empty else logp_N for is_empty, logp_N in found])
