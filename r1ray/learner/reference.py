"""The reference policy of the KL term: a frozen copy beside the learner, or none."""

from __future__ import annotations

import copy
from pathlib import Path

import deepspeed
import torch

from r1ray.config import LearnerConfig
from r1ray.learner.deepspeed_engine import copy_parameters, deepspeed_config
from r1ray.learner.policy import PolicyModel

STATE = "reference.pt"


class NoReference:
    """The Reference role where beta is 0: nothing is loaded, nothing is computed."""

    def logprobs(self, input_ids_BT: torch.Tensor, completion_mask_BT: torch.Tensor) -> None:
        return None

    def refresh(self) -> None:
        return

    def save(self, folder: Path, *, rank: int) -> None:
        return

    def load(self, folder: Path, *, rank: int) -> None:
        return


class FrozenReference:
    """A copy of the policy that changes only by :meth:`refresh`."""

    def __init__(
        self, policy: PolicyModel, config: LearnerConfig, *, world_size: int, temperature: float, device: torch.device
    ) -> None:
        """``policy`` has to be whole here: build the reference before DeepSpeed partitions the policy."""
        self._policy = policy
        self._temperature = temperature
        self._copy = copy.deepcopy(policy).requires_grad_(False).eval()
        if config.dtype == "bfloat16":
            self._copy.to(torch.bfloat16)
        self._forward: torch.nn.Module = self._copy
        self._is_partitioned = config.zero_stage == 3
        if not self._is_partitioned:
            self._copy.to(device)
        else:
            settings = {k: v for k, v in deepspeed_config(config, world_size=world_size).items() if k != "optimizer"}
            self._forward, *_ = deepspeed.initialize(model=self._copy, config=settings)

    def logprobs(self, input_ids_BT: torch.Tensor, completion_mask_BT: torch.Tensor) -> torch.Tensor:
        """See :class:`r1ray.interfaces.Reference`."""
        with torch.no_grad():
            logp, _ = self._forward(input_ids_BT, completion_mask_BT, self._temperature)
        assert isinstance(logp, torch.Tensor)
        return logp

    def refresh(self) -> None:
        """pi_ref <- pi_theta."""
        copy_parameters(self._policy, self._copy)

    def save(self, folder: Path, *, rank: int) -> None:
        """The reference belongs to the run's state. Each rank writes what it holds."""
        torch.save(self._state(), folder / f"{rank}.{STATE}")

    def load(self, folder: Path, *, rank: int) -> None:
        saved = torch.load(folder / f"{rank}.{STATE}", map_location="cpu", weights_only=True)
        for ours, theirs in zip(self._state(), saved, strict=True):
            ours.data.copy_(theirs)

    def _state(self) -> list[torch.Tensor]:
        return [getattr(p, "ds_tensor", p).data for p in self._copy.parameters()]
