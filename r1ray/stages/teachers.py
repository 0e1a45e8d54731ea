"""Teachers of on-policy distillation, looked at before anything starts: models of the same tokens as the student's.

A teacher reads the token ids that the student sampled. Where an id stands for other text, or for none, its
log-probabilities would be of something that nobody wrote, and nothing in them would show it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from r1ray.config import AlgoConfig, RunConfig, TeacherConfig
from r1ray.data.template import Form
from r1ray.errors import UserError
from r1ray.runtime.model_files import load_generation_config, load_tokenizer, local_folder
from r1ray.runtime.remote_code import is_allowed
from r1ray.stages.model_form import form_remark

logger = logging.getLogger(__name__)
PROBE = "User: find 24a+4b-5. Assistant: <think>24 + 4 = 28, so x = 23.5</think>\n\n你好, déjà vu\n"
"""Text that both tokenizers have to cut alike."""
NAMED = 3
"""Tokens that a message names."""


def with_local_teachers(algo: AlgoConfig) -> AlgoConfig:
    """Return the same with the folders of its teachers, for processes elsewhere. Raises UserError where one is not
    there."""
    found = {key: local_folder(model, key=key) for key, model in algo.teacher.by_key.items()}
    domains = {domain: found[f"algo.teacher.domains.{domain}"] for domain in algo.teacher.domains}
    return replace(algo, teacher=replace(algo.teacher, model=found.get("algo.teacher.model"), domains=domains))


def check_teachers(config: RunConfig, tokenizer: Any, *, model: str) -> None:
    """Raise UserError where a teacher is no whole language model, cannot read what the student samples, or would read
    other text in it. Says of one that was asked in another form, or ends its answers otherwise. One that another stage
    is going to make is not looked at.

    Args:
        tokenizer: of the student.
        model: the student.
    """
    known = {key: path for key, path in config.algo.teacher.by_key.items() if not path.startswith("@")}
    for key, teacher in known.items():
        read_by = load_tokenizer(
            teacher, template="none", max_model_len=config.max_model_len, key=key, is_trained=False
        )
        check_same_tokens(tokenizer, read_by, model=model, named=f"{key}={teacher}")
        _check_shape(model, teacher, key=key, splits=config.learner.sequence_parallel_size)
        _say_end(tokenizer, model, teacher, key=key)
        remark = form_remark(read_by, Form.of(config.data), model=teacher, key=key)
        if remark is not None and remark[0]:
            logger.warning(remark[1])


def check_domains(teacher: TeacherConfig, domains: Collection[str]) -> None:
    """Raise UserError where prompts would teach nothing, or a teacher nobody.

    Args:
        domains: of the training prompts.
    """
    there = f"data.train has {', '.join(sorted(domains)) or 'none'}"
    if idle := sorted({*teacher.domains} - {*domains}):
        raise UserError(f"algo.teacher.domains.{idle[0]}: no prompt is of this domain; {there}.")
    untaught = sorted({*domains} - {*teacher.domains})
    if teacher.is_alone and teacher.model is None and untaught:
        raise UserError(
            f"algo.teacher.domains: prompts of the domain {untaught[0]} have no teacher, and would teach nothing "
            f"({there}); needs one for each, algo.teacher.model=PATH for the others, or "
            "algo.teacher.beside_rewards=true."
        )


def check_same_tokens(tokenizer: Any, other: Any, *, model: str, named: str) -> None:
    """Raise UserError where two tokenizers do not have the same tokens.

    Args:
        tokenizer: of the model ``model``.
        named: what messages call the model of the other, ``algo.teacher.model=PATH``.
    """
    ours, theirs = tokenizer.get_vocab(), other.get_vocab()
    at_ours = {number: token for token, number in ours.items()}
    at_theirs = {number: token for token, number in theirs.items()}
    differing = [number for number in sorted({*at_ours, *at_theirs}) if at_ours.get(number) != at_theirs.get(number)]
    needed = "a teacher's log-probabilities are of the student's own tokens; needs a teacher with its tokenizer"
    if differing:
        shown = ", ".join(
            f"{number} is {_shown(at_theirs.get(number))} there and {_shown(at_ours.get(number))} here"
            for number in differing[:NAMED]
        )
        raise UserError(
            f"{named}: its tokenizer is not that of model={model}: of {len({*at_ours, *at_theirs})} token ids "
            f"{len(differing)} differ ({shown}); {needed}."
        )
    cut = [list(each(PROBE, add_special_tokens=False)["input_ids"]) for each in (other, tokenizer)]
    if cut[0] != cut[1]:
        place = next(i for i, pair in enumerate(zip(*cut, strict=False)) if pair[0] != pair[1])
        parts = [each.decode(ids[place : place + NAMED]) for each, ids in zip((other, tokenizer), cut, strict=True)]
        raise UserError(
            f"{named}: its tokenizer has the tokens of model={model}, and cuts text otherwise ({parts[0]!r} there, "
            f"{parts[1]!r} here); {needed}."
        )


def _shown(token: str | None) -> str:
    return "nothing" if token is None else repr(token)


def _check_shape(model: str, teacher: str, *, key: str, splits: int) -> None:
    """Raise UserError where the student may sample ids that the teacher has no embedding of, or ranks that share a row
    cannot share out the teacher's heads."""
    from transformers import AutoConfig

    ours, theirs = (
        AutoConfig.from_pretrained(each, trust_remote_code=is_allowed()).get_text_config() for each in (model, teacher)
    )
    if theirs.vocab_size < ours.vocab_size:
        raise UserError(
            f"{key}={teacher}: its embedding has {theirs.vocab_size} rows, that of model={model} has "
            f"{ours.vocab_size}, and may sample ids that the teacher cannot read; needs at least {ours.vocab_size} "
            "rows."
        )
    heads = int(getattr(theirs, "num_key_value_heads", None) or getattr(theirs, "num_attention_heads", None) or splits)
    if heads % splits:
        raise UserError(
            f"learner.sequence_parallel_size={splits} does not divide the {heads} key-value heads of {key}={teacher}, "
            "which its ranks share out: needs a divisor of the heads of student and teachers."
        )


def _say_end(tokenizer: Any, model: str, teacher: str, *, key: str) -> None:
    """Warn of a teacher that ends its answers with a token at which nobody stops the student."""
    stops, ends = ({*_ends(each)} for each in (model, teacher))
    stops = stops or {tokenizer.eos_token_id}
    if ends and not stops & ends:
        theirs, ours = (", ".join(map(repr, tokenizer.convert_ids_to_tokens(sorted(ids)))) for ids in (ends, stops))
        logger.warning(
            f"{key}={teacher} ends its answers with {theirs}, and model={model} is stopped at {ours}: it learns to say "
            "the teacher's, and goes on; needs eos_token_id of its generation_config.json to have it"
        )


def _ends(model: str) -> list[int]:
    found = load_generation_config(model).eos_token_id
    return [] if found is None else [found] if isinstance(found, int) else list(found)
