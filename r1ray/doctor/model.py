"""Whether tokenizer, model, template and settings of one stage agree. Looks at files only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from r1ray.config import RunConfig
from r1ray.data.template import Form
from r1ray.doctor.findings import DRIVER, Finding, counted
from r1ray.doctor.judging import green, red, yellow
from r1ray.errors import UserError
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.reward.format import TAGS
from r1ray.runtime.model_files import has_token, load_generation_config, load_tokenizer
from r1ray.runtime.remote_code import is_allowed
from r1ray.stages.model_form import form_remark
from r1ray.stages.teachers import check_teachers

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
"""What the input embedding is called, at the end of its name."""


@dataclass(frozen=True, slots=True)
class ModelCheck:
    """What looking at a model found."""

    findings: list[Finding]
    tokenizer: Any
    """None where it cannot be used."""


def check_model(config: RunConfig, model: str, *, key: str = "model") -> ModelCheck:
    """The model of a stage, as the stage will use it.

    Args:
        model: folder or hub name.
        key: what holds it.
    """
    longest = config.supervised.max_tokens if config.only_learner else config.max_model_len
    template = config.data.template
    try:
        tokenizer = load_tokenizer(
            model,
            template=template,
            max_model_len=longest,
            key=key,
            may_lack_rows=not config.starts_actors,
            is_trained=config.has_learner,
        )
        if not config.only_samples:
            load_generation_config(model, key=key)
    except UserError as error:
        return ModelCheck([red("model", DRIVER, str(error), "a model that the run can use", "see left.")], None)
    from transformers import AutoConfig

    settings = AutoConfig.from_pretrained(model, trust_remote_code=is_allowed())
    context = getattr(settings, "max_position_embeddings", None)
    template_found = "chat template there" if tokenizer.chat_template else "no chat template"
    found = f"{key}={model}: {settings.architectures[0]}, context {context}, {template_found}"
    needed = f"context at least {longest}" + (", a chat template (data.template=chat)" if template == "chat" else "")
    findings = [green("model", DRIVER, found, needed)]
    findings.append(judge_vocabulary(len(tokenizer), 1 + max(tokenizer.get_vocab().values()), settings, model))
    findings.append(judge_eos(tokenizer.eos_token_id, _generation_eos(model), settings.eos_token_id, key=key))
    findings.append(judge_form(tokenizer, Form.of(config.data), model, key=key))
    if tokens := pattern_tokens(config):
        findings.append(judge_pattern(tokenizer, tokens))
    if config.has_learner and not config.only_learner and config.algo.teacher.models:
        findings.append(judge_teachers(config, tokenizer, model))
    return ModelCheck(findings, tokenizer)


def judge_teachers(config: RunConfig, tokenizer: Any, model: str) -> Finding:
    """Judge if the teachers of a stage read what its model writes."""
    needed = "whole models with the tokenizer of the student"
    try:
        check_teachers(config, tokenizer, model=model)
    except UserError as error:
        return red("teacher", DRIVER, str(error), needed, "see left.")
    found = ", ".join(f"{key}={path}" for key, path in config.algo.teacher.by_key.items())
    return green("teacher", DRIVER, found, needed)


def judge_form(tokenizer: Any, form: Form, model: str, *, key: str) -> Finding:
    """Judge if a model is asked in the form that it was tuned in."""
    needed = "the form that the model was tuned in, or its chat template"
    try:
        remark = form_remark(tokenizer, form, model=model, key=key)
    except UserError as error:
        return red("form", DRIVER, str(error), needed, "see left.")
    if remark is None:
        return green("form", DRIVER, str(form), needed)
    is_warning, text = remark
    if not is_warning:
        return green("form", DRIVER, text, needed)
    return yellow("form", DRIVER, text, needed, "set the keys of data that it was tuned with, unless you mean to.")


def judge_vocabulary(num_tokens: int, num_ids: int, settings: Any, model: str) -> Finding:
    """Tokens of the tokenizer against rows of the embedding, by configuration and by the weights themselves.

    Args:
        num_tokens: that the tokenizer has.
        num_ids: one more than the largest of them.
    """
    rows = getattr(settings.get_text_config(), "vocab_size", None)
    stored = stored_rows(model)
    found = f"{num_tokens} tokens, {rows} rows in config.json" + (f", {stored} in the weights" if stored else "")
    needed = f"at least {num_ids} rows, the same number in both"
    if stored is not None and stored != rows:
        return red("vocabulary", DRIVER, found, needed, "config.json is of another model: restore the model's own.")
    if rows is not None and rows < num_ids:
        return red("vocabulary", DRIVER, found, needed, f"r1ray run recipe=extend model={model} adds the rows.")
    return green("vocabulary", DRIVER, found, needed)


def stored_rows(model: str) -> int | None:
    """Rows of the input embedding in a folder's safetensors; None where there are none, or it is called otherwise."""
    from safetensors import SafetensorError, safe_open

    for file in sorted(Path(model).expanduser().glob("*.safetensors")):
        try:
            with safe_open(str(file), framework="numpy") as tensors:
                name = next((name for name in tensors.keys() if name.endswith(EMBEDDINGS)), None)  # noqa: SIM118
                if name is not None:
                    return int(tensors.get_slice(name).get_shape()[0])
        except (SafetensorError, OSError):
            return None
    return None


def _generation_eos(model: str) -> list[int] | None:
    """End-of-sequence tokens of generation_config.json, by which vLLM stops; None where there is none."""
    from transformers import GenerationConfig

    try:
        found = GenerationConfig.from_pretrained(model).eos_token_id
    except (OSError, ValueError):
        return None
    return None if found is None else _ids(found)


def _ids(value: int | Sequence[int]) -> list[int]:
    return [value] if isinstance(value, int) else list(value)


def judge_eos(
    tokenizer: int, generation: Collection[int] | None, model: int | list[int] | None, *, key: str
) -> Finding:
    """Whether all agree on the token that ends an answer.

    Args:
        tokenizer: its eos_token_id, which fine-tuning learns as the end.
        generation: those of generation_config.json; None: there is none.
        model: that of config.json.
    """
    of_model = [] if model is None else _ids(model)
    stops = sorted({tokenizer, *of_model, *(generation or ())})
    found = (
        f"tokenizer {tokenizer}, config.json {of_model or 'none'}, generation_config.json {sorted(generation or [])}"
    )
    needed = f"the tokenizer's, {tokenizer}, among each of the others"
    odd = [ids for ids in (of_model, generation or ()) if ids and tokenizer not in ids]
    if odd:
        advice = (
            f"engines stop at any of {stops}; training ends answers with {tokenizer}: give {key} an eos_token_id in "
            "both files that has it."
        )
        return yellow("eos", DRIVER, found, needed, advice)
    return green("eos", DRIVER, found, needed)


def pattern_tokens(config: RunConfig) -> list[str]:
    """Texts of the response pattern that the rewards of a stage look for."""
    rules = {name for name, part in config.reward.parts.items() if part.function is None}
    if config.only_learner or not config.starts_actors:
        return []
    tokens = [SPECIAL_TOKEN] if "cold_start_format" in rules else []
    return [*tokens, *TAGS] if "format" in rules else tokens


def judge_pattern(tokenizer: Any, tokens: Sequence[str]) -> Finding:
    """Whether texts of the pattern survive being encoded and decoded as responses are, special tokens left out."""
    needed = "that decoding keeps the pattern, or no reward ever sees it"
    texts, lost = [], []
    for token in tokens:
        ids = tokenizer(token, add_special_tokens=False)["input_ids"]
        back = tokenizer.decode(ids, skip_special_tokens=True)
        texts.append(f"{token} is {counted(len(ids), 'token')}")
        if "".join(back.split()) != token:
            lost.append(f"{token} reads back as {back!r}")
    if lost:
        advice = "add them as ordinary tokens: special and unknown ones are dropped."
        return red("pattern", DRIVER, "; ".join(lost), needed, advice)
    found = "; ".join(texts)
    if SPECIAL_TOKEN in tokens and not has_token(tokenizer, SPECIAL_TOKEN):
        return yellow(
            "pattern", DRIVER, found, f"{SPECIAL_TOKEN} as one token", "r1ray run recipe=extend makes it one."
        )
    return green("pattern", DRIVER, found, needed)
