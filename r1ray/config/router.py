"""Routers of a mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass

from r1ray.config.values import between


@dataclass
class RouterConfig:
    """How the learner treats the routers of a mixture of experts. With all keys as they are, it trains them by the
    gradient of the loss alone."""

    loss_coefficient: float = 0.0
    """Weight of the loss that balances the load of experts; 0 leaves it out. Routers with softmax have that of Switch
    Transformers over each micro-batch, routers with sigmoid that of DeepSeek-V3 over each sequence. Micro-batches count
    by their number of trajectories."""
    bias_speed: float = 0.0
    """Step by which, after each update, the selection bias of an expert rises where its load is below the mean, and
    falls where it is above (DeepSeek-V3); 0 leaves the biases as they are."""
    replay: bool = False
    """Use the experts that the engine chose for each token in the learner's forward pass too. vLLM returns them on GPUs
    alone."""

    @property
    def is_used(self) -> bool:
        """Tell if any key asks for anything."""
        return self.is_balanced or self.replay

    @property
    def is_balanced(self) -> bool:
        """Tell if anything acts on the load of experts."""
        return self.loss_coefficient > 0 or self.bias_speed > 0

    def __post_init__(self) -> None:
        between("learner.router.loss_coefficient", self.loss_coefficient, 0, 1)
        between("learner.router.bias_speed", self.bias_speed, 0, 1)
