"""The model inside a vLLM worker: what it holds, and what vLLM 0.32 does not do by itself for it on CPUs."""

from __future__ import annotations

from functools import wraps
from typing import Any

import torch.distributed as dist
from torch import nn

from r1ray.weights.held import PACKED, HeldWeights, content


def held_weights(model: nn.Module, model_config: Any) -> HeldWeights:
    """What a worker's model holds, compared with that of the engine's other workers."""
    from vllm.distributed.parallel_state import get_world_group

    group = get_world_group()

    def gather(own: dict[str, int]) -> list[dict[str, int]]:
        if group.world_size == 1:
            return [own]
        parts: list[dict[str, int]] = [{}] * group.world_size
        dist.all_gather_object(parts, own, group=group.cpu_group)
        return parts

    return HeldWeights(model, model_config.dtype, gather)


def mend_rotation() -> None:
    """Let rotary embeddings of PyTorch's operators serve in place of the compiled one, which turns the queries of
    multi-head latent attention ([tokens, heads, 64]) wrongly: log-probabilities of a DeepSeek-V3 were off by 0.4 nats.
    """
    from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

    RotaryEmbedding.forward_cpu = RotaryEmbedding.forward_native


def record_packing() -> None:
    """Note of every linear layer what it packs its weight of, when it does: the packed copy itself cannot be read.
    See :func:`r1ray.weights.held.contents`."""
    from vllm.model_executor.layers import utils

    pack = utils.dispatch_cpu_unquantized_gemm
    if hasattr(pack, "__wrapped__"):
        return

    @wraps(pack)
    def packing(layer: Any, remove_weight: bool) -> None:
        is_linear = layer.weight.ndim == 2 and not layer.weight.is_meta
        made_of = content(layer.weight) if is_linear else None
        pack(layer, remove_weight)
        if made_of is not None:
            setattr(layer, PACKED, (layer.cpu_linear, made_of))

    utils.dispatch_cpu_unquantized_gemm = packing


def prepare_reload(model: nn.Module) -> None:
    """Let mixtures of experts pack their weights anew when they are loaded again, as when they were first."""
    for module in model.modules():
        method: Any = getattr(module, "quant_method", None)
        if getattr(method, "moe_kernel", None) is not None:
            method.moe_kernel = None
