"""Low-rank adapters (peft): the parameters that are trained if the model itself stays unchanged.

The adapters are inside the model's linear layers, so nothing else knows of them. With all of them off, the model is the
one that training began with, which serves as reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from r1ray.config import LoraConfig
from r1ray.errors import UserError

ADAPTER = "default"


def add_adapters(model: Any, config: LoraConfig) -> None:
    """Add untrained adapters, which change nothing yet, to the model's linear layers; only adapters need gradients.

    Raises UserError if one would adapt several weights at once, such as those of experts: :func:`adapted` does not
    find such adapters, and engines would never receive them.
    """
    import peft

    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        target_modules=list(config.targets) if config.targets else "all-linear",
        # A reward model's output layer is trained whole.
        exclude_modules=["score"] if hasattr(model, "score") else None,
        lora_dropout=0.0,
    )
    peft.inject_adapter_in_model(settings, model, adapter_name=ADAPTER)
    unknown = [
        name
        for name, _ in model.named_parameters()
        if ".base_layer." in name and name.partition(".base_layer.")[2] not in ("weight", "bias")
    ]
    if unknown:
        raise UserError(
            f"learner.lora.targets={config.targets}: adapters of {unknown[0].partition('.base_layer')[0]} would adapt "
            "several weights at once (a mixture's experts), which cannot be published; needs names of linear layers, "
            "such as [q_proj, k_proj, v_proj, o_proj]."
        )


@contextmanager
def adapters_off(model: torch.nn.Module) -> Iterator[None]:
    """Use the model without its adapters inside the ``with``."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer._disable_adapters = True  # enable_adapters(False) would also change which parameters need gradients
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False


def is_adapter(name: str) -> bool:
    """Return whether a parameter of that name belongs to an adapter."""
    return ".lora_" in name


def adapted(model: torch.nn.Module, name: str) -> Any:
    """Return the adapted layer whose weight this parameter is; None for every other parameter."""
    layer, _, rest = name.partition(".base_layer.")
    return model.get_submodule(layer) if rest == "weight" else None


def adapter_parameters(layer: Any) -> list[torch.nn.Parameter]:
    """Return the adapter's parameters of one adapted layer."""
    return [layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]


@torch.no_grad()
def merged_weight(
    weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, *, scale: float, is_transposed: bool
) -> torch.Tensor:
    """Add scale * B A to a weight in float32, and round the sum once to the weight's dtype.

    Args:
        down: A. ``up``: B.
        scale: alpha / rank.
        is_transposed: the weight is [in, out] instead of [out, in].
    """
    added = up.float() @ down.float() * scale
    return (weight.float() + (added.T if is_transposed else added)).to(weight.dtype)


def with_adapter(weight: torch.Tensor, layer: Any) -> torch.Tensor:
    """Merge the adapter of an adapted layer into its weight."""
    scale, is_transposed = layer.scaling[ADAPTER], layer.fan_in_fan_out
    return merged_weight(weight, *adapter_parameters(layer), scale=scale, is_transposed=is_transposed)
