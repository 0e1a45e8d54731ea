"""Paths that have to be seen by the nodes of the actors that read or write them, and the check that they are."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import ray

from r1ray.cluster.placement import model_section
from r1ray.cluster.spawn import Spawner, absolute
from r1ray.config import JudgeConfig, RewardModelConfig, TeacherConfig
from r1ray.errors import UserError
from r1ray.runtime.deadline import within

Paths = Mapping[str, Mapping[str, str]]
"""Paths by their keys, for each section of actors. A name of a model on a hub may be among them."""


def learner_paths(model: str, output_dir: str | Path) -> Paths:
    """Return what a learner reads and writes."""
    return {"learner": {"model": model, "output_dir": str(output_dir)}}


def training_paths(
    model: str, output_dir: str | Path, models: Mapping[str, RewardModelConfig], teacher: TeacherConfig
) -> Paths:
    """Return what the actors of a run read and write. ``models``: those of ``reward.models``."""
    learner = {**learner_paths(model, output_dir)["learner"], **teacher.by_key}
    engines = {"rollout": {"model": model}, "eval": {"model": model}}
    preferences = {model_section(name): _path_of(model_section(name), each) for name, each in models.items()}
    return {"learner": learner, **engines, **preferences}


def evaluation_paths(model: str, judge: JudgeConfig, reward_model: RewardModelConfig) -> Paths:
    """Return what the actors of an evaluation read."""
    paths = {"rollout": {"model": model}}
    if judge.is_served:
        paths["judge.engine"] = {"judge.model": absolute(str(judge.model))}
    if reward_model.model is not None:
        paths["reward_model"] = _path_of("reward_model", reward_model)
    return paths


def _path_of(section: str, config: RewardModelConfig) -> dict[str, str]:
    return {f"{section}.model": absolute(str(config.model))}


async def check_storage(spawner: Spawner, paths: Paths, *, start_s: float) -> None:
    """Raise UserError if a node does not see files of this one that its actors read or write.

    Args:
        paths: those of sections that have no actors do not matter, nor names of models on a hub.
        start_s: the longest wait, seconds.
    """
    here = ray.get_runtime_context().get_node_id()
    asked = [
        (node, section, {key: path for key, path in of_section.items() if os.path.exists(path)})
        for section, of_section in paths.items()
        if spawner.placement.need.count(section)
        for node in spawner.placement.nodes(section)
        if node != here
    ]
    answers = await within(
        start_s,
        asyncio.gather(*(spawner.on_node(node, _absent, list(found.values())) for node, _, found in asked)),
        waiter="the run",
        owner="the nodes to look at their storage",
        key="deadlines.start_s",
    )
    for (_, section, found), (address, absent) in zip(asked, answers, strict=True):
        for key, path in found.items():
            if path in absent:
                raise UserError(
                    f"{key}: {path} is not on node {address}, where {section} actors are placed: needs a path on "
                    "storage that all nodes see."
                )


def _absent(paths: list[str]) -> tuple[str, list[str]]:
    """Return this node's address, and which paths are not on it."""
    return ray.util.get_node_ip_address(), [path for path in paths if not os.path.exists(path)]
