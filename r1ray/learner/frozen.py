"""A model beside the learner that is never trained: on every rank whole, and under ZeRO 3 in the parts of its ranks."""

from __future__ import annotations

import deepspeed
import torch

from r1ray.config import LearnerConfig
from r1ray.learner.deepspeed_engine import deepspeed_config, divide
from r1ray.learner.packed import Packed
from r1ray.learner.policy import PolicyModel


class FrozenModel:
    """Log-probabilities of a frozen model."""

    def __init__(
        self,
        model: PolicyModel,
        config: LearnerConfig,
        *,
        world_size: int,
        temperature: float,
        device: torch.device,
    ) -> None:
        """
        Args:
            model: taken over.
        """
        self.model = model.requires_grad_(False).eval()
        self.forward: torch.nn.Module = self.model
        """Computes with all of the parameters, wherever they are."""
        self._temperature = temperature
        if config.zero_stage != 3:
            self.model.to(device)
        else:
            settings = {k: v for k, v in deepspeed_config(config, world_size=world_size).items() if k != "optimizer"}
            divide(self.model, config, settings)
            self.forward, *_ = deepspeed.initialize(model=self.model, config=settings)

    def logprobs(self, packed: Packed) -> torch.Tensor:
        """log p of the chosen tokens, [C] float32. Under ZeRO 3 every rank has to call it, as often."""
        with torch.no_grad():
            logp, _ = self.forward(packed, self._temperature)
        assert isinstance(logp, torch.Tensor)
        return logp
