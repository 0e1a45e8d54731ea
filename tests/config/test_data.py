"""Prompts and examples: what cannot work is refused with the value found, the value needed and the key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from r1ray.config import DataConfig, SupervisedConfig
from r1ray.config.reasoning_gym import ReasoningGymConfig


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(template="alpaca"), "data.template=alpaca: needs one of r1_zero, chat, none"),
        (lambda: DataConfig(mixture="math"), "data.mixture=math: needs an object such as"),
        (lambda: DataConfig(mixture={"math": 0}), "data.mixture.math=0: needs a number above 0"),
        (lambda: DataConfig(columns="q"), "data.columns=q: needs an object such as"),
        (lambda: DataConfig(columns={}), "data.columns={}: needs an object such as"),
        (lambda: DataConfig(columns={"question": "q"}), "data.columns.question: .* needs some of prompt, answer"),
        (lambda: DataConfig(columns={"prompt": 1}), "data.columns.prompt=1: needs the name of a column"),
        (lambda: DataConfig(system_prompt="s"), "data.system_prompt=s: .* needs data.template=chat"),
        (
            lambda: DataConfig(template_arguments={"a": 1}),
            "data.template_arguments={'a': 1}: .* needs data.template=chat",
        ),
        (lambda: DataConfig(template_arguments=True), "data.template_arguments=True: needs an object such as"),
        (
            lambda: DataConfig(template="chat", template_arguments={"tokenize": True}),
            "data.template_arguments.tokenize: is no variable",
        ),
        (lambda: ReasoningGymConfig(sets={"countdown": 4}), "data.reasoning_gym.sets.countdown=4: needs an object of"),
        (lambda: SupervisedConfig(epochs=0), "supervised.epochs=0: needs at least 1"),
        (lambda: SupervisedConfig(max_tokens=1), "supervised.max_tokens=1: needs at least 2"),
        (lambda: SupervisedConfig(eval_every=-1), "supervised.eval_every=-1: needs at least 0"),
    ],
)
def test_contradictions_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
