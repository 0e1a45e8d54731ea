"""The content of a tensor: compiled, by numpy and by PyTorch it is the same number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.weights import content as module
from r1ray.weights.content import MODULUS, content

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def by_hand(tensor: torch.Tensor) -> int:
    bits = tensor.float().reshape(-1).view(torch.int32).tolist()
    return sum(bit * (module._FACTOR * bit + module._TERM) for bit in bits) % MODULUS


@given(st.lists(st.floats(width=32, allow_nan=False), max_size=40), st.sampled_from(DTYPES))
def test_it_is_the_sum_by_hand(values: list[float], dtype: torch.dtype) -> None:
    tensor = torch.tensor(values, dtype=torch.float32).to(dtype)
    assert int(content(tensor)) % MODULUS == by_hand(tensor)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rounded", [None, *DTYPES])
def test_a_tensor_of_many_pieces_is_rounded_first(dtype: torch.dtype, rounded: torch.dtype | None) -> None:
    tensor = torch.randn(3, 100_003).to(dtype)
    assert int(content(tensor, rounded)) % MODULUS == by_hand(tensor if rounded is None else tensor.to(rounded))


def test_neither_order_nor_zeros_change_it_and_one_bit_does() -> None:
    tensor = torch.randn(64, 48)
    padded = torch.nn.functional.pad(tensor.t(), (0, 5))
    assert content(padded) == content(tensor)
    changed = tensor.clone()
    changed[3, 4] = torch.nextafter(tensor[3, 4], torch.tensor(10.0))
    assert content(changed) != content(tensor)


@pytest.mark.parametrize("width", [np.int16, np.int32])
def test_the_compiled_sums_are_those_of_numpy(width: type[np.signedinteger]) -> None:
    bits = np.random.default_rng(0).integers(np.iinfo(width).min, np.iinfo(width).max, 300_001, dtype=width)
    compiled, plain = module._compiled()(bits), module._plain(bits)
    assert [each % MODULUS for each in compiled] == [each % MODULUS for each in plain]
