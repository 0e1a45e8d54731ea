"""Changes to a healthy run, by the rule that has to find them, and after a colon why."""

from __future__ import annotations

from tests.telemetry.diagnosis.recorded import Value

PLANTED: dict[str, dict[str, Value]] = {
    "uniform_groups:hard": {
        "group/uniform_rate": 1.0,
        "scoring/correct": None,
        "scoring/wrong": 1.0,
        "scoring/no_answer": None,
        "reward/mean": 0.0,
    },
    "uniform_groups:easy": {
        "group/uniform_rate": 0.98,
        "scoring/correct": 0.99,
        "scoring/wrong": 0.01,
        "scoring/no_answer": None,
    },
    "uniform_groups:broken": {
        "group/uniform_rate": 1.0,
        "scoring/correct": 0.5,
        "scoring/wrong": 0.5,
        "scoring/no_answer": None,
        "reward/mean": 1.0,
    },
    "truncated": {"completion/truncated_rate": 0.4},
    "unread_answers": {"scoring/no_answer": 0.8, "scoring/correct": 0.1, "scoring/wrong": 0.1},
    "entropy_collapse": {
        "entropy": lambda step: 0.8 * 0.5**step,
        "group/uniform_rate": lambda step: min(0.9, 0.2 + 0.1 * step),
        "scoring/correct": 0.4,
        "scoring/wrong": 0.6,
        "scoring/no_answer": None,
    },
    "mismatch_growth:stale": {"mismatch/kl": lambda step: 0.01 * 1.2**step, "mismatch/fresh_kl": None},
    "mismatch_growth:numerics": {"mismatch/fresh_kl": lambda step: 1e-5 if step < 25 else 0.1},
    "constant_part": {"reward/format": 0.0},
    "kl_explosion": {"kl/ref": lambda step: 0.05 if step < 20 else 0.05 * 1.6 ** (step - 20)},
    "kl_explosion:slow": {"kl/ref": lambda step: 0.5 * step},
    "long_removed:late": {"removed/late_rate": 0.1, "removed/late_length_mean": 70.0},
    "long_removed:truncated": {"removed/truncated_rate": 0.2, "removed/truncated_length_mean": 80.0},
    "long_removed:stale": {"removed/stale_rate": 0.3, "removed/stale_length_mean": 60.0},
}
