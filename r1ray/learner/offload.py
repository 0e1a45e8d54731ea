"""Offload of the learner's state from its device to host memory, for engines that sample on the same device.

    come_back --> trains --> step_aside --> sends its weights --> leave --> the engines sample --> come_back

``step_aside`` keeps the parameters, which a publish sends, and moves the rest; ``leave`` moves the parameters, too.
Every method has to be called on every rank. Offloaded state can be saved, but not used for training or computing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from deepspeed.runtime.zero.offload_config import OffloadStateTypeEnum as States

from r1ray.config import LearnerConfig


class Offload:
    """State of one rank that can leave its device."""

    def __init__(
        self, engine: Any, config: LearnerConfig, frozen: Sequence[torch.nn.Module] = (), *, what: str
    ) -> None:
        """
        Args:
            engine: DeepSpeed's engine, under ZeRO 1, 2 or 3 unless ``what`` is ``none``.
            frozen: other modules on the device that are never trained, such as a reference.
            what: value of ``colocated.offload``.
        """
        self.on_device: Literal["all", "weights", "nothing"] = "all"
        """State that may be used, even if ``what`` leaves more on the device."""
        self._engine, self._stage = engine, config.stage_in_use
        moves_optimizer = what != "none" and not config.offload_optimizer  # otherwise it always is in host memory
        self._first: set[States] = set()
        """States that DeepSpeed moves before a publish."""
        self._last: set[States] = set()
        """States that DeepSpeed moves after a publish."""
        self._optimizer, self._parameters, self._beside = Moved(_nothing), Moved(_nothing), Moved(_nothing)
        if moves_optimizer and self._stage == 3:
            # Here DeepSpeed moves only the moments of its own Adam, and leaves its copies in checkpoints.
            self._optimizer = Moved(self._optimizer_tensors)
        elif moves_optimizer:
            self._first |= {States.hp_params, States.optim_states}
        if what != "all":
            return
        if not config.offload_optimizer:  # otherwise gradients are in host memory, too
            self._first |= {States.lp_grads}
        self._beside = Moved(lambda: [own_part(each) for module in frozen for each in module.parameters()])
        if self._stage == 3:
            # Here DeepSpeed takes untrained parameters for parts of its buffer of trained ones.
            self._parameters = Moved(lambda: [engine.optimizer.lp_param_buffer, *self._base()], self._divide_buffer)
            self._first |= {States.contiguous_grad_buffer}
        else:
            self._parameters = Moved(self._base)
            self._last |= {States.lp_params}

    def step_aside(self) -> None:
        """Keep only the weights to be published on the device."""
        self.on_device = "weights"
        self._optimizer.leave()
        self._beside.leave()
        self._offload(self._first)

    def leave(self) -> None:
        """Leave the device, as far as the configuration says."""
        self.step_aside()
        self.on_device = "nothing"
        self._parameters.leave()
        self._offload(self._last)

    def come_back(self) -> None:
        """Move everything back to the device."""
        if self._first or self._last:
            self._engine.reload_states()
        for moved in (self._parameters, self._beside, self._optimizer):
            moved.come_back()
        self.on_device = "all"

    def _offload(self, states: set[States]) -> None:
        if states:
            self._engine.offload_states(include=states)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # holds activations

    def _base(self) -> list[torch.Tensor]:
        """Return this rank's parts of parameters that are not trained."""
        return [own_part(each) for each in self._engine.module.parameters() if not each.requires_grad]

    def _divide_buffer(self) -> None:
        """Make the parts of trained parameters, and their groups, views of DeepSpeed's buffer at its current place."""
        optimizer = self._engine.optimizer
        parts = optimizer._get_parameter_partitions()
        for part, piece in zip(parts, optimizer.lp_param_buffer.split([part.numel() for part in parts]), strict=True):
            part.data = piece
        optimizer.fp16_partitioned_groups_flat.clear()
        optimizer._set_fp16_partitioned_groups_flat()

    def _optimizer_tensors(self) -> list[torch.Tensor]:
        optimizer = self._engine.optimizer
        moments = [each for state in optimizer.optimizer.state.values() for each in state.values()]
        return [*optimizer.fp32_partitioned_groups_flat, *(each for each in moments if torch.is_tensor(each))]


def own_part(parameter: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a parameter: under ZeRO 3 its share, otherwise all of it."""
    part: torch.Tensor = getattr(parameter, "ds_tensor", parameter)
    return part


def _nothing() -> list[torch.Tensor]:
    return []


class Moved:
    """Tensors that are moved one by one, each to its own place in host memory."""

    def __init__(
        self, tensors: Callable[[], list[torch.Tensor]], after_move: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            tensors: returns the current tensors: an optimizer has no moments before its first update.
            after_move: called after the tensors have left and after they have come back.
        """
        self._tensors, self._after_move = tensors, after_move
        self._host: dict[int, torch.Tensor] = {}
        self._away: list[tuple[torch.Tensor, torch.device]] = []

    def leave(self) -> None:
        """Move the tensors to host memory, if they are not there."""
        if self._away:
            return
        for tensor in self._tensors():
            host = self._host.get(id(tensor))
            if host is None:
                host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
                self._host[id(tensor)] = host
            host.copy_(tensor.data)
            self._away.append((tensor, tensor.device))
            tensor.data = host
        self._after_move()

    def come_back(self) -> None:
        """Move the tensors back to where they were."""
        if not self._away:
            return
        for tensor, device in self._away:
            tensor.data = tensor.data.to(device, copy=True)
        self._away = []
        self._after_move()
