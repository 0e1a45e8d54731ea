"""The folder of a run as it lies there after some steps, for tests."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from r1ray.data.position import Position
from r1ray.loop.checkpoint import Checkpoints, LoopState
from r1ray.loop.ledger import Ledger
from r1ray.telemetry.metrics import append_row
from r1ray.telemetry.rollouts import RolloutLog
from r1ray.types import GroupRecord, Scored, ScoredGroup, ScoredTrajectory
from tests.fakes import make_prompt, make_trajectory
from tests.learner.lending import Lent, by_id

SETTINGS = """
model: m
algo: {group_size: 2, prompts_per_step: 2, minibatches_per_step: 1, max_completion_tokens: 32}
reward: {parts: {accuracy: {}}}
learner: {max_tokens_per_microbatch: 64, dtype: float32, num_ranks: %d}
data: {train: t, max_prompt_tokens: 32}
"""
"""A run writes all keys; these are read in a moment."""


def write_log(folder: Path, *, steps: Collection[int], saved: Collection[int], num_ranks: int = 1) -> Path:
    """Write what a run of ``steps`` leaves, with checkpoints after the steps ``saved``."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(SETTINGS % num_ranks)
    append_row(folder / "metrics.jsonl", {"stage": "rl", "step": 0, "policy_version": 0, "eval/pass@1": 0.5})
    for step in steps:
        figures = {"loss/policy": 0.01, "loss/total": 0.02, "grad_norm": 1.0, "entropy": 2.0, "lr": 1e-6}
        append_row(folder / "metrics.jsonl", {"stage": "rl", "step": step, "policy_version": step + 10, **figures})
        write_rollouts(folder, step)
    for step in saved:
        write_origin(folder, step, world_size=num_ranks)
    return folder


def write_rollouts(folder: Path, step: int, *, num_groups: int = 2, gone: Collection[str] = ()) -> None:
    """Write the groups of a step; the trajectories ``gone`` without their tokens."""
    records, trajectories = [], []
    for number in range(num_groups):
        own = [make_trajectory(group_id=f"{step}/{number}", index=index) for index in (0, 1)]
        scored = [
            ScoredTrajectory.of(each, Scored(float(each.index), {"accuracy": float(each.index)}), extracted=None)
            for each in own
        ]
        group = ScoredGroup(
            group_id=f"{step}/{number}",
            trajectories=tuple(scored),
            removed=(),
            worker=0,
            incarnation="",
            generate_s=0.0,
            reward_s=0.0,
        )
        records.append(
            GroupRecord(
                group_id=group.group_id, prompt=make_prompt(), group=group, advantages=(-1.0, 1.0), status="trained"
            )
        )
        trajectories += [each for each in own if each.id not in gone]
    RolloutLog(folder / "rollouts").write(step, records, Lent(by_id(trajectories)))


def write_origin(folder: Path, step: int, *, world_size: int, **origin: Any) -> None:
    """Write a checkpoint that says what it was saved from."""
    checkpoints = Checkpoints(folder / "checkpoints", keep=100)
    aside = checkpoints.begin(step)
    values = {"model": "/models/base", "world_size": world_size, **origin}
    (aside / "learner" / "state.json").write_text(json.dumps(values))
    checkpoints.commit(aside, LoopState(step, step + 10, step, Position(), Ledger().state()))
