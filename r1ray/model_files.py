"""The user's model, looked at before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1ray.errors import UserError


def load_tokenizer(model: str, *, template: str, max_model_len: int) -> Any:
    """The model's tokenizer. Raises UserError where ``model`` is no causal language model, or its tokenizer lacks
    what a run needs."""
    from transformers import AutoConfig, AutoTokenizer

    folder = Path(model).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(f"model={model}: the folder has no config.json; needs a Hugging Face model folder.")
    if not folder.exists() and (folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1):
        raise UserError(
            f"model={model}: no such folder; needs a Hugging Face model folder, or a hub name (owner/name)."
        )
    try:
        config = AutoConfig.from_pretrained(model)
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"model={model}: not a model that transformers can load: {str(error).splitlines()[0]}"
        ) from error
    if not any("CausalLM" in name for name in config.architectures or ()):
        raise UserError(f"model={model}: its architecture is {config.architectures}; needs a causal language model.")
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and context < max_model_len:
        raise UserError(
            f"model={model}: its context has {context} tokens, the run needs {max_model_len} (data.max_prompt_tokens + "
            "algo.max_completion_tokens): lower these keys."
        )
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"model={model}: its tokenizer has no end-of-sequence token; needs eos_token in tokenizer_config.json."
        )
    if template == "chat" and not tokenizer.chat_template:
        raise UserError(
            f"data.template=chat: the tokenizer of model={model} has no chat template; use r1_zero or none."
        )
    return tokenizer
