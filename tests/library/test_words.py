from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.errors import UserError
from r1ray.library.words import words_of


def test_values_arrive_in_the_configuration_as_they_are() -> None:
    values = {
        "model": Path("/m/x y"),
        "data": {"train": "a=b,c.jsonl", "eval": {"aime": "e'.parquet"}},
        "algo": {"group_size": 8},
        "learner.betas": [0.9, 0.95],
        "rollout": {"engine_args": {"enforce_eager": True}},
        "name": None,
        "steps": 5,
        "recipe": "r1_zero",
    }
    config = compose(words_of(values))
    assert (config.model, config.data.train, config.data.eval) == ("/m/x y", "a=b,c.jsonl", {"aime": "e'.parquet"})
    assert (config.algo.group_size, config.learner.betas, config.steps) == (8, [0.9, 0.95], 5)
    assert (config.rollout.engine_args, config.name) == ({"enforce_eager": True}, None)


def test_a_value_that_is_none_of_a_configuration_is_refused_by_its_key() -> None:
    with pytest.raises(UserError, match=r"^algo\.surrogate: found a function, needs text"):
        words_of({"algo": {"surrogate": words_of}})
