"""Graphs: the order of stages, what flows between them, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import pytest

from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.recipes import stages_of
from r1ray.stages.base import Artifact, Context, Input, Stage, inputs_of, run_stages
from r1ray.stages.graph import GraphStage, finish_graph, graph_of, references, resolve, stage_config

OWN = ["model=m", "data.train=t", "data.eval=e"]
SUPERVISED = "{train: t, max_tokens: 64}"


def graph(*entries: str, **more: Any) -> RunConfig:
    overrides = [f"++graph.{entry}" for entry in entries]
    return compose([*OWN, *overrides, *(f"{key}={value}" for key, value in more.items())])


class Writing:
    """Writes the model that it read, and its own recipe."""

    needs: tuple[str, ...] = ()
    name = makes = "writing"
    runs: ClassVar[list[str]] = []
    suffix: ClassVar[str] = ""

    def __init__(self, config: RunConfig) -> None:
        self.config = config

    def reads(self) -> list[Input]:
        return inputs_of(("model", self.config.model, "model"))

    def settings(self) -> dict[str, Any]:
        return {}

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact:
        folder = context.run_dir / "made"
        folder.mkdir(parents=True, exist_ok=True)
        source = Path(str(self.config.model))
        before = (source / "text").read_text() if source.is_dir() else "base"
        (folder / "text").write_text(f"{before} > {self.config.recipe}{Writing.suffix}")
        Writing.runs.append(context.run_dir.name)
        return Artifact(str(folder), digest, {"metric": 1.0})


CHAIN = (
    "first={recipe: sft, supervised: {train: t, max_tokens: 64}}",
    'second={recipe: r1_zero, model: "@first"}',
    'third={recipe: sft, model: "@second", supervised: {train: "@first/text", max_tokens: 64}}',
)


def run(tmp_path: Path, config: RunConfig) -> dict[str, Artifact]:
    Writing.runs = []
    stages: list[Stage] = [*graph_of(config, Writing)]
    context = Context(tmp_path, tmp_path / "shared")
    made = run_stages(stages, context, only=config.stages, given=config.artifacts)
    finish_graph(context, stages, made)
    return made


def test_a_stage_reads_what_others_made(tmp_path: Path) -> None:
    made = run(tmp_path, graph(*CHAIN))
    assert (Path(made["third"].path) / "text").read_text() == "base > sft > r1_zero > sft"
    assert [stage.needs for stage in graph_of(graph(*CHAIN), Writing)] == [(), ("first",), ("second", "first")]


def test_each_stage_has_a_folder_with_its_configuration(tmp_path: Path) -> None:
    made = run(tmp_path, graph(*CHAIN))
    saved = (tmp_path / "stages" / "second" / "config.yaml").read_text()
    assert f"model: {made['first'].path}" in saved


def test_a_finished_graph_is_not_run_again(tmp_path: Path) -> None:
    run(tmp_path, graph(*CHAIN))
    run(tmp_path, graph(*CHAIN))
    assert Writing.runs == []


def test_a_part_can_be_run_and_the_rest_later(tmp_path: Path) -> None:
    assert set(run(tmp_path, graph(*CHAIN, stages="[first]"))) == {"first"}
    assert Writing.runs == ["first"]
    run(tmp_path, graph(*CHAIN, stages="[second,third]"))
    assert Writing.runs == ["second", "third"]


def test_a_part_without_its_input_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"stage third: reads what second makes.*stages=\[second,third\].*artifacts.second"
    ):
        run(tmp_path, graph(*CHAIN, stages="[first,third]"))


def test_a_path_takes_the_place_of_a_stage(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "text").write_text("mine")
    made = run(tmp_path / "run", graph(*CHAIN, **{"++artifacts.second": str(mine)}))
    assert Writing.runs == ["first", "third"]
    assert (Path(made["third"].path) / "text").read_text() == "mine > sft"
    lineage = json.loads((tmp_path / "run" / "lineage.json").read_text())
    assert lineage["second"]["given"] and lineage["third"]["inputs"]["second"]["path"] == str(mine)


def test_an_artifact_that_was_edited_is_refused_by_name(tmp_path: Path) -> None:
    made = run(tmp_path, graph(*CHAIN, stages="[first,second]"))
    (Path(made["second"].path) / "text").write_text("edited")
    with pytest.raises(UserError, match=r"made is not what stage second made.*artifacts\.second="):
        run(tmp_path, graph(*CHAIN))


def test_a_stage_that_was_begun_with_other_settings_is_not_mixed_with_them(tmp_path: Path) -> None:
    run(tmp_path, graph(*CHAIN))
    with pytest.raises(
        UserError,
        match=r"stage second: .*/second holds a run with other settings: steps \(1000 there, 7 now.*Remove it",
    ):
        run(tmp_path, graph(*CHAIN, "second.steps=7"))
    assert Writing.runs == [], "and the stage before it is as it was"


def test_what_is_below_a_remade_artifact_is_made_again(tmp_path: Path) -> None:
    made = run(tmp_path, graph(*CHAIN))
    shutil.rmtree(made["first"].path)
    Writing.suffix = "!"  # it is not deterministic
    try:
        with pytest.raises(UserError, match=r"stage second: .* was begun with other inputs"):
            run(tmp_path, graph(*CHAIN))
    finally:
        Writing.suffix = ""


def test_an_edited_artifact_is_refused_even_where_nothing_is_left_to_do(tmp_path: Path) -> None:
    made = run(tmp_path, graph(*CHAIN))
    (Path(made["third"].path) / "text").write_text("edited")
    with pytest.raises(UserError, match="is not what stage third made"):
        run(tmp_path, graph(*CHAIN))


def test_stages_are_of_recipes_with_several() -> None:
    with pytest.raises(UserError, match="recipe=extend has one stage"):
        stages_of(compose([*OWN, "recipe=extend", "stages=[foo]"]))
    with pytest.raises(UserError, match=r"stages=\[\]: needs at least one"):
        stages_of(graph(*CHAIN, stages="[]"))


def test_the_lineage_has_settings_inputs_and_code_version_of_every_artifact(tmp_path: Path) -> None:
    made = run(tmp_path, graph(*CHAIN))
    lineage = json.loads((tmp_path / "lineage.json").read_text())
    assert list(lineage) == ["first", "second", "third"]
    assert lineage["third"]["inputs"]["second"]["digest"] == made["second"].digest
    assert {"settings", "code_version", "artifact"} <= set(lineage["second"])


def test_a_stages_entry_lies_over_the_runs_configuration() -> None:
    config = graph("rl={recipe: r1_zero, steps: 5, algo: {group_size: 4}}", seed=3)
    made = stage_config(config, "rl")
    assert (made.steps, made.algo.group_size, made.algo.prompts_per_step, made.seed) == (5, 4, 512, 3)
    assert not made.graph


def test_what_is_to_be_replaced_is_not_merged() -> None:
    config = graph("rl={recipe: r1_zero, replace: [reward.parts], reward: {parts: {accuracy: {weight: 2.0}}}}")
    assert list(stage_config(config, "rl").reward.parts) == ["accuracy"]
    assert list(stage_config(graph("rl={recipe: r1_zero}"), "rl").reward.parts) == ["accuracy", "format"]


def test_references_are_found_and_replaced_wherever_they_stand() -> None:
    config = stage_config(graph('s={recipe: collect, model: "@a", collect: {decontaminate: ["@b/x.jsonl"]}}'), "s")
    assert set(references({"k": ["@a", "@b/c/d.x", "no@a", "@A"]})) == {("a", ""), ("b", "/c/d.x")}
    made = resolve(config, {"a": "/A", "b": "/B"})
    assert (made.model, made.collect.decontaminate) == ("/A", ["/B/x.jsonl"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('s={recipe: r1_zero, model: "@nobody"}', r"graph\.s: reads @nobody, which no stage before it makes"),
        ("s={model: x}", r"graph\.s: needs recipe=NAME"),
        ("s={recipe: r1_zero, learnr: {lr: 1}}", r"graph\.s\.learnr: no such key; the nearest is graph\.s\.learner\."),
        (
            "s={recipe: r1_zero, reward: {sandbox: {mode: none}}}",
            r"graph\.s\.reward\.sandbox: is called graph\.s\.sandbox now",
        ),
        ("s={recipe: r1_zero, algo: {group_size: 1}}", r"graph\.s: algo\.group_size=1: needs at least 2"),
        ("s={recipe: sft, supervised: {train: null}}", r"graph\.s: supervised\.train is not set"),
        ("s=foo", r"graph\.s: needs recipe=NAME"),
        ("s={recipe: r1_zero, replace: [nothing.here]}", r"graph\.s\.replace=nothing\.here: needs names of sections"),
        ("s={recipe: r1_zero, replace: [seed]}", r"graph\.s\.replace=seed: needs names of sections"),
        ("s={recipe: r1_zero, replace: 7}", r"graph\.s\.replace=7: needs names of sections"),
        ('s={recipe: r1_zero, model: "@A"}', r"graph\.s: @A is no reference"),
        ("prepare={recipe: extend}", r"graph\.prepare: a stage's name needs"),
        ("Big={recipe: extend}", r"graph\.Big: a stage's name needs"),
        ("s={recipe: extend, graph: {a: {recipe: extend}}}", r"graph\.s\.graph: is of the whole run"),
        ("s={recipe: extend, trackers: [wandb]}", r"graph\.s\.trackers: is of the whole run"),
    ],
)
def test_what_cannot_be_configured_is_refused_with_the_stages_name(entry: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        graph_of(graph(entry), Writing)


def test_an_adapter_is_no_model_that_another_stage_could_read() -> None:
    trains = "a={recipe: r1_zero, learner: {lora: {rank: 4, export: adapter}}, algo: {reference_refresh_updates: 0}}"
    assert len(graph_of(graph(trains), Writing)) == 1
    with pytest.raises(UserError, match=r"graph\.a\.learner\.lora\.export=adapter: stage b reads a whole model"):
        graph_of(graph(trains, 'b={recipe: r1_zero, model: "@a"}'), Writing)


def test_a_stage_that_does_not_exist_cannot_be_asked_for() -> None:
    with pytest.raises(UserError, match=r"stages: nope is none of this recipe's; there are first, second, third"):
        graph_of(graph(*CHAIN, stages="[nope]"), Writing)


def test_a_recipe_that_does_not_exist_is_refused_before_the_run() -> None:
    with pytest.raises(UserError, match="recipe=nope: needs one of"):
        list(stages_of(compose([*OWN, "recipe=r1_zero", "++graph.s={recipe: nope}"])))


def test_the_whole_recipe_is_the_papers_order() -> None:
    pairs = [f"++graph.{name}.supervised.train=pairs" for name in ("helpful", "harmless")]
    stages = stages_of(compose([*OWN, "recipe=r1", "++graph.cold_start_data.collect.examples=x", *pairs]))
    order = [stage.name for stage in stages if isinstance(stage, GraphStage) and stage.config.recipe != "evaluate"]
    assert order[:6] == ["extended", "cold_start_data", "cold_start", "reasoning_rl", "curated", "sft"]
    assert order[6:] == ["helpful", "harmless", "all_scenario_rl"]
    by_name = {stage.name: stage for stage in stages}
    assert by_name["sft"].needs == ("extended", "curated"), (
        "the base model learns what the policy wrote, not the policy"
    )


@pytest.mark.parametrize("recipe", ["distill", "distill_vs_rl"])
def test_distillation_evaluates_the_student_before_and_after(recipe: str) -> None:
    stages = stages_of(compose([*OWN, f"recipe={recipe}", "supervised.train=t"]))
    evaluated = [
        stage.config.model for stage in stages if isinstance(stage, GraphStage) and stage.name.startswith("eval")
    ]
    assert evaluated[0] == "m" and len(evaluated) >= 2
