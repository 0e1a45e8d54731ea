"""Routers of real mixtures: what is recorded of them, how they are balanced, and choices that are given to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from transformers.models.qwen3_moe.modeling_qwen3_moe import load_balancing_loss_func

from r1ray.config.router import RouterConfig
from r1ray.errors import UserError
from r1ray.learner.packed import Packed, pack_sequences
from r1ray.learner.policy import PolicyModel
from r1ray.learner.routers import Routers
from tests.learner.mixtures import make_mixture

LENGTHS = (9, 4, 6)
LAYERS, EXPERTS = 2, 6


def packed_rows(*, multiple: int = 8) -> Packed:
    """Three sequences of tokens, and padding."""
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(2, 64, (length,), generator=generator) for length in LENGTHS]
    rows = [(each, torch.arange(len(each)) > 0) for each in ids]
    return pack_sequences(rows, device=torch.device("cpu"), multiple=multiple)


def policy_of(model: Any, **keys: Any) -> tuple[PolicyModel, Routers]:
    """Return the policy of a model, and its routers under these keys of ``learner.router``."""
    policy, routers = PolicyModel(model), Routers(model, RouterConfig(**keys))
    policy.take_choices = routers.use
    return policy, routers


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.allclose(ours[n], theirs[n], atol=1e-6) for n in ours)


@pytest.fixture
def group() -> Iterator[None]:
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_the_balance_of_packed_rows_is_transformers_own_without_padding() -> None:
    model, packed = make_mixture("mixtral"), packed_rows()
    policy, routers = policy_of(model, loss_coefficient=0.5)
    with routers.recording():
        policy(packed)
    found = routers.balance(packed, share=1.0)
    assert isinstance(found, torch.Tensor)
    torch.autograd.backward(found)
    ours = gradients(model)

    model.set_attn_implementation("eager")
    ids = torch.zeros(len(LENGTHS), max(LENGTHS), dtype=torch.int64)
    for row, part in zip(ids, torch.split(packed.input_ids_N[: sum(LENGTHS)], LENGTHS), strict=True):
        row[: len(part)] = part
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    logits = model(ids, attention_mask=mask.long(), output_router_logits=True).router_logits
    expected = 0.5 * load_balancing_loss_func(logits, num_experts=EXPERTS, top_k=2, attention_mask=mask.long())
    expected.backward()
    assert torch.allclose(found, expected, atol=1e-6)
    assert same(ours, gradients(model))


def test_the_balance_of_sigmoid_routers_does_not_depend_on_how_rows_are_packed() -> None:
    model, packed = make_mixture("deepseek_v3"), packed_rows()
    policy, routers = policy_of(model, loss_coefficient=1.0)
    with routers.recording():
        policy(packed)
    whole = torch.as_tensor(routers.balance(packed, share=1.0)).item()
    parts = []
    for ids in torch.split(packed.input_ids_N[: sum(LENGTHS)], LENGTHS):
        alone = pack_sequences([(ids, torch.arange(len(ids)) > 0)], device=torch.device("cpu"))
        with routers.recording():
            policy(alone)
        parts.append(torch.as_tensor(routers.balance(alone, share=1 / 3)).item())
    assert whole == pytest.approx(sum(parts), rel=1e-5) and whole > 0


def test_gradient_checkpointing_changes_neither_balance_nor_load() -> None:
    found = []
    for is_checkpointed in (False, True):
        model, packed = make_mixture("qwen3_moe"), packed_rows()
        policy, routers = policy_of(model, loss_coefficient=0.5, bias_speed=0.0)
        model.train()
        if is_checkpointed:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        with routers.recording():
            logp, _ = policy(packed)
        loss = logp.sum() + routers.balance(packed, share=1.0)
        loss.backward()
        assert routers.balance(packed, share=1.0) == 0.0, "the backward pass has recorded something"
        loads = [router.load_E.tolist() for router in routers._found if router.load_E is not None]
        found.append((gradients(model), loads))
    assert same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1] != []


@pytest.mark.usefixtures("group")
def test_biases_move_by_the_sign_of_the_load_of_real_tokens() -> None:
    model, packed = make_mixture("glm4_moe"), packed_rows()
    policy, routers = policy_of(model, bias_speed=0.125)
    chosen = []
    gates = [module for name, module in model.named_modules() if name.endswith("mlp.gate")]
    for gate in gates:
        gate.register_forward_hook(lambda module, inputs, output: chosen.append(output[2][: packed.num_tokens]))
    with routers.recording():
        policy(packed)
    assert routers.balance(packed, share=1.0) == 0.0
    before = [gate.e_score_correction_bias.clone() for gate in gates]
    routers.after_update()
    assert len(gates) == 1
    for gate, old, ids in zip(gates, before, chosen, strict=True):
        load = torch.bincount(ids.flatten(), minlength=EXPERTS)
        expected = old + 0.125 * torch.sign(sum(LENGTHS) * 2 / EXPERTS - load)
        assert torch.allclose(gate.e_score_correction_bias, expected)
        largest = int(load.max()) / (sum(LENGTHS) * 2 / EXPERTS)
    assert routers.metrics() == {"router/load_max": pytest.approx(largest)}


def forced(module: Any, given: torch.Tensor, is_sigmoid: bool) -> Any:
    """A router's forward pass with its choices written out, for the comparison."""

    def forward(hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        logits = hidden.reshape(-1, hidden.shape[-1]) @ module.weight.T
        scores = torch.sigmoid(logits) if is_sigmoid else torch.softmax(logits, dim=-1)
        weights = torch.stack([row[ids] for row, ids in zip(scores, given, strict=True)])
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return logits, weights * getattr(module, "routed_scaling_factor", 1.0), given

    return forward


@pytest.mark.parametrize("kind", ["qwen3_moe", "deepseek_v3"])
def test_the_gradient_under_given_choices_is_that_of_routers_that_are_forced_to_them(kind: str) -> None:
    model, packed = make_mixture(kind), packed_rows()
    policy, _ = policy_of(model, replay=True)
    with torch.no_grad():
        own = policy(packed)[0]
    generator = torch.Generator().manual_seed(2)
    choices = torch.rand(len(packed.input_ids_N), LAYERS, EXPERTS, generator=generator).argsort(dim=-1)[..., :2]
    given = replace(packed, choices_NLK=choices.int())
    logp, _ = policy(given)
    logp.sum().backward()
    ours = gradients(model)

    with torch.no_grad():
        assert torch.equal(policy(packed)[0], own), "without choices routers take their own again"
    plain = make_mixture(kind)
    for name, module in plain.named_modules():
        if hasattr(module, "top_k") and "weight" in module._parameters:
            is_sigmoid = hasattr(module, "e_score_correction_bias")
            module.forward = forced(module, choices[:, int(name.split(".")[2])], is_sigmoid)
    expected, _ = PolicyModel(plain)(packed)
    expected.sum().backward()
    assert torch.allclose(logp, expected, atol=1e-5) and not torch.allclose(logp, own, atol=1e-3)
    assert same(ours, gradients(plain))


def test_routers_choose_where_the_engine_says_nothing() -> None:
    model, packed = make_mixture("qwen3_moe"), packed_rows()
    policy, _ = policy_of(model, replay=True)
    silent = replace(packed, choices_NLK=torch.full((len(packed.input_ids_N), LAYERS, 2), -1, dtype=torch.int32))
    with torch.no_grad():
        assert torch.allclose(policy(silent)[0], policy(packed)[0], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "keys", "said"),
    [
        ("llama", {"bias_speed": 0.1}, "learner.router.bias_speed=0.1: LlamaForCausalLM has no known routers"),
        ("qwen3_moe", {"bias_speed": 0.1}, "Qwen3MoeForCausalLM has routers without a selection bias"),
    ],
)
def test_models_without_what_a_key_needs_are_refused(kind: str, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Routers(make_mixture(kind), RouterConfig(**keys))


def test_a_router_that_makes_its_weights_in_an_unknown_way_is_refused() -> None:
    model = make_mixture("qwen3_moe")
    policy, routers = policy_of(model, replay=True)
    router: Any = routers._found[0].module
    own = type(router).forward

    def squared(hidden: torch.Tensor) -> Any:
        logits, weights, chosen = own(router, hidden)
        return logits, weights**2, chosen

    router.forward = squared
    with pytest.raises(UserError, match=r"Qwen3MoeTopKRouter, whose weights are made in an unknown way"):
        policy(packed_rows())


def test_rows_that_are_not_packed_are_refused() -> None:
    model = make_mixture("qwen3_moe")
    Routers(model, RouterConfig()).check_path("padded")
    with pytest.raises(UserError, match="Qwen3MoeForCausalLM computes rows that are not packed"):
        Routers(model, RouterConfig(loss_coefficient=0.1)).check_path("padded")
