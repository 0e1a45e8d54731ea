from __future__ import annotations

from typing import Any

import pytest

from r1ray.config import EvaluationConfig, RunConfig
from r1ray.config.schema import TextOrMore, known_keys, place_of


@pytest.mark.parametrize(
    ("key", "kind", "names"),
    [
        ("steps", int, 1),
        ("data.template", str, 2),
        ("data.train", TextOrMore, 2),
        ("learner.betas", list[float], 2),
        ("learner.betas.1", float, 3),
        ("reward.parts.a.weight", float, 4),
        ("reward.parts.a.options.b.c", Any, 6),
        ("graph.a.reward.models.b.model", str, 6),
        ("graph.a.replace", list[str], 3),
        ("students.a.learner.lr", float, 4),
        ("rollout.labels.r1ray.io/pool", str, 3),
        ("data.mixture.a.b", float, 3),
        ("eval.compare.0.expect.pass@1", str, 5),
        ("learner.deepspeed.a.b", Any, 4),
    ],
)
def test_a_key_has_a_type_and_a_path(key: str, kind: Any, names: int) -> None:
    place = place_of(RunConfig, key)
    assert place is not None and (place.kind, len(place.names)) == (kind, names)


@pytest.mark.parametrize(
    "key", ["", "algo.", ".algo", "steps.x", "reward.parts.a.wieght", "graph.a.foo", "replace", "eval.compare.x"]
)
def test_a_key_that_is_not_there_has_no_place(key: str) -> None:
    assert place_of(RunConfig, key) is None


def test_paths_of_an_evaluation_are_texts_or_several() -> None:
    for key in ("data", "benchmarks"):
        place = place_of(EvaluationConfig, key)
        assert place is not None and place.is_text and place.takes_more


def test_every_known_key_has_a_place() -> None:
    assert all(place_of(RunConfig, key) for key in known_keys(RunConfig))
