"""DeepSpeed backend of a learner: process group, engine, full parameters, checkpoints."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from deepspeed.runtime.config import DeepSpeedConfig, DeepSpeedConfigError
from deepspeed.runtime.zero.partition_parameters import GatheredParameters
from pydantic import ValidationError
from transformers import get_scheduler
from transformers.core_model_loading import revert_weight_conversion

from r1ray.config import LearnerConfig, LoraConfig
from r1ray.config.specs import RankSpec
from r1ray.errors import R1RayError, UserError
from r1ray.learner.image_models import other_parts
from r1ray.learner.lora import ADAPTER, adapted, adapter_parameters, is_adapter, with_adapter
from r1ray.weights.adapter import PREFIX, SETTINGS, settings_tensor
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.network import interface_of, own_address

NEVER = 10**9


def device_of(spec: RankSpec) -> torch.device:
    """Return the device of this rank; Ray shows each actor only its own GPUs."""
    return torch.device("cuda", 0) if spec.num_gpus else torch.device("cpu")


def join_group(spec: RankSpec) -> None:
    """Make this process a rank of the learner group."""
    os.environ.update(
        RANK=str(spec.rank),
        WORLD_SIZE=str(spec.world_size),
        LOCAL_RANK="0",  # Ray shows each actor only its own devices
        MASTER_ADDR=spec.master_address,
        MASTER_PORT=str(spec.master_port),
    )
    os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_of(own_address(spec.master_address, spec.master_port)))
    if not spec.num_gpus:
        # DeepSpeed would compile a shared-memory operator at the first start (50 s, and a C++ compiler), but Gloo alone
        # is enough. An empty table of compatible operators tells DeepSpeed that there is none.
        deepspeed.ops.__compatible_ops__ = {}
    deepspeed.init_distributed(
        "nccl" if spec.num_gpus else "gloo",
        auto_mpi_discovery=False,
        timeout=timedelta(seconds=spec.timeout_s),
        verbose=False,
    )


def sequence_group(rank: RankSpec, *, size: int) -> Any:
    """Return the group of ``size`` neighbouring ranks that compute each row together with this one; None if each rank
    computes alone."""
    if size == 1:
        return None
    starts = range(0, rank.world_size, size)
    groups = [dist.new_group(list(range(start, start + size))) for start in starts]  # every rank creates all of them
    return groups[rank.rank // size]


def _clips_itself(config: LearnerConfig) -> bool:
    """Return whether r1ray clips the gradient itself: without ZeRO, DeepSpeed clips but does not report the norm."""
    return config.stage_in_use == 0


def deepspeed_config(config: LearnerConfig, *, world_size: int) -> dict[str, Any]:
    """Return DeepSpeed's own configuration, with ``learner.deepspeed`` over r1ray's settings.
    ``managed_gradient_accumulation`` is off, so that any number of backward passes may precede a step, as micro-batches
    made by token count need."""
    zero: dict[str, Any] = {"stage": config.stage_in_use, "overlap_comm": False, "contiguous_gradients": True}
    if config.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if config.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    ours = {
        "train_batch_size": world_size,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": 0.0 if _clips_itself(config) else config.grad_clip,
        "zero_optimization": zero,
        "zero_force_ds_cpu_optimizer": False,
        # Parameters and gradients in bfloat16; DeepSpeed keeps the master weights and the moments in float32.
        "bf16": {"enabled": config.dtype == "bfloat16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "optimizer": {
            "type": "AdamW",
            # torch_adam: PyTorch's own AdamW, which needs no compiler on the machine.
            "params": {
                "lr": config.lr,
                "betas": list(config.betas),
                "eps": config.epsilon,
                "weight_decay": config.weight_decay,
                "torch_adam": True,
            },
        },
        "steps_per_print": NEVER,
    }
    return merged(ours, config.deepspeed)


def merged(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    """Merge ``theirs`` over ``ours``, section by section.

    >>> merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "e": 5})
    {'a': {'b': 4, 'c': 2}, 'd': 3, 'e': 5}
    """
    both = {key: merged(ours[key], theirs[key]) for key in ours if isinstance(ours[key], dict) and key in theirs}
    return {**ours, **theirs, **both}


class _Asked(dict[str, Any]):
    """Settings that record which of them were read."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.asked: set[object] = set()

    def __contains__(self, key: object) -> bool:
        self.asked.add(key)
        return super().__contains__(key)

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a setting, as every dict does."""
        self.asked.add(key)
        return super().get(key, default)

    def keys(self) -> Any:
        """Return the settings themselves, so that reads of single keys are recorded."""
        return self


def check_settings(config: LearnerConfig, *, world_size: int) -> None:
    """Raise UserError if DeepSpeed does not know, or refuses, a setting in ``learner.deepspeed``. Needs a process
    group."""
    settings = _Asked(deepspeed_config(config, world_size=world_size))
    try:
        DeepSpeedConfig(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"learner.deepspeed: {error.title}: {place}={first['input']}: {first['msg']}.") from error
    except (AssertionError, DeepSpeedConfigError, TypeError, ValueError) as error:
        raise UserError(f"learner.deepspeed: {' '.join(str(error).split()) or type(error).__name__}.") from error
    known = {*inspect.signature(torch.optim.AdamW).parameters, "torch_adam", "adam_w_mode"}
    unknown = [key for key in config.deepspeed if key not in settings.asked]
    unknown += [f"optimizer.params.{key}" for key in settings["optimizer"]["params"].keys() - known]
    if unknown:
        raise UserError(f"learner.deepspeed.{unknown[0]}: DeepSpeed has no such setting; needs another, or none.")


def build_engine(module: torch.nn.Module, config: LearnerConfig, *, world_size: int, num_updates: int) -> Any:
    """Return a DeepSpeed engine that trains ``module``, with its optimizer and learning-rate schedule."""
    name = {"constant": "constant_with_warmup", "cosine": "cosine_with_min_lr"}.get(config.schedule, config.schedule)
    floor = {"min_lr_rate": config.lr_floor} if config.schedule == "cosine" else None
    settings = deepspeed_config(config, world_size=world_size)
    divide(module, config, settings)
    engine, *_ = deepspeed.initialize(
        model=module,
        model_parameters=[p for p in module.parameters() if p.requires_grad],
        config=settings,
        lr_scheduler=lambda optimizer: get_scheduler(
            name,
            optimizer,
            num_warmup_steps=config.warmup_updates,
            num_training_steps=num_updates,
            scheduler_specific_kwargs=floor,
        ),
    )
    if _clips_itself(config):

        def clip(optimizer: Any, arguments: Any, keywords: Any) -> None:
            engine.r1ray_grad_norm = torch.nn.utils.clip_grad_norm_(module.parameters(), config.grad_clip)
            _check_finite(float(engine.r1ray_grad_norm))

        engine.optimizer.register_step_pre_hook(clip)
    return engine


def divide(module: torch.nn.Module, config: LearnerConfig, settings: dict[str, Any]) -> None:
    """Under ZeRO 3, give each rank its part of every parameter that is still whole (adapters, new heads), with the
    values of rank 0."""
    if config.zero_stage == 3:
        deepspeed.zero.Init(module=module, config_dict_or_path=settings, enabled=True)


def update(engine: Any) -> float:
    """Do one optimizer update. Return the norm of the whole gradient before clipping.

    Raises R1RayError if the norm is not finite, on every rank and before anything is changed: the norm is the same on
    all ranks, and DeepSpeed skips such an update.
    """
    engine.step()
    norm = engine.get_global_grad_norm()
    norm = float(engine.r1ray_grad_norm if norm is None else norm)
    _check_finite(norm)
    return norm


def _check_finite(norm: float) -> None:
    if not math.isfinite(norm):
        raise R1RayError(
            f"the gradient's norm is {norm} although every loss is finite; the update was not made, and parameters and "
            "optimizer are as the last one left them. Resume from the last checkpoint, with a lower learner.lr or "
            "another learner.dtype."
        )


def gathered(parameters: Sequence[torch.Tensor], *, modifier_rank: int | None = None) -> Any:
    """Return a context manager inside which ZeRO-3 parameters are whole; for the other stages it does nothing."""
    if any(hasattr(p, "ds_id") for p in parameters):
        return GatheredParameters(list(parameters), modifier_rank=modifier_rank)
    return nullcontext()


class ParameterStream:
    """A :class:`~r1ray.weights.stream.WeightStream` of a transformers model under any ZeRO stage. It holds the
    parameters and the buffers of the model's state (biases of routers), without the parts that read images, by the
    names and in the pieces of the model's files, which engines load: experts are separate. An adapter is added to its
    weight in float32, and the sum is rounded once."""

    def __init__(self, model: Any) -> None:
        self._model = model
        state = model.state_dict(keep_vars=True)
        buffers = [(name, buffer) for name, buffer in model.named_buffers() if name in state]
        others = other_parts(model)
        self._parameters: list[tuple[str, torch.Tensor, Any]] = [
            (name.replace(".base_layer.", "."), tensor, adapted(model, name))
            for name, tensor in (*model.named_parameters(), *buffers)
            if not is_adapter(name) and name not in others
        ]
        names = {name for name, *_ in self._parameters}
        if "lm_head.weight" not in names and (head := model.get_output_embeddings()) is not None:
            # Tied to the input embedding, and therefore not named. A vLLM engine on a CPU keeps a packed copy of the
            # output layer, which is updated only if the layer is sent, too.
            self._parameters.append(("lm_head.weight", head.weight, None))

    def metadata(self) -> list[TensorMeta]:
        found = []
        for name, parameter, _ in self._parameters:
            shape = getattr(parameter, "ds_shape", parameter.shape)
            empty = torch.empty(shape, dtype=parameter.dtype, device="meta")
            found += [_meta(stored, piece) for stored, piece in self._as_stored(name, empty)]
        return found

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, parameter, layer in self._parameters:
            with gathered([parameter, *(adapter_parameters(layer) if layer else ())]):
                whole = parameter.detach()
                yield from self._as_stored(name, with_adapter(whole, layer) if layer else whole)

    def _as_stored(self, name: str, tensor: torch.Tensor) -> Iterable[tuple[str, torch.Tensor]]:
        stored: dict[str, torch.Tensor] = revert_weight_conversion(self._model, {name: tensor})
        return stored.items()


class AdapterStream:
    """A :class:`~r1ray.weights.stream.WeightStream` of only a model's adapters; see :mod:`r1ray.weights.adapter`."""

    def __init__(self, model: Any, config: LoraConfig) -> None:
        self._settings = settings_tensor(rank=config.rank, alpha=config.alpha)
        self._parameters = [
            (PREFIX + name.replace(f".{ADAPTER}.", "."), parameter)
            for name, parameter in model.named_parameters()
            if is_adapter(name)
        ]

    def metadata(self) -> list[TensorMeta]:
        return [
            TensorMeta(SETTINGS, "uint8", tuple(self._settings.shape)),
            *(_meta(name, parameter) for name, parameter in self._parameters),
        ]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield SETTINGS, self._settings.to(self._parameters[0][1].device)
        for name, parameter in self._parameters:
            with gathered([parameter]):
                yield name, parameter.detach()


def _meta(name: str, parameter: torch.Tensor) -> TensorMeta:
    return TensorMeta(
        name, str(parameter.dtype).removeprefix("torch."), tuple(getattr(parameter, "ds_shape", parameter.shape))
    )


def copy_parameters(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Copy source to target, parameter by parameter, under any ZeRO stage, including buffers such as the biases of
    routers."""
    for theirs, ours in zip(source.buffers(), target.buffers(), strict=True):
        ours.copy_(theirs)
    for theirs, ours in zip(source.parameters(), target.parameters(), strict=True):
        with gathered([theirs, ours], modifier_rank=0), torch.no_grad():
            ours.data.copy_(theirs.data)
