"""The policy's log-probabilities are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.errors import UserError
from r1ray.learner.policy import PolicyModel, check_head


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("folder", ["qwen_folder", "llama_folder"])
def test_padded_rows_give_what_each_sequence_gives_alone(folder: str, request: pytest.FixtureRequest) -> None:
    model = load(request.getfixturevalue(folder))
    rows = [[5, 9, 12, 7, 30], [8, 4, 21], [3, 3, 3, 3, 3, 3, 17]]
    prompts = [2, 1, 4]
    width = max(map(len, rows))
    ids, mask = torch.zeros(3, width, dtype=torch.int64), torch.zeros(3, width, dtype=torch.bool)
    for i, (row, start) in enumerate(zip(rows, prompts, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, start : len(row)] = True
    with torch.no_grad():
        logp, entropy = PolicyModel(model)(ids, mask, 0.7)
        expected, spread = [], []
        for row, start in zip(rows, prompts, strict=True):
            table = torch.log_softmax(model(input_ids=torch.tensor([row])).logits[0] / 0.7, dim=-1)
            expected += [table[t - 1, row[t]] for t in range(start, len(row))]
            spread += [-(table[t - 1].exp() * table[t - 1]).sum() for t in range(start, len(row))]
    assert torch.allclose(logp, torch.stack(expected), atol=1e-5)
    assert torch.allclose(entropy, torch.stack(spread), atol=1e-4)


def test_a_plain_head_is_accepted(qwen_folder: Path) -> None:
    check_head(load(qwen_folder), "qwen")


def test_a_model_that_caps_its_logits_is_refused() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=32,
        final_logit_softcapping=0.5,
    )
    with pytest.raises(UserError, match="changes its logits after the output layer"):
        check_head(Gemma2ForCausalLM(config).eval(), "gemma")
