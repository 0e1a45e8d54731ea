"""Check that the models, rows and rewards of a stage agree on their tokens, before anything is started.

Between models everything is text: a student, a judge and a reward model read answers by tokenizers of their own, and
the reference of reinforcement learning is the policy itself. What has to agree:

* the cold-start pattern's special token is one token of whatever learns to write it, or is rewarded for it;
* a reward model reads prompts as the policy's chat template has put them: it has to be trained with the same one.

That a tokenizer is the model's own is seen by :func:`r1ray.runtime.model_files.load_tokenizer`.
"""

from __future__ import annotations

from typing import Any

from r1ray.config import RewardConfig
from r1ray.errors import UserError
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.runtime.model_files import has_token
from r1ray.runtime.remote_code import is_allowed

OPENINGS = ("<think>", SPECIAL_TOKEN)
PATTERN_PART = "cold_start_format"
"""The part of the reward that pays for the pattern."""


def check_rewarded_pattern(tokenizer: Any, reward: RewardConfig, *, model: str, key: str = "model") -> None:
    """Raise UserError where a model is rewarded for a pattern that it has no token for. A part of weight 0 is only
    logged: a model without the token scores 0 there.

    Args:
        key: what messages call the model.
    """
    part = reward.parts.get(PATTERN_PART)
    if part is not None and part.function is None and part.weight:
        token = str(part.options.get("special_token", SPECIAL_TOKEN))
        _check_token(tokenizer, token, model=model, key=key, why=f"reward.parts.{PATTERN_PART} pays for")


def check_pattern_of_rows(tokenizer: Any, num_rows: int, *, model: str, rows: str) -> None:
    """Raise UserError where answers that a model is to learn hold the pattern's token, and its tokenizer does not.

    Args:
        num_rows: that hold it.
        rows: what messages call their file, ``supervised.train=PATH``.
    """
    if num_rows:
        why = f"{num_rows} answers in {rows} are written with"
        _check_token(tokenizer, SPECIAL_TOKEN, model=model, key="model", why=why)


def _check_token(tokenizer: Any, token: str, *, model: str, key: str, why: str) -> None:
    if has_token(tokenizer, token):
        return
    if token in tokenizer.all_special_tokens:
        raise UserError(
            f"{key}={model}: {token}, which {why}, is a special token of its tokenizer, and decoding leaves it out; "
            "needs an added token with special: false in tokenizer.json."
        )
    raise UserError(
        f"{key}={model}: {token}, which {why}, is no token of its tokenizer. Add it, and give the folder that this "
        f"makes: r1ray run recipe=extend model={model}"
    )


def check_same_prompts(tokenizer: Any, other: str, *, template: str, model: str, key: str) -> None:
    """Raise UserError where a reward model would read prompts in a chat template that it was not trained with.

    Args:
        tokenizer: of the policy, whose template renders the prompts.
        other: folder of the reward model.
        model: what messages call the policy.
        key: what messages call the reward model.
    """
    if template != "chat":
        return
    from transformers import AutoTokenizer

    try:
        read_by = AutoTokenizer.from_pretrained(other, trust_remote_code=is_allowed())
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{key}={other}: not a model that transformers can load: {(str(error).splitlines() or [''])[0]}"
        ) from error
    if _probe(read_by) != _probe(tokenizer):
        raise UserError(
            f"{key}={other}: its chat template is not that of model={model}, in which prompts are put to it; needs a "
            "reward model that was trained with the same (recipe=reward_model of a model of the same family), or "
            "data.template=r1_zero or none for both."
        )


def _probe(tokenizer: Any) -> str | None:
    """A prompt as the template has it, without the opening of the reasoning, which reward models are not shown; None
    where there is no template, or it takes no such prompt."""
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        return None
    messages = [{"role": "user", "content": "1+1"}]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)).rstrip()
    except TemplateError:
        return None
    for opening in OPENINGS:
        text = text.removesuffix(opening).rstrip()
    return text
