"""The class of transformers that loads a model's files: some hold a language model behind what reads images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1ray.runtime.remote_code import is_allowed


def auto_class(model: str | Path, *, kind: str = "CausalLM") -> Any:
    """Return the Auto class that loads the whole of a model's files.

    Args:
        model: a folder, or a hub name.
        kind: the end of the class's name, of which ``CausalLM`` is ``ImageTextToText`` for models that read images:
            by the other one transformers would leave a part of the files out, and call the rest otherwise.
    """
    import transformers

    if kind == "CausalLM":
        config = transformers.AutoConfig.from_pretrained(model, trust_remote_code=is_allowed())
        if image_architectures().intersection(config.architectures or ()):
            kind = "ImageTextToText"
    return getattr(transformers, f"AutoModelFor{kind}")


def image_architectures() -> frozenset[str]:
    """Return the names of the classes of models that read images and write text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as NAMES

    return frozenset(NAMES.values())
