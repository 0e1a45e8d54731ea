"""The user's model, looked at before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from r1ray.errors import UserError


def local_folder(model: str, *, key: str) -> str:
    """The folder of a model: the one that is given, or the local copy of a hub name. Nothing is downloaded. Raises
    UserError."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return str(folder.resolve())
    if not folder.is_absolute() and model.count("/") == 1 and not model.startswith((".", "~")):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError

        try:
            return snapshot_download(model, local_files_only=True)
        except LocalEntryNotFoundError as error:
            raise UserError(
                f"{key}={model}: no such folder, and no local copy: get it with `hf download {model}`."
            ) from error
    raise UserError(f"{key}={model}: no such folder; needs a Hugging Face model folder.")


def context_of(model: str) -> int | None:
    """Tokens that a model can read at a time; None where its configuration does not say."""
    from transformers import AutoConfig

    context = getattr(AutoConfig.from_pretrained(model), "max_position_embeddings", None)
    return None if context is None else int(context)


def load_tokenizer(
    model: str, *, template: str, max_model_len: int = 0, key: str = "model", may_lack_rows: bool = False
) -> Any:
    """The model's tokenizer. Raises UserError where ``model`` is no causal language model, or its tokenizer lacks
    what a run needs, or has tokens that the model has no embedding of.

    Args:
        key: what messages call the model.
        may_lack_rows: for who is about to add the embeddings that are missing.
    """
    from transformers import AutoConfig, AutoTokenizer

    folder = Path(model).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise UserError(f"{key}={model}: the folder has no config.json; needs a Hugging Face model folder.")
    if not folder.exists() and (folder.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1):
        raise UserError(
            f"{key}={model}: no such folder; needs a Hugging Face model folder, or a hub name (owner/name)."
        )
    try:
        config = AutoConfig.from_pretrained(model)
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{key}={model}: not a model that transformers can load: {str(error).splitlines()[0]}"
        ) from error
    if not any("CausalLM" in name for name in config.architectures or ()):
        raise UserError(f"{key}={model}: its architecture is {config.architectures}; needs a causal language model.")
    context = context_of(model)
    if context is not None and context < max_model_len:
        raise UserError(
            f"{key}={model}: its context has {context} tokens, the run needs {max_model_len} (data.max_prompt_tokens + "
            "algo.max_completion_tokens): lower these keys."
        )
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{key}={model}: its tokenizer has no end-of-sequence token; needs eos_token in tokenizer_config.json."
        )
    if template == "chat" and not tokenizer.chat_template:
        raise UserError(
            f"data.template=chat: the tokenizer of {key}={model} has no chat template; use r1_zero or none."
        )
    num_rows = getattr(config.get_text_config(), "vocab_size", None)
    num_ids = 1 + max(tokenizer.get_vocab().values())
    if num_rows is not None and num_ids > num_rows and not may_lack_rows:
        raise UserError(
            f"{key}={model}: its tokenizer has {num_ids} tokens, its embedding {num_rows} rows: the tokenizer is of "
            f"another model, or rows were not added with its last tokens. Give the model its own tokenizer, or add "
            f"the rows: r1ray run recipe=extend model={model}"
        )
    return tokenizer


def has_token(tokenizer: Any, token: str) -> bool:
    """Whether a text is one token of a tokenizer, which decoding keeps: no special one, and not the unknown one."""
    ids = tokenizer(token, add_special_tokens=False)["input_ids"]
    return len(ids) == 1 and tokenizer.decode(ids, skip_special_tokens=True) == token
