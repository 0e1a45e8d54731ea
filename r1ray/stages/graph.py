"""A recipe of several stages: each is one of the recipes that also run alone, and reads what others made.

    graph:                                                          # conf/recipe/r1.yaml
      cold_start:   {recipe: sft, model: ..., supervised: {train: "@cold_start_data/train.parquet"}}
      reasoning_rl: {recipe: r1_zero, model: "@cold_start", reward: {...}}

A stage's configuration is the run's, with its own entry of the graph laid over it; sections under ``replace`` begin
empty instead. ``@name`` stands for the folder that the stage ``name`` made, ``@name/file`` for a file in it. So the
order, and what flows where, can be read in one YAML file; and whatever a stage does can be tried alone by giving paths
in the place of the references.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from r1ray.config import GRAPH_ONLY, RunConfig, only_decisive, without_defaults
from r1ray.config.literal import literals
from r1ray.config.renamed import new_name
from r1ray.errors import UserError
from r1ray.evaluation.effects import Effect, from_metrics
from r1ray.evaluation.tables import StageRow, effects_table, stages_table
from r1ray.runtime.files import content_digest, digest_of, write_json, write_text
from r1ray.runtime.run_files import holds_work
from r1ray.stages.base import MANIFEST, Artifact, Context, Input, Stage, claim, contents, files_read
from r1ray.stages.deadlines import with_deadlines
from r1ray.stages.resuming import check_changes, defaults, read_settings
from r1ray.telemetry.driver_status import begin_stage

logger = logging.getLogger(__name__)

NAME = re.compile(r"[a-z][a-z0-9_]*")
REFERENCE = re.compile(rf"@({NAME.pattern})(/.+)?")


class GraphStage:
    """One entry of a graph as a stage."""

    def __init__(self, name: str, config: RunConfig, build: Callable[[RunConfig], Stage]) -> None:
        """
        Args:
            config: of this stage, references still in it.
            build: makes the stage that runs, of a configuration with paths.
        """
        self.name = self.makes = name
        self.config, self._build = config, build
        self.needs = tuple(dict.fromkeys(found for found, _ in references(asdict(config))))

    def reads(self) -> list[Input]:
        return self._build(self.config).reads()

    def settings(self) -> dict[str, Any]:
        return {"files": files_read(self), **only_decisive(asdict(self.config))}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        config = with_deadlines(resolve(self.config, {name: artifact.path for name, artifact in inputs.items()}))
        folder = context.run_dir / "stages" / self.name
        logger.info(f"\n== stage {self.name} ({config.recipe}) in {folder}")
        saved, is_begun = folder / "config.yaml", holds_work(folder)
        way_out = "Remove it to make it anew, or give the run another name."
        if saved.exists() and is_begun:
            named = f"stage {self.name}"
            check_changes(folder, read_settings(saved), asdict(config), named=named, way_out=way_out)
        refusal = f"stage {self.name}: {folder} was begun with other inputs. {way_out}"
        claim(folder / "inputs.json", digest_of(contents(inputs)), is_begun=is_begun, refusal=refusal)
        begin_stage(self.name, folder)
        write_text(saved, yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True))
        made = self._build(config).run(replace(context, run_dir=folder), {}, digest)
        return replace(made, content=content_digest(made.path, context.run_dir / "digests.json"))


def graph_of(config: RunConfig, build: Callable[[RunConfig], Stage]) -> list[GraphStage]:
    """The stages of ``config.graph``, in order. Raises UserError where one cannot be configured, reads what is not made
    before it, or is named in ``stages`` and does not exist."""
    stages: list[GraphStage] = []
    names = list(config.graph)
    for key, asked in (("stages", config.stages or ()), ("artifacts", config.artifacts)):
        for each in asked:
            if each not in names and each != "prepare":
                raise UserError(f"{key}: {each} is none of this recipe's; there are {', '.join(names)}.")
    known = ["prepare"] if config.prepare.maker else []
    for name in names:
        if not NAME.fullmatch(name) or name == "prepare":
            raise UserError(f"graph.{name}: a stage's name needs small letters, digits and _, and not to be prepare.")
        stage = GraphStage(name, stage_config(config, name), build)
        for need in stage.needs:
            if need not in known:
                raise UserError(
                    f"graph.{name}: reads @{need}, which no stage before it makes; there are "
                    f"{', '.join(known) or 'none'}."
                )
        for made in stages:
            lora, is_trained = made.config.learner.lora, made.config.has_learner
            if made.name in stage.needs and is_trained and lora.rank and lora.export == "adapter":
                raise UserError(
                    f"graph.{made.name}.learner.lora.export=adapter: stage {name} reads a whole model; needs merged."
                )
        wrong = [
            text for text in texts_of(asdict(stage.config)) if text.startswith("@") and not REFERENCE.fullmatch(text)
        ]
        if wrong:
            raise UserError(f"graph.{name}: {wrong[0]} is no reference; needs @name or @name/file.")
        known.append(name)
        stages.append(stage)
    return stages


def stage_config(config: RunConfig, name: str) -> RunConfig:
    """The run's configuration with a stage's own entry over it. Raises UserError."""
    base = {key: value for key, value in asdict(config).items() if key not in GRAPH_ONLY}
    if not isinstance(config.graph[name], dict) or "recipe" not in config.graph[name]:
        raise UserError(f"graph.{name}: needs recipe=NAME, what the stage does.")
    entry = dict(config.graph[name])
    inner = [key for key in (*GRAPH_ONLY, "prepare") if key in entry]
    if inner:
        raise UserError(f"graph.{name}.{inner[0]}: is of the whole run, and not of one stage.")
    replaced = entry.pop("replace", [])
    for section in replaced if isinstance(replaced, list) else [replaced]:
        *above, last = str(section).split(".")
        node: Any = base
        for key in above:
            node = node.get(key) if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(node.get(last), dict):
            raise UserError(f"graph.{name}.replace={section}: needs names of sections, as [reward.parts].")
        node[last] = {}
    base["prepare"] = {}
    base["experiment"] = None
    try:
        made = OmegaConf.to_object(OmegaConf.merge(defaults(), literals(without_defaults(base)), literals(entry)))
    except OmegaConfBaseException as error:
        where = getattr(error, "full_key", None)
        if renamed := new_name(where or ""):
            raise UserError(f"graph.{name}.{where}: is called graph.{name}.{renamed} now.") from error
        raise UserError(f"graph.{name}{f'.{where}' if where else ''}: {str(error).splitlines()[0]}") from error
    except ValueError as error:
        raise UserError(f"graph.{name}: {error}") from error
    assert isinstance(made, RunConfig)
    return made


def resolve(config: RunConfig, folders: Mapping[str, str]) -> RunConfig:
    """The configuration with paths in the place of its references."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(each) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(each) for each in value]
        found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
        return value if found is None else folders[found[1]] + (found[2] or "")

    made = OmegaConf.to_object(OmegaConf.merge(defaults(), literals(walk(asdict(config)))))
    assert isinstance(made, RunConfig)
    return made


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Stage and file of every reference in nested values."""
    for text in texts_of(value):
        found = REFERENCE.fullmatch(text)
        if found is not None:
            yield found[1], found[2] or ""


def texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for each in value.values() if isinstance(value, dict) else value:
            yield from texts_of(each)


def finish_graph(context: Context, stages: Sequence[Stage], made: Mapping[str, Artifact]) -> None:
    """Write ``lineage.json`` (every artifact with its settings, code version and inputs, down to what the user
    brought), and show one row a stage."""
    lineage: dict[str, Any] = {}
    for stage in stages:
        manifest = context.run_dir / "stages" / stage.name / MANIFEST
        if stage.makes in made and manifest.exists():
            lineage[stage.name] = json.loads(manifest.read_text())
        elif stage.makes in made:
            lineage[stage.name] = {"stage": stage.name, "artifact": asdict(made[stage.makes]), "given": True}
    write_json(context.run_dir / "lineage.json", lineage)
    graph_stages = [stage for stage in stages if isinstance(stage, GraphStage) and stage.name in made]
    logger.info(
        stages_table(
            [
                StageRow(
                    name=stage.name,
                    recipe=stage.config.recipe,
                    metrics=made[stage.name].metrics,
                    seconds=lineage.get(stage.name, {}).get("seconds"),
                )
                for stage in graph_stages
            ]
        )
    )
    effects = [row for stage in graph_stages if not lineage[stage.name].get("given") for row in _effects(stage, made)]
    if effects:
        logger.info(effects_table(effects))
    absent = [stage.name for stage in stages if stage.makes not in made]
    if absent:
        logger.info(f"not run: {', '.join(absent)}")
    logger.info(f"lineage: {context.run_dir / 'lineage.json'}")


def _effects(stage: GraphStage, made: Mapping[str, Artifact]) -> list[tuple[str, str, Effect]]:
    if stage.config.recipe != "evaluate":
        return []
    rows = []
    for compared in stage.config.eval.compare:
        effects = from_metrics(made[stage.name].metrics, compared.expect, compared.name)
        rows += [(stage.name, compared.name, effect) for effect in effects]
    return rows
