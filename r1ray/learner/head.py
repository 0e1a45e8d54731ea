"""Log-probabilities of chosen tokens from hidden states, by everything that a model does after its decoder.

    decoder --> scaling, further layers --> output layer --> scaling, soft-capping --> logits
                `--------- before --------'                  `------- after -------'

The steps around the output layer are found by calling the model with its decoder and output layer replaced, so no model
family has to be known by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import nn

from r1ray.algo.logprobs import token_logprobs
from r1ray.errors import UserError
from r1ray.learner.decoder import decoder_of

Function = Callable[[torch.Tensor], torch.Tensor]


class LogprobHead(nn.Linear):
    """An output layer that can return log-probabilities of chosen tokens instead of logits. One call serves a
    micro-batch, so that DeepSpeed gathers its parameters once (ZeRO 3): the number of gathers must not depend on how
    many tokens a rank has."""

    entropy_has_gradient = False

    def forward(  # type: ignore[override]
        self,
        hidden_NH: torch.Tensor,
        targets_N: torch.Tensor | None = None,
        temperature: float = 1.0,
        after: Function | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if targets_N is None:
            return super().forward(hidden_NH)
        return token_logprobs(
            hidden_NH.to(self.weight.dtype),
            self.weight,
            self.bias,
            targets_N,
            temperature=temperature,
            after=after,
            entropy_has_gradient=self.entropy_has_gradient,
        )


def as_logprob_head(model: Any) -> LogprobHead:
    """Turn the model's output layer, with its parameters unchanged, into a :class:`LogprobHead`. Raises UserError."""
    head = model.get_output_embeddings()
    if type(head) not in (nn.Linear, LogprobHead):
        raise UserError(
            f"{type(model).__name__}: its output layer is a {type(head).__name__}; the learner needs a plain linear "
            "layer, and no adapters there (learner.lora.targets)."
        )
    head.__class__ = LogprobHead
    assert isinstance(head, LogprobHead)
    return head


class Surroundings:
    """The steps of a model before and after its output layer."""

    def __init__(self, model: Any, head: LogprobHead) -> None:
        self._model, self._head = model, head

    @cached_property
    def _is_plain_before(self) -> bool:
        values = self._samples(self._model.config.get_text_config().hidden_size)
        with torch.no_grad():
            return bool(torch.equal(self._before(values), values))

    @cached_property
    def _is_plain_after(self) -> bool:
        """Return whether logits are returned unchanged. Raises UserError if a logit's result depends on others, because
        the vocabulary is processed in parts."""
        values = self._samples(self._head.out_features)
        with torch.no_grad():
            whole, parts = self._after(values), [self._after(part) for part in values.chunk(2, dim=-1)]
        if not torch.equal(torch.cat(parts, dim=-1), whole):
            raise UserError(
                f"{type(self._model).__name__}: it does not process each logit by itself; the learner needs functions "
                "of single logits, such as scaling and soft-capping."
            )
        return bool(torch.equal(whole, values))

    def _samples(self, width: int) -> torch.Tensor:
        """Return numbers from -3 to 3, [1, 2, width]."""
        weight = self._head.weight
        return torch.linspace(-3, 3, 2 * width, dtype=weight.dtype, device=weight.device).view(1, 2, width)

    def before(self, hidden_NH: torch.Tensor) -> torch.Tensor:
        """Return the input of the output layer for hidden states."""
        return hidden_NH if self._is_plain_before else self._before(hidden_NH.unsqueeze(0))[0]

    @property
    def are_plain(self) -> bool:
        """Return whether the output layer gets hidden states unchanged, and its logits are returned unchanged."""
        return self._is_plain_before and self._is_plain_after

    @property
    def after(self) -> Function | None:
        """The elementwise function that the model applies to its logits; None if it returns them unchanged."""
        return None if self._is_plain_after else lambda logits_NC: self._after(logits_NC.unsqueeze(0))[0]

    def _before(self, hidden_1NH: torch.Tensor) -> torch.Tensor:
        seen: list[torch.Tensor] = []

        def catch(hidden: torch.Tensor) -> torch.Tensor:
            seen.append(hidden)
            return hidden.new_zeros(*hidden.shape[:-1], self._head.out_features)

        self._call(hidden_1NH, catch)
        return seen[0]

    def _after(self, logits_1NC: torch.Tensor) -> torch.Tensor:
        width = self._model.config.get_text_config().hidden_size
        placeholder = logits_1NC.new_zeros(*logits_1NC.shape[:2], width)
        return self._call(placeholder, lambda _: logits_1NC)

    def _call(self, hidden: torch.Tensor, output: Function) -> torch.Tensor:
        ids = torch.zeros(hidden.shape[:2], dtype=torch.int64, device=hidden.device)
        decoder = decoder_of(self._model)
        with replaced(self._model, decoder, lambda *_, **__: Hidden(hidden)), replaced(self._model, self._head, output):
            logits: torch.Tensor = self._model.forward(input_ids=ids, use_cache=False).logits
        return logits


class Hidden:
    """Output of a decoder that has only hidden states."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int | slice) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


class StandIn:
    """A function that has the attributes of a module."""

    def __init__(self, part: nn.Module, function: Callable[..., Any]) -> None:
        self._part, self._function = part, function

    def __call__(self, *arguments: Any, **more: Any) -> Any:
        return self._function(*arguments, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


@contextmanager
def replaced(model: nn.Module, part: nn.Module, function: Callable[..., Any]) -> Iterator[None]:
    """Replace one of the model's modules by a function, inside the ``with``."""
    places = [(parent, name) for parent in model.modules() for name, child in parent._modules.items() if child is part]
    stand_in: Any = StandIn(part, function)
    for parent, name in places:
        parent._modules[name] = stand_in
    try:
        yield
    finally:
        for parent, name in places:
            parent._modules[name] = part
