"""The policy's log-probabilities are the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.errors import UserError
from r1ray.learner.decoder import recompute_layers
from r1ray.learner.packed import Packed, pack_sequences
from r1ray.learner.paths import TOLERANCE
from r1ray.learner.policy import PolicyModel, check_policy
from tests.learner.families import make


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


ROWS = ([5, 9, 12, 7, 30], [8, 4, 21], [3, 3, 3, 3, 3, 3, 17], [9, 9], [11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21])
PROMPTS = (2, 1, 4, 1, 3)
CPU = torch.device("cpu")


def packed(rows: Sequence[list[int]], starts: Sequence[int], **options: Any) -> Packed:
    sequences = [(torch.tensor(row), torch.arange(len(row)) >= start) for row, start in zip(rows, starts, strict=True)]
    return pack_sequences(sequences, device=CPU, **options)


def alone(model: Any, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Each sequence by itself, from all logits of the model's own attention."""
    expected, spread = [], []
    for row, start in zip(ROWS, PROMPTS, strict=True):
        table = torch.log_softmax(model(input_ids=torch.tensor([row])).logits[0] / temperature, dim=-1)
        expected += [table[t - 1, row[t]] for t in range(start, len(row))]
        spread += [-(table[t - 1].exp() * table[t - 1]).sum() for t in range(start, len(row))]
    return torch.stack(expected), torch.stack(spread)


@pytest.mark.parametrize("folder", ["qwen_folder", "llama_folder"])
def test_packed_sequences_give_what_each_gives_alone(folder: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(folder)
    with torch.no_grad():
        logp, entropy = PolicyModel(load(path))(packed(ROWS, PROMPTS), 0.7)
        expected, spread = alone(load(path), 0.7)
    assert torch.allclose(logp, expected, atol=1e-5)
    assert torch.allclose(entropy, spread, atol=1e-4)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_packed_sequences_have_the_gradient_of_each_alone(llama_folder: Path, checkpointing: bool) -> None:
    ours, theirs = load(llama_folder), load(llama_folder)
    if checkpointing:
        recompute_layers(ours)
    weights = torch.linspace(-1, 1, sum(len(row) - start for row, start in zip(ROWS, PROMPTS, strict=True)))
    (PolicyModel(ours)(packed(ROWS, PROMPTS, multiple=8), 1.0)[0] * weights).sum().backward()
    (alone(theirs, 1.0)[0] * weights).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-5), name


def test_the_entropy_has_the_gradient_of_each_alone_where_it_is_asked_for(llama_folder: Path) -> None:
    ours, theirs = load(llama_folder), load(llama_folder)
    PolicyModel(ours, entropy_has_gradient=True)(packed(ROWS, PROMPTS), 0.7)[1].sum().backward()
    alone(theirs, 0.7)[1].sum().backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, atol=1e-5), name
    assert not PolicyModel(load(llama_folder))(packed(ROWS, PROMPTS), 0.7)[1].requires_grad


def sliding(*, window: int | None) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        use_sliding_window=window is not None,
        sliding_window=window,
        max_window_layers=0,
        initializer_range=0.5,
        tie_word_embeddings=False,
    )
    return Qwen3ForCausalLM(config).eval()


def test_a_sliding_window_is_kept() -> None:
    ours, theirs = sliding(window=3), sliding(window=3)
    with torch.no_grad():
        logp, _ = PolicyModel(ours)(packed(ROWS, PROMPTS), 1.0)
        assert torch.allclose(logp, alone(theirs, 1.0)[0], atol=1e-4)
        assert not torch.allclose(logp, alone(sliding(window=None), 1.0)[0], atol=1e-2), "else this shows nothing"


DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])


def check(model: Any, dtype: torch.dtype) -> None:
    check_policy(PolicyModel(model.to(dtype).eval()), name="mine", device=CPU)


@DTYPES
@pytest.mark.parametrize("folder", ["qwen_folder", "llama_folder"])
def test_a_model_that_packs_and_has_a_plain_head_is_accepted(
    folder: str, request: pytest.FixtureRequest, dtype: torch.dtype
) -> None:
    check(load(request.getfixturevalue(folder)), dtype)


def confident(*, layers: int) -> Any:
    """A model that is sure of some tokens and gives others tens of nats less, as pretrained ones do of special ones."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.1,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight *= 3
    return model


def test_rounding_in_bfloat16_is_not_taken_for_another_model() -> None:
    """Of tokens that the model finds unlikely, two right ways to compute it are further apart than the bound."""
    policy = PolicyModel(confident(layers=12).to(torch.bfloat16).eval())
    check_policy(policy, name="mine", device=CPU)
    low = torch.arange(1, 11)
    with torch.no_grad():
        table = torch.log_softmax(policy(low.unsqueeze(0))[0].float(), dim=-1)
        found, _ = policy(packed([low.tolist()], [1]), 1.0)
    own = table[:-1].gather(1, low[1:, None])[:, 0]
    assert (found - own).abs().max() > TOLERANCE[torch.bfloat16] and own.mean() < -10


@DTYPES
@pytest.mark.parametrize(("family", "path"), [("gemma2", "packed"), ("mamba", "padded"), ("bloom", "padded")])
def test_a_model_is_computed_by_the_first_path_that_is_right(family: str, path: str, dtype: torch.dtype) -> None:
    assert check_policy(PolicyModel(make(family).to(dtype)), name="mine", device=CPU) == path


@DTYPES
def test_a_model_that_looks_ahead_is_refused(dtype: torch.dtype) -> None:
    from transformers import BertConfig, BertLMHeadModel

    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = BertLMHeadModel(BertConfig(vocab_size=64, initializer_range=0.5, **shape))
    with pytest.raises(UserError, match=r"model=mine: .* differ from the model's own .* causal") as raised:
        check(model, dtype)
    assert ("learner.dtype=float32" in str(raised.value)) == (dtype == torch.bfloat16)


def test_tokens_of_padded_rows_are_counted() -> None:
    policy = PolicyModel(make("lfm2"))
    rows = packed([[5, 9, 12, 7], [8, 4, 21], [9]], [1, 1, 1])
    assert policy.decoder.num_computed(rows) == 8
    check_policy(policy, name="mine", device=CPU)
    assert policy.decoder.num_computed(rows) == 4 + 4 + 1, "the second row is padded to the length of the first"


def test_a_head_that_is_no_plain_linear_layer_is_refused(llama_folder: Path) -> None:
    model = load(llama_folder)
    model.set_output_embeddings(torch.nn.Sequential(model.lm_head))
    with pytest.raises(UserError, match=r"output layer is a Sequential; the learner needs a plain linear"):
        PolicyModel(model)
