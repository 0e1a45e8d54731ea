"""The user's model, looked at before anything is started."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from r1ray.errors import UserError
from r1ray.runtime.imports import without_collection
from r1ray.runtime.remote_code import is_allowed, needs_code, refusal
from r1ray.runtime.user_paths import path_of
from r1ray.runtime.weight_files import check_weights, flat_text

SAMPLING_FLAGS = {
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""Generation settings that mean nothing unless ``do_sample`` is true, and the value of each that changes nothing."""
BEAM_FLAGS = ("early_stopping", "length_penalty")
"""Those that mean nothing with one beam."""
CACHE_FLAGS = ("cache_implementation", "cache_config")
"""Those that mean nothing without a cache."""
NUMBERS = (*SAMPLING_FLAGS, "length_penalty", "repetition_penalty", "num_beams", "num_return_sequences")
TOKEN_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def local_folder(model: str, *, key: str) -> str:
    """The folder of a model: the one that is given, or the local copy of a hub name. Nothing is downloaded. Raises
    UserError."""
    folder = path_of(model, key=key)
    if folder.is_dir():
        return str(folder)
    if is_hub_name(model):
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            return snapshot_download(model, local_files_only=True)
        except (LocalEntryNotFoundError, HFValidationError) as error:
            raise UserError(
                f"{key}={model}: no such folder, and no local copy: get it with `hf download {model}`."
            ) from error
    raise UserError(f"{key}={model}: no such folder; needs a Hugging Face model folder.")


def is_hub_name(model: str) -> bool:
    """Return if a model may be ``owner/name`` of a hub."""
    return not Path(model).is_absolute() and model.count("/") == 1 and not model.startswith((".", "~"))


def check_config(folder: Path, *, named: str) -> None:
    """Raise UserError where a folder has no config.json of a model.

    Args:
        named: what messages call the model, ``model=PATH``.
    """
    path = folder / "config.json"
    if (folder / "adapter_config.json").is_file() and not path.is_file():
        raise UserError(
            f"{named}: the folder has an adapter and no model; needs a whole one: r1ray export RUN_DIR "
            "learner.lora.export=merged --out DIR"
        )
    if not path.is_file():
        raise UserError(f"{named}: the folder has no config.json; needs a Hugging Face model folder.")
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{named}: its config.json cannot be read: {flat_text(error)}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(f"{named}: its config.json has no model_type; needs that of a Hugging Face model.")


def check_model(folder: Path, *, named: str, kind: str = "CausalLM", is_trained: bool) -> None:
    """Raise UserError where a folder is not a whole model of a kind; its tokenizer is not looked at.

    Args:
        named, kind, is_trained: as of :func:`r1ray.runtime.weight_files.check_weights`.
    """
    check_config(folder, named=named)
    if kind == "SequenceClassification":
        from transformers import AutoConfig

        try:
            labels = AutoConfig.from_pretrained(folder, trust_remote_code=is_allowed()).num_labels
        except Exception as error:  # what values of the wrong kind come to in a class of the library
            if needs_code(error):
                raise UserError(refusal(named)) from error
            raise UserError(f"{named}: not a model that transformers can load: {flat_text(error)}") from error
        if labels != 1:
            raise UserError(f"{named}: it has {labels} labels; needs one, as recipe=reward_model makes them.")
    check_weights(folder, named=named, kind=kind, is_trained=is_trained)


def is_language_model(config: Any) -> bool:
    """Say whether a configuration's architecture is a causal language model, or has one behind what makes images and
    sound of tokens."""
    from transformers.models.auto import modeling_auto as auto

    known = {
        *auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.values(),
        *auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values(),
    }
    return any(name in known or "CausalLM" in name for name in config.architectures or ())


def context_of(model: str) -> int | None:
    """Tokens that a model can read at a time; None where its configuration does not say."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(model, trust_remote_code=is_allowed()).get_text_config()
    context = getattr(config, "max_position_embeddings", None)
    return None if context is None else int(context)


def load_tokenizer(
    model: str,
    *,
    template: str,
    max_model_len: int = 0,
    key: str = "model",
    may_lack_rows: bool = False,
    is_trained: bool = True,
    is_checked: bool = False,
) -> Any:
    """The model's tokenizer. Raises UserError where ``model`` is no causal language model, its files are not whole, or
    its tokenizer lacks what a run needs, or has tokens that the model has no embedding of.

    Args:
        key: what messages call the model.
        may_lack_rows: for who is about to add the embeddings that are missing.
        is_trained: the model will be, which quantised weights cannot be.
        is_checked: its weights have been looked at.
    """
    with without_collection():
        from transformers import AutoConfig, AutoTokenizer  # noqa: F401

    folder, named = path_of(model, key=key), f"{key}={model}"
    if folder.is_dir():
        check_config(folder, named=named)
    elif folder.exists() or not is_hub_name(model):
        raise UserError(f"{named}: no such folder; needs a Hugging Face model folder, or a hub name (owner/name).")
    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=is_allowed())
    except Exception as error:  # what values of the wrong kind come to in a class of the library
        if needs_code(error):
            raise UserError(refusal(named)) from error
        raise UserError(f"{named}: not a model that transformers can load: {flat_text(error)}") from error
    tokenizer = _tokenizer(model, folder, named=named)
    if not is_language_model(config):
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
    if folder.is_dir() and not is_checked:
        check_weights(folder, named=named, is_trained=is_trained)
    return tokenizer


def _tokenizer(model: str, folder: Path, *, named: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=is_allowed())
        has_tokens = bool(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    except Exception as error:  # tokenizers raises no other class for a file that is none of its own
        if needs_code(error):
            raise UserError(refusal(named)) from error
        if not folder.is_dir() or any(folder.glob("tokenizer.*")):
            raise UserError(f"{named}: its tokenizer cannot be loaded: {flat_text(error)}") from error
        has_tokens = False
    if not has_tokens:  # without files, transformers makes one that knows nothing
        raise UserError(f"{named}: it has no tokenizer; needs the model's tokenizer.json and tokenizer_config.json.")
    return tokenizer


def load_generation_config(model: str, *, key: str = "model") -> Any:
    """Return the model's ``GenerationConfig`` as an export will have it (:func:`accepted_generation_config`). Raises
    UserError, with the file's path, where transformers cannot read it, or has no meaning for a value.

    Args:
        key: what messages call the model.
    """
    from transformers import GenerationConfig
    from transformers.utils import CONFIG_NAME, GENERATION_CONFIG_NAME, cached_file

    path = cached_file(model, GENERATION_CONFIG_NAME, _raise_exceptions_for_missing_entries=False)
    # Without a file of its own, transformers looks into the model's.
    name = CONFIG_NAME if path is None else GENERATION_CONFIG_NAME
    named = f"{key}={model}: {path or f'generation settings in {name}'}"
    try:
        found = GenerationConfig.from_pretrained(model, config_file_name=name, _from_model_config=path is None)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{named}: transformers cannot read it: {str(error).splitlines()[0]}") from error
    for names, kinds, needed in ((NUMBERS, (int, float), "a number"), (TOKEN_IDS, (int,), "a token id or several")):
        for name in names:
            value = getattr(found, name, None)
            values = value if isinstance(value, list) and names is TOKEN_IDS else [value]
            if not all(each is None or (isinstance(each, kinds) and not isinstance(each, bool)) for each in values):
                raise UserError(f"{named}: {name} is {value!r}; needs {needed}.")
    made = accepted_generation_config(found)
    try:
        made.validate(strict=True)
    except ValueError as error:
        raise UserError(f"{named}: transformers would not save it: {' '.join(str(error).split())}") from error
    return made


def accepted_generation_config(config: Any) -> Any:
    """Return a copy of a ``GenerationConfig`` that transformers accepts on saving.

    Flags without effect are left out. Flags of sampling without ``do_sample`` are what a model's author samples with,
    and engines do so: ``do_sample`` becomes true; but a temperature of 0 means greedy, which needs none of them.
    """
    made = copy.deepcopy(config)
    unused: list[str] = []
    if made.do_sample is not True:
        set_flags = [
            name for name, neutral in SAMPLING_FLAGS.items() if getattr(made, name, None) not in (None, neutral)
        ]
        if made.temperature == 0:
            unused += set_flags
        elif set_flags:
            made.do_sample = True
    if made.num_beams in (None, 1):
        unused += BEAM_FLAGS
    if made.use_cache is False:
        unused += CACHE_FLAGS
    if made.return_dict_in_generate is not True:
        unused += made.extra_output_flags
    if made.pad_token_id is not None and made.pad_token_id < 0:
        unused.append("pad_token_id")  # -1 is how some configurations say that there is none
    for name in unused:
        setattr(made, name, None)
    return made


def has_token(tokenizer: Any, token: str) -> bool:
    """Whether a text is one token of a tokenizer, which decoding keeps: no special one, and not the unknown one."""
    ids = tokenizer(token, add_special_tokens=False)["input_ids"]
    return len(ids) == 1 and tokenizer.decode(ids, skip_special_tokens=True) == token
