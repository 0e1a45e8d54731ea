"""Engines and learner that take turns on the same cores learn what they do on cores of their own, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1ray.telemetry.rollouts import read_rollouts
from tests.real.running import SMALL, TURNS, balanced, metrics, own, r1ray, turns_in_logs

pytestmark = [pytest.mark.real, pytest.mark.long]

RUN = (
    *(*SMALL, "data.template=none", "data.max_prompt_tokens=16", "name=turns", "rollout.seeded=true"),
    *("checkpoint.every=1", "checkpoint.export_every=2", "learner.cpus_per_rank=0.5", "rollout.cpus_per_actor=0.5"),
    "algo.old_logprobs=learner",
    "+rollout.engine_args={worker_extension_cls: tests.real.sleeping.Spoiling}",
)
EQUAL = ("step", "policy_version", "loss/", "grad_norm", "reward/", "kl/", "entropy", "completion/", "eval/")
"""Beginnings of the names of what has to be the same in every line."""
WAYS: dict[str, tuple[str, ...]] = {
    "zero1": ("learner.zero_stage=1",),
    "zero3 on two ranks": ("learner.zero_stage=3", "learner.num_ranks=2", "learner.cpus_per_rank=0.25"),
    "level 1": ("colocated.sleep_level=1", "colocated.offload=optimizer"),
    "no ZeRO": ("learner.zero_stage=0",),
    "merged adapters": ("learner.lora.rank=4", "learner.lora.publish=merged", "algo.reference_refresh_updates=0"),
    "native adapters": ("learner.lora.rank=4", "learner.lora.publish=native", "algo.reference_refresh_updates=0"),
    "two engines": ("rollout.num_actors=2", "rollout.cpus_per_actor=0.25"),
}
KEEPING = ("level 1", "native adapters")
"""Ways in which sleeping engines keep their weights."""


def run(folder: Path, model: Path, task: Path, *more: str) -> Path:
    """Run to the end. Returns the run's folder."""
    files = own(model, task / "train.parquet", task / "heldout.parquet", folder)
    r1ray("run", *files, *RUN, *more, cwd=folder.parent)
    return folder / "turns"


def equal(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: each for name, each in row.items() if name.startswith(EQUAL)} for row in rows]


@pytest.mark.parametrize("name", WAYS)
def test_turns_change_no_bit_of_what_is_learned(
    tmp_path: Path, qwen_folder: Path, running_total: Path, name: str
) -> None:
    separate, colocated = (
        run(tmp_path / placement, qwen_folder, running_total, *WAYS[name], f"placement={placement}")
        for placement in ("separate", "colocated")
    )
    rows = metrics(colocated)
    assert [row["step"] for row in rows] == [0, 1, 2, 3] and balanced(rows)
    assert equal(rows) == equal(metrics(separate))
    assert all(row["grad_norm"] > 0 for row in rows[1:])
    assert all(row["publish/probe_max_logprob_diff"] < 1e-3 for row in rows)
    assert all(row["time/hand_over_s"] >= row["time/sleep_s"] + row["time/wake_s"] > 0 for row in rows)
    assert not [name for row in metrics(separate) for name in row if name in ("time/sleep_s", "time/hand_over_s")]
    counts, num_turns = turns_in_logs(colocated), 4 * (2 if name == "two engines" else 1)
    if name in KEEPING:
        assert (counts["awake: weights"], counts["awake: kv_cache"], counts["spoilt"]) == (num_turns, num_turns, 0)
    else:
        assert counts == dict.fromkeys(TURNS, num_turns), "every sleep has its wake, and its weights come between"
    texts = [[row["response_text"] for row in read_rollouts(each / "rollouts")] for each in (separate, colocated)]
    assert sorted(texts[0]) == sorted(texts[1])
