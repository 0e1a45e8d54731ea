"""Tiny models that read images."""

from __future__ import annotations

from typing import Any

import torch

from tests.learner.families import COMMON, HALF, LINEAR, SIZES

VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
PATCHES = {"image_size": 8, "patch_size": 4}
IMAGES: dict[str, dict[str, Any]] = {
    "gemma3": {
        "text_config": COMMON | SIZES | HALF,
        "vision_config": VISION | PATCHES,
        "mm_tokens_per_image": 4,
        "image_token_index": 60,
    },
    "llama4": {
        "text_config": COMMON
        | SIZES
        | {"intermediate_size_mlp": 48, "num_local_experts": 4, "num_experts_per_tok": 1, "attention_chunk_size": 4},
        "vision_config": VISION
        | PATCHES
        | {"vision_output_dim": 16, "projector_input_dim": 16, "projector_output_dim": 16},
        "image_token_index": 60,
    },
    "mistral3": {
        "text_config": COMMON | SIZES | {"model_type": "mistral"},
        "vision_config": VISION | PATCHES | {"model_type": "pixtral", "head_dim": 8},
        "image_token_index": 60,
    },
    "qwen3_5": {
        "text_config": COMMON | SIZES | LINEAR,
        "vision_config": {
            "depth": 1,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_heads": 2,
            "out_hidden_size": 32,
        },
        **{"image_token_id": 60, "video_token_id": 61, "vision_start_token_id": 62, "vision_end_token_id": 63},
    },
}
"""Settings by family. No token of the tests is one of an image."""


def make(family: str) -> Any:
    """Make an untrained model."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **IMAGES[family])
    return AutoModelForImageTextToText.from_config(config, dtype=torch.float32).eval()
