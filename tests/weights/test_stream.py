"""The fingerprints that travel with the weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.errors import WeightSyncError
from r1ray.weights import stream
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.stream import VerifyingLoader, fingerprint, metadata_with_fingerprints, with_fingerprints


def weights() -> list[tuple[str, torch.Tensor]]:
    torch.manual_seed(0)
    return [("a", torch.randn(3, 5)), ("b", torch.randn(7).bfloat16()), ("c", torch.zeros(2, 2))]


def test_what_was_sent_is_loaded_and_passes() -> None:
    loaded: dict[str, torch.Tensor] = {}
    VerifyingLoader(lambda pairs: loaded.update(pairs)).load_weights(with_fingerprints(weights()))
    assert list(loaded) == ["a", "b", "c"]


@pytest.mark.faults
@pytest.mark.parametrize("victim", [0, 1, 2])
def test_one_changed_element_is_found_and_named(victim: int) -> None:
    sent = list(with_fingerprints(weights()))
    name, tensor = sent[victim]
    damaged = tensor.clone()
    damaged.view(-1)[-1] += 1
    sent[victim] = (name, damaged)
    with pytest.raises(WeightSyncError, match=f"1 tensors arrived damaged, the first is {name}"):
        VerifyingLoader(lambda pairs: None).load_weights(sent)


def test_a_missing_tensor_is_found() -> None:
    sent = list(with_fingerprints(weights()))
    with pytest.raises(WeightSyncError, match="2 tensors arrived, 3 were sent"):
        VerifyingLoader(lambda pairs: None).load_weights(sent[1:])


def test_the_metadata_announces_what_the_stream_yields() -> None:
    metas = [TensorMeta(n, str(t.dtype).removeprefix("torch."), tuple(t.shape)) for n, t in weights()]
    announced = metadata_with_fingerprints(metas)
    sent = list(with_fingerprints(weights()))
    assert [(m.name, m.shape) for m in announced] == [(n, tuple(t.shape)) for n, t in sent]
    assert [getattr(torch, m.dtype) for m in announced] == [t.dtype for _, t in sent]


@given(st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=50), st.data())
def test_a_moved_element_changes_the_fingerprint(values: list[float], data: st.DataObject) -> None:
    i = data.draw(st.integers(0, len(values) - 2))
    swapped = [*values]
    swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    same = torch.equal(torch.tensor(values).view(torch.int32), torch.tensor(swapped).view(torch.int32))
    assert (fingerprint(torch.tensor(values)) == fingerprint(torch.tensor(swapped))).item() == same


def test_the_fingerprint_of_a_device_is_that_of_whole_numbers_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = torch.randint(-(2**31), 2**31, (1000,)).int()
    by_hand = sum((2 * i + 1) * bit for i, bit in enumerate(bits.tolist()))
    assert int(stream._weighted_sum(bits)) % 2**64 == by_hand % 2**64
    monkeypatch.setattr(stream, "_CHUNK", 64)
    assert int(stream._weighted_sum(bits)) % 2**64 == by_hand % 2**64


def test_a_fingerprint_is_that_of_the_bytes_whatever_the_shape_and_the_layout() -> None:
    tensor = torch.randn(3, 5)
    assert fingerprint(tensor.t()) == fingerprint(tensor.t().contiguous()) != fingerprint(tensor)
    assert fingerprint(tensor.bfloat16()) == fingerprint(tensor.bfloat16().view(torch.int16).view(-1))
    assert fingerprint(torch.zeros(0)).dtype == torch.int64
