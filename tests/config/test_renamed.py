"""Old names of keys and metrics are refused with the new ones."""

from __future__ import annotations

import pytest

from r1ray.config import StopConfig
from r1ray.config.renamed import new_metric_name, new_name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("reward.sandbox", "sandbox"),
        ("reward.sandbox.mode", "sandbox.mode"),
        ("reward.sandboxes", None),
        ("my.reward.sandbox", None),
        ("sandbox.mode", None),
    ],
)
def test_a_renamed_section_gives_its_keys_their_new_names(key: str, name: str | None) -> None:
    assert new_name(key) == name


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reward/unscored", "scoring/unscored"),
        ("mixture/math", "domain/math/share"),
        ("reward/domain/math/mean", "domain/math/reward_mean"),
        ("reward/mean", None),
        ("domain/math/share", None),
    ],
)
def test_a_renamed_metric_is_refused_with_its_new_name(old: str, new: str | None) -> None:
    assert new_metric_name(old) == new
    if new is not None:
        with pytest.raises(ValueError, match=f"stop.metric={old}: is called {new} now"):
            StopConfig(metric=old)
