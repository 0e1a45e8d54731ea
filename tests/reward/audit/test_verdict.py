from __future__ import annotations

import pytest

from r1ray.config import RewardConfig
from r1ray.reward.audit.attempt import FORM, LANGUAGE, Attempt
from r1ray.reward.audit.verdict import paid_for_nothing
from r1ray.reward.scorer import resolve_parts

OWN = {"function": "tests.reward.audit.planted:exact"}


@pytest.mark.parametrize(
    ("parts", "lacks", "values", "right", "paid"),
    [
        ({"accuracy": {}, "format": {}}, (), {"accuracy": 0.0, "format": 1.0}, 2.0, {}),
        ({"accuracy": {}, "format": {}}, FORM, {"accuracy": 0.0, "format": 1.0}, 2.0, {"format": 1.0}),
        ({"accuracy": {}, "format": {}}, (), {"accuracy": 0.25, "format": 0.0}, 2.0, {"accuracy": 0.25}),
        ({"accuracy": {"weight": 0.0}}, (), {"accuracy": 1.0}, 2.0, {}),
        ({"last_number": {"weight": 3.0}}, (), {"last_number": 1.0}, 3.0, {"last_number": 3.0}),
        ({"accuracy": {}, "language": {}}, LANGUAGE, {"accuracy": 0.0, "language": 0.1}, 2.0, {}),
        ({"accuracy": {}, "language": {}}, LANGUAGE, {"accuracy": 0.0, "language": 0.2}, 2.0, {"language": 0.2}),
        ({"accuracy": {}, "language": {}}, (), {"accuracy": 0.0, "language": 1.0}, 2.0, {}),
        ({"mine": OWN, "accuracy": {}}, (), {"mine": 1.0, "accuracy": 0.0}, 2.0, {"mine": 1.0}),
        ({"mine": OWN, "accuracy": {}}, (), {"mine": 0.9, "accuracy": 0.0}, 2.0, {}),
        ({"accuracy": {}, "format": {"weight": 2.0}}, (), {"accuracy": 0.0, "format": 1.0}, 3.0, {"total": 2.0}),
        ({"accuracy": {}, "repetition": {}}, FORM, {"accuracy": 0.0, "repetition": -0.5}, 1.0, {}),
    ],
)
def test_the_rule(
    parts: dict[str, object], lacks: tuple[str, ...], values: dict[str, float], right: float, paid: dict[str, float]
) -> None:
    resolved = resolve_parts(RewardConfig(parts=parts))
    total = sum(part.config.weight * values[part.name] for part in resolved)
    assert paid_for_nothing(Attempt("kind", "", lacks), values, resolved, total=total, right=right) == paid
