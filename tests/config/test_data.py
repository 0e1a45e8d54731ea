"""Prompts and examples: what cannot work is refused with the value found, the value needed and the key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from r1ray.config import DataConfig, SupervisedConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(template="alpaca"), "data.template=alpaca: needs one of r1_zero, chat, none"),
        (lambda: DataConfig(mixture="math"), "data.mixture=math: needs an object such as"),
        (lambda: DataConfig(mixture={"math": 0}), "data.mixture.math=0: needs a number above 0"),
        (lambda: SupervisedConfig(epochs=0), "supervised.epochs=0: needs at least 1"),
        (lambda: SupervisedConfig(max_tokens=1), "supervised.max_tokens=1: needs at least 2"),
        (lambda: SupervisedConfig(eval_every=-1), "supervised.eval_every=-1: needs at least 0"),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
