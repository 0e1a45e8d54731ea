"""Several students in one distillation: the stages of one are the pattern for all (paper section 2.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from r1ray.config import RunConfig
from r1ray.config.literal import literals
from r1ray.errors import UserError
from r1ray.stages.graph import NAME, REFERENCE

STUDENT = "student"
"""The stage of the graph that trains one, and what the names of all its stages have in them."""


def with_students(config: RunConfig) -> RunConfig:
    """The configuration with the stages of every student in the graph, in the place of those of ``student``; the same
    one where none are named. Raises UserError."""
    if config.students is None:
        return config
    if not isinstance(config.students, Mapping) or not config.students:
        raise UserError(f"students={config.students}: needs a model for each name, {{small: PATH, large: PATH}}.")
    if STUDENT not in config.graph:
        raise UserError(f"students: recipe={config.recipe} has no stage graph.{STUDENT}; is of recipe=distill.")
    made = [stage.replace(STUDENT, str(name)) for name in config.students for stage in config.graph if STUDENT in stage]
    for name in made:
        if made.count(name) > 1:
            raise UserError(
                f"students={list(config.students)}: two of them would have a stage {name}; needs other names."
            )
    graph: dict[str, Any] = {}
    for name, given in config.students.items():
        model, own = _taken_apart(str(name), given)
        for stage, entry in config.graph.items():
            if STUDENT not in stage:
                if stage not in made:
                    graph.setdefault(stage, entry)
                continue
            called = stage.replace(STUDENT, str(name))
            if not isinstance(entry, Mapping):
                graph[called] = entry
                continue
            of_all = {"model": model} | _renamed(entry, str(name), config.graph)
            of_one = _merged(of_all, own) if stage == STUDENT else of_all
            graph[called] = _merged(of_one, config.graph.get(called, {}))  # graph.small.learner.lr=8e-5
    return replace(config, graph=graph, students=None)


def _taken_apart(name: str, given: Any) -> tuple[str, dict[str, Any]]:
    """A student's model, and what is different in its training. Raises UserError."""
    if not re.fullmatch(NAME, name) or STUDENT in name:
        raise UserError(
            f"students.{name}: needs a name that begins with a small letter and has small letters, digits and _ only, "
            f"and not {STUDENT} in it."
        )
    if isinstance(given, str):
        return given, {}
    if not isinstance(given, Mapping) or not isinstance(given.get("model"), str):
        raise UserError(f"students.{name}={given}: needs a model, or an object such as {{model: PATH}}.")
    return given["model"], {key: value for key, value in given.items() if key != "model"}


def _merged(entry: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    merged = OmegaConf.to_container(OmegaConf.merge(literals(entry), literals(own)), resolve=True)
    assert isinstance(merged, dict)
    return {str(key): value for key, value in merged.items()}


def _renamed(value: Any, name: str, graph: Mapping[str, Any]) -> Any:
    """With references to the stages of ``student`` as references to this student's."""
    if isinstance(value, Mapping):
        return {key: _renamed(each, name, graph) for key, each in value.items()}
    if isinstance(value, list):
        return [_renamed(each, name, graph) for each in value]
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[1] not in graph:
        return value
    return f"@{found[1].replace(STUDENT, name)}{found[2] or ''}"
