"""Log-probabilities and gradients of packed sequences are those of transformers' own models, alone and in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from r1ray.config import AlgoConfig
from r1ray.learner.decoder import recompute_layers
from r1ray.learner.packed import pack_sequences
from r1ray.learner.policy import PolicyModel, check_policy
from r1ray.learner.rows import Rows, make_rows, microbatch_loss
from r1ray.rollout.engine import one_segment
from r1ray.types import Minibatch, SampleRef, Trajectory, VersionSpan
from tests.gpu.learner.conftest import Place, relative_error
from tests.learner.lending import by_id

VOCABULARY = 128
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "initializer_range": 0.1,  # tokens before are seen in the probabilities
    "bos_token_id": None,
    "eos_token_id": None,
}
PROMPTS = (1, 3, 20, 40, 65, 7)
LENGTHS = (1, 9, 20, 24, 65, 123)
"""Tokens of each trajectory."""


def llama() -> Any:
    return LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False))


def qwen() -> Any:
    return Qwen3ForCausalLM(Qwen3Config(**SHAPE, tie_word_embeddings=True))


def sliding() -> Any:
    return Qwen3ForCausalLM(Qwen3Config(**SHAPE, use_sliding_window=True, sliding_window=48, max_window_layers=0))


MODELS = pytest.mark.parametrize("make", [llama, qwen, sliding])


def both(make: Callable[[], Any], place: Place) -> tuple[Any, Any]:
    """The model in its place, and another one with the same numbers in float32 on the CPU."""
    torch.manual_seed(0)
    theirs = make().to(place.dtype).float()
    theirs.set_attn_implementation("eager")
    return copy.deepcopy(theirs).to(place.device, place.dtype), theirs


def completions() -> tuple[Trajectory, ...]:
    rng = np.random.default_rng(0)
    return tuple(
        one_segment(
            group_id=f"{index}/0",
            index=0,
            prompt_token_ids=rng.integers(VOCABULARY, size=start, dtype=np.int32),
            token_ids=rng.integers(VOCABULARY, size=length, dtype=np.int32),
            logprobs=np.zeros(length, dtype=np.float32),
            text="",
            versions=(VersionSpan(0, 0, length),),
        )
        for index, (start, length) in enumerate(zip(PROMPTS, LENGTHS, strict=True))
    )


def rows_on(device: torch.device) -> Rows:
    rows = completions()
    advantages = (1.0, -0.5, 0.25, -1.0, 0.5, -0.25)
    samples = [SampleRef(row.id, advantage, 0) for row, advantage in zip(rows, advantages, strict=True)]
    return make_rows(samples, by_id(rows), learner_version=0, device=device)


def alone(model: Any, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies of the completions' tokens, each sequence by itself, from all its logits."""
    logp, entropy = [], []
    for trajectory in completions():
        ids = torch.from_numpy(np.concatenate([trajectory.prompt_token_ids, trajectory.segments[0].token_ids])).long()
        start = len(trajectory.prompt_token_ids)
        logits = model(input_ids=ids.unsqueeze(0), use_cache=False).logits[0, start - 1 : -1] / temperature
        table = torch.log_softmax(logits, dim=-1)
        logp.append(table.gather(1, ids[start:, None])[:, 0])
        entropy.append(-(table.exp() * table).sum(-1))
    return torch.cat(logp), torch.cat(entropy)


@MODELS
def test_log_probabilities_are_the_models_own(place: Place, make: Callable[[], Any]) -> None:
    ours, theirs = both(make, place)
    with torch.no_grad():
        expected, spread = alone(theirs, 0.7)
        logp, entropy = PolicyModel(ours)(rows_on(place.device).packed, 0.7)
        rows = rows_on(place.device).packed
        is_chosen = torch.zeros(len(rows.input_ids_N), dtype=torch.bool)
        is_chosen[rows.predictor_C.cpu() + 1] = True
        mixed = pack_sequences([(rows.input_ids_N.cpu(), is_chosen)], device=place.device)
        of_one, _ = PolicyModel(ours)(mixed, 0.7)
    assert logp.dtype == entropy.dtype == torch.float32
    assert relative_error(logp, expected) < place.error
    assert relative_error(entropy, spread) < place.error
    assert relative_error(of_one, expected) > 2 * place.error, "else this shows nothing"


@pytest.mark.parametrize(("make", "checkpointing"), [(llama, False), (llama, True), (qwen, False), (sliding, False)])
def test_the_gradient_of_the_loss_is_the_models_own(place: Place, make: Callable[[], Any], checkpointing: bool) -> None:
    """The whole way of a micro-batch: rows, log-probabilities, GRPO's loss with a KL term, backward."""
    ours, theirs = both(make, place)
    if checkpointing:
        recompute_layers(ours)
    algo = AlgoConfig(kl_coefficient=0.1)
    minibatch = Minibatch(microbatches=(), num_sequences=len(LENGTHS), num_tokens=sum(LENGTHS))
    plain = alone(theirs, 1.0)[0]
    noise = 0.1 * torch.randn(2, len(plain))

    def loss_of(logp: torch.Tensor, device: torch.device) -> torch.Tensor:
        old, ref = (plain.detach() + noise).to(device)
        micro = replace(rows_on(device), rollout_logp_N=old)
        loss, sums = microbatch_loss(logp, micro, minibatch, algo, ref_logp_N=ref)
        assert all(each.device.type == device.type for each in sums.values())
        return loss

    found = loss_of(PolicyModel(ours)(rows_on(place.device).packed, 1.0)[0], place.device)
    expected = loss_of(plain, torch.device("cpu"))
    found.backward()
    expected.backward()
    assert abs(found.item() - expected.item()) < place.error
    assert relative_error(gradient(ours), gradient(theirs)) < 2 * place.error  # rounded at every layer, there and back


def gradient(model: Any) -> torch.Tensor:
    return torch.cat([parameter.grad.float().flatten() for parameter in model.parameters()])


@MODELS
def test_the_check_at_the_start_of_a_run_passes(place: Place, make: Callable[[], Any]) -> None:
    ours, _ = both(make, place)
    check_policy(PolicyModel(ours), name="mine", device=place.device)


def test_a_rank_without_work_has_a_gradient_of_zero(place: Place) -> None:
    ours, _ = both(llama, place)
    micro = make_rows([], {}, learner_version=0, device=place.device)
    minibatch = Minibatch(microbatches=(), num_sequences=1, num_tokens=1)
    logp, _ = PolicyModel(ours)(micro.packed, 1.0)
    loss, _ = microbatch_loss(logp, micro, minibatch, AlgoConfig(kl_coefficient=0.0))
    loss.backward()
    assert loss.item() == 0.0 and gradient(ours).abs().max().item() == 0.0
