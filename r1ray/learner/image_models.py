"""Models that also read images: their language model is trained, and the rest is left unchanged.

Files are loaded, checkpointed and exported whole, so that names and settings stay those of the model. Engines serve
only the language model, and only that is published.
"""

from __future__ import annotations

from typing import Any

from r1ray.config import LoraConfig
from r1ray.errors import UserError
from r1ray.learner.decoder import decoder_of
from r1ray.runtime.model_class import image_architectures


def other_parts(model: Any) -> frozenset[str]:
    """Return the names of the parameters and buffers outside of the language model; empty for a pure language model."""
    if type(model).__name__ not in image_architectures():
        return frozenset()
    text = {id(tensor) for part in (decoder_of(model), model.get_output_embeddings()) for tensor in tensors_of(part)}
    named = [*model.named_parameters(), *model.named_buffers()]
    return frozenset(name for name, tensor in named if id(tensor) not in text)


def tensors_of(part: Any) -> list[Any]:
    """Return the parameters and buffers of a module."""
    return [*part.parameters(), *part.buffers()]


def keep_other_parts(model: Any, lora: LoraConfig, *, named: str) -> None:
    """Exclude the other parts from training. Raises UserError for adapters, which would be added to them, too.

    Args:
        named: name of the model in messages.
    """
    others = other_parts(model)
    if others and lora.rank:
        raise UserError(
            f"{named}: it reads images, and learner.lora.rank={lora.rank} would adapt the parts that read them; needs "
            "learner.lora.rank=0."
        )
    for name, parameter in model.named_parameters():
        if name in others:
            parameter.requires_grad_(False)
