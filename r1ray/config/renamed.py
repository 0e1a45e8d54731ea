"""Keys and metrics that have another name now. The old ones are refused with the new one's name."""

from __future__ import annotations

import re

RENAMED = {
    "reward.sandbox": "sandbox",
}
"""New names by old ones, of single keys or of whole sections."""


def new_name(key: str) -> str | None:
    """Return what a renamed key, or a key of a renamed section, is called now; None if it was not renamed.

    >>> new_name("reward.sandbox.mode"), new_name("reward.sandboxes")
    ('sandbox.mode', None)
    """
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return None


RENAMED_METRICS = {
    r"reward/failed_parts": "reward_errors/<part>",
    r"scoring/failed_parts": "reward_errors/<part>",
    r"reward/unscored": "scoring/unscored",
    r"reward/domain/(.+)/mean": r"domain/\1/reward_mean",
    r"completion/domain/(.+)/length_mean": r"domain/\1/length_mean",
    r"mixture/(.+)": r"domain/\1/share",
    r"held_out/abandoned": "eval/abandoned",
}
"""New names of metrics by patterns of old ones."""


def new_metric_name(name: str) -> str | None:
    """Return what a renamed metric is called now; None if it was not renamed.

    >>> new_metric_name("mixture/math"), new_metric_name("reward/mean")
    ('domain/math/share', None)
    """
    for old, new in RENAMED_METRICS.items():
        if match := re.fullmatch(old, name):
            return match.expand(new)
    return None
