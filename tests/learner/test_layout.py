"""A layout loses no token, and pads little."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from r1ray.learner.layout import LIKE, plan_layout

CPU = torch.device("cpu")


@given(st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_a_layout_holds_every_token_once_and_pads_little(lengths: list[int]) -> None:
    layout = plan_layout(lengths, device=CPU)
    places = torch.cat([group.place_BT[group.real_BT] for group in layout.groups])
    assert places.sort().values.tolist() == list(range(sum(lengths)))
    assert places[layout.inverse_N].tolist() == list(range(sum(lengths)))
    assert sum(group.place_BT.numel() for group in layout.groups) <= sum(lengths) / LIKE
    assert layout.starts.tolist() == [0, *torch.tensor(lengths).cumsum(0).tolist()]
