"""What an engine holds, compared with what it was sent."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from r1ray.errors import WeightSyncError
from r1ray.weights.content import content
from r1ray.weights.held import PACKED, HeldWeights, contents, merged

NAMES = ("q", "k", "v")


class Layer(nn.Module):
    """A layer as engines have them: projections stacked, and padded to a multiple of eight rows."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(4, 16, bias=False)
        self.norm = nn.Parameter(torch.ones(4))


class Engine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer() for _ in range(2))
        self.embed = nn.Embedding(6, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight


def source(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    projections = {f"model.layers.{i}.{name}.weight": torch.randn(5, 4) for i in range(2) for name in NAMES}
    norms = {f"model.layers.{i}.norm": torch.rand(4) for i in range(2)}
    embed = torch.randn(6, 4)
    return projections | norms | {"model.embed.weight": embed, "head.weight": embed}


@torch.no_grad()
def load(engine: Engine, weights: Mapping[str, torch.Tensor]) -> None:
    for i, layer in enumerate(engine.layers):
        assert isinstance(layer, Layer)
        stacked = torch.cat([weights[f"model.layers.{i}.{name}.weight"] for name in NAMES])
        layer.qkv.weight.zero_()[:15] = stacked
        layer.norm.copy_(weights[f"model.layers.{i}.norm"])
    engine.embed.weight.copy_(weights["model.embed.weight"])


def publish(held: HeldWeights, sent: Mapping[str, torch.Tensor], loaded: Mapping[str, torch.Tensor]) -> None:
    held.begin()
    for name, tensor in sent.items():
        held.arrived(name, tensor)
    load(held.model, loaded)
    held.check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stacked_padded_and_tied_weights_are_what_was_sent(dtype: torch.dtype) -> None:
    held = HeldWeights(Engine().to(dtype), dtype)
    for seed in range(3):
        publish(held, source(seed), source(seed))


@pytest.mark.faults
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("victim", ["model.layers.1.k.weight", "model.layers.0.norm", "model.embed.weight"])
def test_a_tensor_left_at_an_older_version_is_found(victim: str, dtype: torch.dtype) -> None:
    held = HeldWeights(Engine().to(dtype), dtype)
    publish(held, source(0), source(0))
    publish(held, source(1), source(1))
    for old in (0, 1):
        with pytest.raises(WeightSyncError, match="does not hold what it was sent"):
            publish(held, source(2), source(2) | {victim: source(old)[victim]})
    publish(held, source(2), source(2))


@pytest.mark.faults
def test_the_tensor_is_named_where_the_engine_has_it_under_its_name() -> None:
    held = HeldWeights(Engine(), torch.float32)
    publish(held, source(0), source(0))
    names = {name.replace("model.", ""): tensor for name, tensor in source(1).items()}
    held.begin()
    for name, tensor in names.items():
        held.arrived(name, tensor)
    load(held.model, source(1) | {"model.layers.1.norm": torch.zeros(4)})
    with pytest.raises(WeightSyncError, match=r"sent: layers\.1\.norm$"):
        held.check()


@pytest.mark.faults
def test_weights_that_an_engine_changes_have_to_follow_their_sources() -> None:
    """An engine that keeps something else, here twice the norms: sums tell nothing, changes do."""
    held = HeldWeights(Engine(), torch.float32)

    def doubled(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: 2 * weight if "layers" in name else weight for name, weight in weights.items()}

    publish(held, source(0), doubled(source(0)))
    publish(held, source(1), doubled(source(1)))
    with pytest.raises(WeightSyncError, match=r"sent: layers\.0\.qkv\.weight"):
        stale = {
            name: tensor for name, tensor in doubled(source(1)).items() if "layers.0" in name and "norm" not in name
        }
        publish(held, source(2), doubled(source(2)) | stale)
    with pytest.raises(WeightSyncError, match=r"layers\.0\.qkv\.weight, layers\.1\.qkv\.weight"):
        publish(held, source(1), doubled(source(3)) | {n: t for n, t in doubled(source(1)).items() if "norm" in n})


def packed(engine: Engine) -> nn.Linear:
    """The first projection as an engine on CPUs has it: the weight is gone, a packed copy computes."""
    linear = engine.layers[0].qkv
    assert isinstance(linear, nn.Linear)
    weight = linear.weight.detach().clone()

    def compute(x: torch.Tensor) -> torch.Tensor:
        return x @ weight.T

    linear.cpu_linear = compute
    setattr(linear, PACKED, (compute, content(weight)))
    linear.weight = nn.Parameter(torch.empty(0))
    return linear


def test_a_packed_weight_has_the_content_of_what_was_packed() -> None:
    engine = Engine()
    before = contents(engine)
    packed(engine)
    assert contents(engine) == before


@pytest.mark.faults
def test_a_packed_copy_that_no_publish_made_is_found() -> None:
    engine = Engine()
    linear = packed(engine)
    linear.cpu_linear = lambda x: x
    with pytest.raises(WeightSyncError, match=r"layers\.0\.qkv computes with weights that no publish has sent"):
        contents(engine)


@pytest.mark.faults
def test_a_packed_copy_beside_a_newer_weight_is_found() -> None:
    engine = Engine()
    engine.head.cpu_linear = lambda x: x
    setattr(engine.head, PACKED, (engine.head.cpu_linear, content(torch.randn(6, 4))))
    with pytest.raises(WeightSyncError, match="head computes with a packed copy of other weights than it holds"):
        contents(engine)


def test_parts_of_an_engine_count_what_they_share_once_and_what_they_divide_together() -> None:
    whole = torch.randn(6, 4)
    parts = [{"norm": 7, "qkv": int(content(half)) % 2**64} for half in whole.split(3)]
    assert merged(parts) == {"norm": 7, "qkv": int(content(whole)) % 2**64}


floats = st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=40)


@given(floats, st.randoms(use_true_random=False), st.integers(0, 8))
def test_content_does_not_depend_on_order_or_padding(values: list[float], random: object, padding: int) -> None:
    shuffled = [*values, *[0.0] * padding]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert content(torch.tensor(values)) == content(torch.tensor(shuffled))


@given(floats, st.data())
def test_one_bit_changes_the_content(values: list[float], data: st.DataObject) -> None:
    tensor = torch.tensor(values)
    bits = tensor.clone().view(torch.int32)
    bits[data.draw(st.integers(0, len(values) - 1))] ^= 1 << data.draw(st.integers(0, 31))
    assert content(tensor) != content(bits.view(torch.float32))


@given(floats)
def test_content_is_of_values_whatever_dtype_holds_them(values: list[float]) -> None:
    rounded = torch.tensor(values).bfloat16()
    assert content(torch.tensor(values), torch.bfloat16) == content(rounded) == content(rounded.float())
