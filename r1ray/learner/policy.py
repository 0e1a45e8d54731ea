"""The policy as the losses see it: log-probabilities of completion tokens, never logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from r1ray.algo.logprobs import token_logprobs
from r1ray.errors import UserError


class PolicyModel(nn.Module):
    """A causal language model whose forward pass returns log-probabilities of chosen tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._vocabulary = int(model.get_output_embeddings().weight.shape[0])

    def forward(
        self, input_ids_BT: torch.Tensor, completion_mask_BT: torch.Tensor, temperature: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability and entropy, each [N] float32, of the N tokens under the mask in row-major order.

        Args:
            input_ids_BT: [B, T] int64, rows padded on the right. Attention is causal, so that no token sees the
                padding and no mask is needed.
            completion_mask_BT: [B, T] bool, True on completion tokens; never on the first column.
        """
        hidden_BTH = self.model.get_decoder()(input_ids=input_ids_BT, use_cache=False).last_hidden_state
        predicted = completion_mask_BT[:, 1:]
        return token_logprobs(
            hidden_BTH[:, :-1][predicted],
            self.model.get_output_embeddings(),
            input_ids_BT[:, 1:][predicted],
            vocabulary=self._vocabulary,
            temperature=temperature,
        )


def check_head(model: Any, name: str) -> None:
    """Refuse a model whose logits are more than its output layer on its last hidden states (soft-capping, scaling):
    :class:`PolicyModel` would compute other probabilities than the model. Raises UserError."""
    ids = torch.arange(1, 5, device=next(model.parameters()).device).unsqueeze(0)
    with torch.no_grad():
        whole = model(input_ids=ids, use_cache=False).logits
        parts = model.get_output_embeddings()(model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state)
    if not torch.allclose(whole.float(), parts.float(), rtol=1e-3, atol=1e-3):
        raise UserError(
            f"model={name}: {type(model).__name__} changes its logits after the output layer, which the learner does "
            "not reproduce; needs a model without logit soft-capping or scaling."
        )
