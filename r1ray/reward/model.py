"""A trained reward model, which scores answers and steps of answers.

    (prompt, response) --as training rows are--> tokens --sequence classifier--> score of the last token

A plain class whose methods block; ``r1ray.cluster`` makes a Ray actor of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from r1ray.config import RewardModelConfig
from r1ray.data.turns import DialogueEncoder, Piece
from r1ray.errors import InfrastructureError, UserError
from r1ray.runtime.remote_code import is_allowed, needs_code, refusal


class RewardModel:
    """A sequence classifier with one label, as trained by ``recipe=reward_model``."""

    def __init__(self, config: RewardModelConfig, device: str, template: str) -> None:
        """
        Args:
            device: ``cpu`` or ``cuda``.
            template: value of ``data.template``, by which prompts are rendered: ``chat`` has put the tokenizer's own
                tokens into them.

        Raises:
            UserError: the model does not load or is no such model.
        """
        torch.set_num_threads(config.threads)
        tokenizer, model = _load(str(config.model), getattr(torch, config.dtype))
        self._model = model.to(device).eval()
        self._encoder = DialogueEncoder(tokenizer, template=template)
        self._max_tokens, self._batch_tokens, self._device = config.max_tokens, config.batch_tokens, device
        self._num_truncated = 0

    @property
    def num_truncated(self) -> int:
        """Number of texts that have lost their beginning so far."""
        return self._num_truncated

    def score(self, prompts_and_responses: Sequence[tuple[str, str]]) -> list[float]:
        """Return one score for each prompt and response. They are tokenized as the training rows of such models:
        separately, with an end of sequence after them.

        Raises:
            InfrastructureError: a score is not finite.
        """
        pieces = [(Piece(prompt, False), Piece(response, True)) for prompt, response in prompts_and_responses]
        whole = [ids for ids, _ in self._encoder.encode(pieces)]
        self._num_truncated += sum(len(ids) > self._max_tokens for ids in whole)
        rows = [torch.from_numpy(ids[-self._max_tokens :].astype("int64")) for ids in whole]
        scores = [math.nan] * len(rows)
        for batch in batches_by_length([len(row) for row in rows], batch_tokens=self._batch_tokens):
            for index, score in zip(batch, self._scores([rows[index] for index in batch]), strict=True):
                scores[index] = score
        if not all(map(math.isfinite, scores)):
            raise InfrastructureError("a score of the reward model is not a finite number")
        return scores

    def step_scores(self, prompt: str, steps: Sequence[str]) -> list[float]:
        """Return one reward in [0, 1] for each step: the value of the answer up to it. Blank lines separate steps."""
        prefixes = ["\n\n".join(steps[: end + 1]) for end in range(len(steps))]
        return [_sigmoid(score) for score in self.score([(prompt, prefix) for prefix in prefixes])]

    def value(self, prompt: str, text: str) -> float:
        """Return the value of an answer, or of the beginning of one, in [0, 1]."""
        (score,) = self.score([(prompt, text)])
        return _sigmoid(score)

    @torch.inference_mode()
    def _scores(self, rows: Sequence[torch.Tensor]) -> list[float]:
        # The model's own search for the last token takes an end of sequence for padding if they are the same token.
        # With padding on the right no token that is read can see it, so attention needs no mask.
        ids_BT = pad_sequence(list(rows), batch_first=True).to(self._device)
        hidden_BTH = self._model.base_model(input_ids=ids_BT, use_cache=False).last_hidden_state
        last_B = torch.tensor([len(row) - 1 for row in rows], device=self._device)
        scores_B = self._model.score(hidden_BTH[torch.arange(len(rows), device=self._device), last_B]).squeeze(-1)
        return [float(score) for score in scores_B.float().cpu()]


def batches_by_length(lengths: Sequence[int], *, batch_tokens: int) -> list[list[int]]:
    """Return indices of ``lengths``, longest first, in batches of at most ``batch_tokens`` tokens with padding.

    >>> batches_by_length([1, 5, 2, 4], batch_tokens=10)
    [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if not batches or lengths[batches[-1][0]] * (len(batches[-1]) + 1) > batch_tokens:
            batches.append([])
        batches[-1].append(index)
    return batches


def _load(path: str, dtype: torch.dtype) -> tuple[Any, Any]:
    """Return the tokenizer and the model. Raises UserError."""
    key = f"reward_model.model={path}"
    try:
        labels = AutoConfig.from_pretrained(path, trust_remote_code=is_allowed()).num_labels
        if labels != 1:
            raise UserError(f"{key}: it has {labels} labels; needs one, as recipe=reward_model makes them.")
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=is_allowed())
        model, loaded = AutoModelForSequenceClassification.from_pretrained(
            path, dtype=dtype, output_loading_info=True, trust_remote_code=is_allowed()
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if needs_code(error):
            raise UserError(refusal(key)) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{key}: not a reward model that transformers can load: {reason}") from error
    if loaded["missing_keys"]:
        missing = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise UserError(f"{key}: its files lack {missing}, which would be random; needs a trained reward model.")
    if not hasattr(model, "score"):
        raise UserError(f"{key}: {type(model).__name__} does not score its last token; needs a decoder that does.")
    if tokenizer.eos_token_id is None:
        raise UserError(f"{key}: its tokenizer has no end-of-sequence token.")
    return tokenizer, model


def _sigmoid(score: float) -> float:
    """Return the logistic function of a score, in [0, 1], without overflow.

    >>> _sigmoid(0.0), _sigmoid(-1e9)
    (0.5, 0.0)
    """
    return 1.0 / (1.0 + math.exp(-score)) if score >= 0 else math.exp(score) / (1.0 + math.exp(score))
