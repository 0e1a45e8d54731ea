"""The learner's state on its way between its device and host memory, for engines that sample on the same device.

    come_back --> trains --> step_aside --> sends its weights --> leave --> the engines sample --> come_back

``step_aside`` keeps the parameters, of which a publish is made, and moves the rest; ``leave`` moves them too. Every
method has to be called on every rank. What is away can be saved, and neither trained nor computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from deepspeed.runtime.zero.offload_config import OffloadStateTypeEnum as States

from r1ray.config import LearnerConfig


class Offload:
    """The states of one rank that leave its device."""

    def __init__(
        self, engine: Any, config: LearnerConfig, frozen: Sequence[torch.nn.Module] = (), *, what: str
    ) -> None:
        """
        Args:
            engine: DeepSpeed's, under ZeRO 1, 2 or 3 unless ``what`` is ``none``.
            frozen: modules beside it that are never trained: a reference.
            what: as ``colocated.offload``.
        """
        self.on_device: Literal["all", "weights", "nothing"] = "all"
        """The state that may be used, also where ``what`` leaves more there."""
        self._engine, self._stage = engine, config.stage_in_use
        moves_optimizer = what != "none" and not config.offload_optimizer  # else it is in host memory for good
        self._first: set[States] = set()
        """That DeepSpeed moves before a publish."""
        self._last: set[States] = set()
        """That it moves after it."""
        self._optimizer, self._parameters, self._beside = Moved(_nothing), Moved(_nothing), Moved(_nothing)
        if moves_optimizer and self._stage == 3:
            # There DeepSpeed moves them of its own Adam alone, and leaves its copies in checkpoints.
            self._optimizer = Moved(self._optimizer_tensors)
        elif moves_optimizer:
            self._first |= {States.hp_params, States.optim_states}
        if what != "all":
            return
        if not config.offload_optimizer:  # else gradients are in host memory too
            self._first |= {States.lp_grads}
        self._beside = Moved(lambda: [own_part(each) for module in frozen for each in module.parameters()])
        if self._stage == 3:
            # There DeepSpeed takes parameters that are not trained for parts of its buffer of those that are.
            self._parameters = Moved(lambda: [engine.optimizer.lp_param_buffer, *self._base()], self._divide_buffer)
            self._first |= {States.contiguous_grad_buffer}
        else:
            self._parameters = Moved(self._base)
            self._last |= {States.lp_params}

    def step_aside(self) -> None:
        """Keep on the device what a publish is made of, and nothing else."""
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
        """Have everything on the device again."""
        if self._first or self._last:
            self._engine.reload_states()
        for moved in (self._parameters, self._beside, self._optimizer):
            moved.come_back()
        self.on_device = "all"

    def _offload(self, states: set[States]) -> None:
        if states:
            self._engine.offload_states(include=states)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # of activations

    def _base(self) -> list[torch.Tensor]:
        """List what this rank holds of parameters that are not trained."""
        return [own_part(each) for each in self._engine.module.parameters() if not each.requires_grad]

    def _divide_buffer(self) -> None:
        """Have the parts of trained parameters, and their groups, be pieces of DeepSpeed's buffer where it is now."""
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
    """Return what this rank holds of a parameter: under ZeRO 3 its part, else all of it."""
    part: torch.Tensor = getattr(parameter, "ds_tensor", parameter)
    return part


def _nothing() -> list[torch.Tensor]:
    return []


class Moved:
    """Tensors that are moved one by one, each into a place of its own in host memory."""

    def __init__(
        self, tensors: Callable[[], list[torch.Tensor]], after_move: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            tensors: lists them each time: an optimizer has no moments before its first update.
            after_move: called when they have left, and when they have come back.
        """
        self._tensors, self._after_move = tensors, after_move
        self._host: dict[int, torch.Tensor] = {}
        self._away: list[tuple[torch.Tensor, torch.device]] = []

    def leave(self) -> None:
        """Move them to host memory, if they are not there."""
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
        """Move them back to where they were."""
        if not self._away:
            return
        for tensor, device in self._away:
            tensor.data = tensor.data.to(device, copy=True)
        self._away = []
        self._after_move()
