"""The names of metrics in Prometheus: a fixed name for each row of the table of metrics, its free words as labels.

    reward/mean                        r1ray_reward_mean
    reward/accuracy                    r1ray_reward_by_part{part="accuracy"}
    domain/math/length_mean            r1ray_domain_length_mean{domain="math"}
    eval/aime/domain/algebra/pass@1    r1ray_eval{set="aime", domain="algebra", environment="", metric="pass@1"}

A name has neither ``/`` nor ``@``: Ray throws such metrics away. It puts ``ray_`` before each name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from r1ray.telemetry.metric_table import FREE, METRICS, Metric, is_held_out, patterns

EVAL = "r1ray_eval"
EVAL_LABELS = ("set", "domain", "environment", "metric")


@dataclass(frozen=True, slots=True)
class Series:
    """A metric in Prometheus: a name, and labels with their values."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Family:
    """Metrics with one name in Prometheus: those that ``pattern`` matches, whose groups are its labels."""

    pattern: re.Pattern[str]
    name: str
    labels: tuple[str, ...]
    metric: Metric


def series_of(name: str) -> Series | None:
    """Return where a metric of metrics.jsonl is in Prometheus; None if the table of metrics has none of its name.

    >>> series_of("reward/accuracy")
    Series(name='r1ray_reward_by_part', labels={'part': 'accuracy'})
    """
    if is_held_out(name):
        return Series(EVAL, _eval_labels(name.split("/")[1:]))
    for family in _families():
        if found := family.pattern.fullmatch(name):
            return Series(family.name, found.groupdict())
    return None


def families() -> dict[str, tuple[tuple[str, ...], str]]:
    """Return every name in Prometheus with its labels and what the table says of it."""
    told = {each.name: (each.labels, each.metric.meaning) for each in _families()}
    held_out = next(metric for metric in METRICS if metric.names[0].startswith("eval/<set>"))
    return told | {EVAL: (EVAL_LABELS, held_out.meaning)}


@lru_cache(maxsize=1)
def _families() -> list[_Family]:
    return [_family(*each) for each in patterns() if not each[0].startswith("eval/<")]


def _family(name: str, pattern: re.Pattern[str], metric: Metric) -> _Family:
    labels = tuple(pattern.groupindex)
    by = f"_by_{labels[-1]}" if name.endswith(">") else ""  # the same without its labels may be another metric
    words = re.sub(r"[^a-z0-9]+", "_", FREE.sub("", name)).strip("_")
    return _Family(pattern, f"r1ray_{words}{by}", labels, metric)


def _eval_labels(words: list[str]) -> dict[str, str]:
    """Return the labels of ``<set>/domain/<domain>/<name>``, or of the same of an environment: set and domain may be
    absent, and have several words."""
    num_last = 2 if words[-1] == "tie_rate" else 1
    above, metric = words[:-num_last], "/".join(words[-num_last:])
    kind = next((word for word in above if word in ("domain", "environment")), None)
    at = above.index(kind) if kind else len(above)
    labels = {"set": "/".join(above[:at]), "domain": "", "environment": "", "metric": metric}
    return labels | ({kind: "/".join(above[at + 1 :])} if kind else {})
