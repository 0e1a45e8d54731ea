from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from r1ray.commands.compose import compose, to_yaml
from r1ray.commands.quoting import QUOTED
from r1ray.config import EvaluationConfig, RunConfig, ScoreConfig
from r1ray.errors import UserError
from r1ray.stages.resuming import read_settings


def test_custom_resources_and_labels_are_named_by_the_user() -> None:
    more = ["learner.resources={learner_node: 0.001}", "rollout.labels.tier=rollout", "reward.labels={a/b: c}"]
    config = compose(["model=m", "data.train=t", *more])
    assert config.learner.resources == {"learner_node": 0.001}
    assert (config.rollout.labels, config.reward.labels) == ({"tier": "rollout"}, {"a/b": "c"})


def test_engine_arguments_need_no_plus() -> None:
    assert compose(["model=m", "data.train=t", "rollout.engine_args.enforce_eager=true"]).rollout.engine_args == {
        "enforce_eager": True
    }


def test_settings_of_deepspeed_need_no_plus() -> None:
    own = ["learner.deepspeed.zero_optimization.overlap_comm=true", "learner.deepspeed.wall_clock_breakdown=true"]
    expected = {"zero_optimization": {"overlap_comm": True}, "wall_clock_breakdown": True}
    together = "learner.deepspeed={zero_optimization: {overlap_comm: true}, wall_clock_breakdown: true}"
    assert compose(["model=m", "data.train=t", *own]).learner.deepspeed == expected
    assert compose(["model=m", "data.train=t", together]).learner.deepspeed == expected


def test_a_path_is_a_model_and_a_name_that_ships_is_its_settings() -> None:
    assert compose(["model=/my/model", "data.train=t"]).model == "/my/model"
    assert compose(["model=qwen2.5_7b", "model=/my/model", "cluster=one_node_8", "data.train=t"]).model == "/my/model"
    asked = compose(["model=qwen2.5_7b", "benchmarks=math_500", "data=d"], schema=EvaluationConfig, name="eval")
    assert asked.model == "qwen2.5_7b", "eval has no settings of models: a folder of that name"


def test_a_name_in_the_place_of_the_section_is_the_environment_of_all_rows() -> None:
    words = ["model=m", "data.train=t", "environment=agent", "environment.command=[python, /a b.py, '{prompt}', 3]"]
    config = compose(words)
    assert config.data.environment == "agent"
    assert config.environment.command == ["python", "/a b.py", "{prompt}", "3"]
    assert compose([*words, "environment=null"]).data.environment is None
    assert compose([*words, "environment={max_turns: 3}"]).environment.max_turns == 3


def test_a_negative_value_and_a_part_taken_out_arrive() -> None:
    config = compose(
        ["model=m", "data.train=t", "reward=r1_zero", "~reward.parts.format", "reward.parts.accuracy.weight=-1"]
    )
    assert config.reward.parts["accuracy"].weight == -1 and "format" not in config.reward.parts


def test_a_key_of_another_schema_is_refused_with_the_nearest_of_its_own() -> None:
    with pytest.raises(UserError, match=r"against_model: no such key; the nearest is against"):
        compose(["model=m", "against_model=b"], schema=EvaluationConfig, name="eval")


def test_a_written_configuration_is_read_as_it_was(tmp_path: Path) -> None:
    values = {"model": "m", "parts": {"a": 1.5, "b": None}, "list": ["x: y", 2]}
    (tmp_path / "config.yaml").write_text(to_yaml(values))
    assert read_settings(tmp_path / "config.yaml") == values


OWN = ["model=m", "data.train=t"]
ODD = "/a b/x=1,{y}(z)[w]#'~\u00e9$.parquet"
TEXTS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=30).filter(
    lambda text: (
        text.strip() and "://" not in text and not QUOTED.fullmatch(text) and text.lower() not in ("null", "???")
    )
)


@settings(max_examples=15, deadline=None)
@given(TEXTS)
@example(ODD)
@example("rollouts/step=000001.parquet")
@example(r" \\${a}\${b} \ ")
@example("${oc.env:HOME}")
@example("[a]")
@example("{a: 1}")
def test_a_text_arrives_as_it_was_given(text: str) -> None:
    words = [f"model=/{text}", f"data.train=/{text}", f"output_dir=/{text}", f"artifacts.a={text}", "graph={a: {}}"]
    config = compose(words)
    assert (config.model, config.output_dir) == (f"/{text}", f"/{text}")
    assert (config.data.train, config.artifacts["a"]) == (f"/{text}", text)


@settings(max_examples=10, deadline=None)
@given(TEXTS)
@example(ODD)
def test_a_text_arrives_at_eval_and_score(text: str) -> None:
    words = [f"model={text}", f"against={text}", f"data=/{text}", f"benchmarks=/{text}", f"judge.model={text}"]
    asked = compose(words, schema=EvaluationConfig, name="eval")
    assert (asked.model, asked.against, asked.data, asked.benchmarks) == (text, text, f"/{text}", f"/{text}")
    scored = compose([f"output={text}", f"reward.parts.a.function={text}"], schema=ScoreConfig, name="score")
    assert (scored.output, scored.reward.parts["a"].function) == (text, text)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("'a b'", "a b"),
        ('"a=b,c"', "a=b,c"),
        (r"'it\'s'", "it's"),
        ("null", None),
        ("'null'", "null"),
        ("007", "007"),
        ("true", "true"),
        ("1e3", "1e3"),
    ],
)
def test_quotes_are_taken_off_and_null_is_none_and_no_text_is_a_number(word: str, value: str | None) -> None:
    config = compose([*OWN, f"data.eval={word}"])
    assert config.data.eval == value


def test_a_stage_of_a_graph_gets_its_texts_as_they_were_given() -> None:
    from r1ray.recipes import configs_by_name, stages_of

    words = [*OWN, "graph.s.recipe=r1_zero", f"graph.s.data.eval={ODD}${{x}}", f"supervised.train={ODD}${{y}}"]
    config = compose(words)
    stage = configs_by_name(config, stages_of(config))["s"]
    assert (stage.data.eval, stage.supervised.train) == (f"{ODD}${{x}}", f"{ODD}${{y}}")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("reward.parts.accuracy.deadline_s=30", lambda c: c.reward.parts["accuracy"].deadline_s == 30),
        ("reward.parts.short.weight=0.2", lambda c: c.reward.parts["short"].weight == 0.2),
        ("reward.parts.short={weight: 0.5, function: 'm:f'}", lambda c: c.reward.parts["short"].function == "m:f"),
        ("+reward.parts.short.function=my:f", lambda c: c.reward.parts["short"].function == "my:f"),
        ("reward.parts.accuracy.domains=[math,code]", lambda c: c.reward.parts["accuracy"].domains == ["math", "code"]),
        ("reward.parts.a.options.limit=3", lambda c: c.reward.parts["a"].options == {"limit": 3}),
        ("reward.models.a.model=/x=y", lambda c: c.reward.models["a"].model == "/x=y"),
        ("data.mixture.math=3", lambda c: c.data.mixture == {"math": 3}),
        ("data.mixture={math: 3, general: 1}", lambda c: c.data.mixture == {"math": 3, "general": 1}),
        ("collect.sources.chat.path=a,b", lambda c: c.collect.sources["chat"].path == "a,b"),
        ("collect.sources.chat={path: chat.jsonl}", lambda c: c.collect.sources["chat"].path == "chat.jsonl"),
        ("rollout.labels.r1ray.io/pool=engines", lambda c: c.rollout.labels == {"r1ray.io/pool": "engines"}),
        ("learner.resources.learner_node=0.001", lambda c: c.learner.resources == {"learner_node": 0.001}),
        ("rollout.engine_args.enforce_eager=true", lambda c: c.rollout.engine_args == {"enforce_eager": True}),
        ("eval.compare=[{against: a, expect: {pass@1: up}}]", lambda c: c.eval.compare[0].against == "a"),
        ("learner.betas.1=0.99", lambda c: c.learner.betas == [0.9, 0.99]),
        ("collect.decontaminate=['/a b=c']", lambda c: c.collect.decontaminate == ["/a b=c"]),
        ("sandbox={mode: none, unsafe: true}", lambda c: c.sandbox.unsafe),
        ("+steps=7", lambda c: c.steps == 7),
        ("++steps=7", lambda c: c.steps == 7),
        ("algo.dual_clip=null", lambda c: c.algo.dual_clip is None),
        ("checkpoint.best=pass@1", lambda c: c.checkpoint.best == "pass@1"),
    ],
)
def test_advice_is_taken_as_it_is_written(word: str, found: Any) -> None:
    more = ["collect.sources.chat.path=p"] if word.startswith("collect.sources") else []
    assert found(compose([*OWN, *more, word]))


def test_a_stage_of_a_recipe_is_changed_without_signs() -> None:
    shots, pairs = (
        "graph.cold_start_data.collect.examples=x",
        [f"graph.h{a}.supervised.train=p" for a in ("elpful", "armless")],
    )
    config = compose([*OWN, "recipe=r1", shots, *pairs, "graph.reasoning_rl.steps=500", "~graph.eval_all_scenario_rl"])
    assert config.graph["reasoning_rl"]["steps"] == 500 and "eval_all_scenario_rl" not in config.graph
    chosen = compose([*OWN, "recipe=r1", shots, "graph.eval_sft.eval.compare.0.expect.pass@1=any"])
    assert chosen.graph["eval_sft"]["eval"]["compare"][0]["expect"] == {"pass@1": "any"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+foo=1", "foo: no such key"),
        ("++algo.grop_size=3", "algo.grop_size: no such key; the nearest is algo.group_size."),
        ("+algo.clip_hgh=0.3", "algo.clip_hgh: no such key; the nearest is algo.clip_high."),
        ("~algo.clip_hgh", "algo.clip_hgh: no such key; the nearest is algo.clip_high."),
        ("~algo.clip_high", "~algo.clip_high: every configuration has this key; needs algo.clip_high=VALUE."),
        ("~reward.parts.x", "~reward.parts.x: is not there; needs one of accuracy, format."),
        ("reward.parts.accuracy.wieght=1", "the nearest is reward.parts.accuracy.weight."),
        ("+reward.parts.accuracy.wieght=1", "the nearest is reward.parts.accuracy.weight."),
        ("reward.parts={a: {wieght: 1}}", "the nearest is reward.parts.a.weight."),
        ("reward.models.a.sees_=x", "the nearest is reward.models.a.sees."),
        ("graph.rl.algo.grop_size=3", "the nearest is graph.rl.algo.group_size."),
        ("graph.rl={algo: {grop_size: 3}}", "the nearest is graph.rl.algo.group_size."),
        ("graph.rl.reward.sandbox.mode=none", "graph.rl.reward.sandbox.mode: is called graph.rl.sandbox.mode now."),
        ("collect.sources.a.ration=1", "the nearest is collect.sources.a.ratio."),
        ("model.path=x", "verl's actor_rollout_ref.model.path is model here: model=x."),
        ("steps.x=1", "steps.x: no such key; the nearest is steps."),
        ("algo.=1", "algo.: no such key"),
        ("hydra.run.dir=x", "hydra.run.dir: no such key"),
        ("algo.group_size", "algo.group_size: needs KEY=VALUE, without spaces around the sign"),
        ("=3", "=3: needs KEY=VALUE"),
        ("", "an empty word: needs KEY=VALUE"),
        ("~data.train=t", "needs ~data.train alone"),
        ("algo.group_size=x", "algo.group_size=x: needs a whole number."),
        ("algo.group_size=8,16", "algo.group_size=8,16: cannot be read; needs a whole number."),
        ("algo.group_size=null", "algo.group_size=null: needs a whole number."),
        ("algo.clip_low=", "algo.clip_low=: needs a number."),
        ("algo.mask_truncated=maybe", "algo.mask_truncated=maybe: needs true or false."),
        ("eval.slots=many", "eval.slots=many: needs a whole number, or null."),
        ("learner=3", "learner=3: needs keys and values"),
        ("learner.lr.x=3", "the nearest is learner.lr."),
        ("reward.parts.a.weight=x", "reward.parts.a.weight=x: needs a number."),
        ("graph.rl.steps=x", "graph.rl.steps=x: needs a whole number."),
        ("collect.ways=plain", "collect.ways=plain: needs a list of texts, [a, b]."),
        ("collect.decontaminate=[/a=b]", "cannot be read; needs a list of texts, [a, b] (texts with other signs"),
        ("rollout.engine_args=[", "rollout.engine_args=[: cannot be read; needs keys and values"),
        ("learner.betas.7=0.9", "learner.betas.7=0.9: the list has 2 items"),
        ("output_dir=null", "output_dir=null: needs another text"),
        ("data.train=???", "data.train=???: needs another text"),
        ("experiment={a: 1}", "experiment={a: 1}: needs one of "),
        ("recipe=", "recipe=: needs one of collect, "),
        ("algo=[dapo,verl]", "algo=[dapo,verl]: needs one of async, cispo, dapo,"),
        ("algo.temperature=${algo.nothing}", "algo.nothing"),
    ],
)
def test_a_word_that_cannot_be_taken_is_refused_in_words(word: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        compose([*OWN, word])
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert not any(name in str(refused.value) for name in ("Lexer", "mismatched", "DictConfig", "Integer"))


def own_folder(tmp_path: Path, **files: str) -> str:
    for name, text in files.items():
        group, _, file = name.partition("__")
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / f"{file}.yaml").write_text(text)
    return str(tmp_path)


HEAD = "# @package _global_\n"


def test_files_of_the_users_own_are_chosen_beside_those_that_ship(tmp_path: Path) -> None:
    folder = own_folder(
        tmp_path / "a b,c='d'${e}",
        recipe__mine=HEAD + "recipe: r1_zero\nsteps: 7\n",
        algo__careful="clip_high: 0.3\n",
        experiment__try=HEAD + "defaults:\n  - override /recipe: mine\n  - override /algo: careful\nexperiment: try\n",
        model__small=HEAD + "model: /small\n",
        cluster__ours=HEAD + "learner: {num_ranks: 3}\n",
        reward__plain="parts: {accuracy: {weight: 2.0}}\n",
    )
    config = compose(
        ["data.train=t", "recipe=mine", "algo=careful", "model=small", "cluster=ours", "reward=plain"],
        config_dir=folder,
    )
    assert (config.steps, config.algo.clip_high, config.model, config.learner.num_ranks) == (7, 0.3, "/small", 3)
    assert config.reward.parts["accuracy"].weight == 2
    tried = compose([*OWN, "experiment=try"], config_dir=folder)
    assert (tried.steps, tried.algo.clip_high, tried.experiment) == (7, 0.3, "try")
    scored = compose(["reward=plain"], schema=ScoreConfig, name="score", config_dir=folder)
    assert scored.reward.parts["accuracy"].weight == 2
    with pytest.raises(UserError, match=r"recipe=other: needs one of collect, .*extend, mine, on_policy_distill, r1, "):
        compose([*OWN, "recipe=other"], config_dir=folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"recipe__r1": HEAD}, "recipe=r1 is the name of a file that ships"),
        ({"recipe__mine": "steps: 3\n"}, "needs '# @package _global_' as its first line"),
        (
            {"recipe__mine": HEAD + "algo: {grop_size: 3}\n"},
            "mine.yaml: algo.grop_size: no such key; the nearest is algo.",
        ),
        ({"recipe__mine": HEAD + "steps: many\n"}, "mine.yaml: steps=many: needs a whole number."),
        ({"recipe__mine": HEAD + "steps: [\n"}, "cannot be read"),
        ({"recipe__mine": HEAD + "defaults: [override /algo: nothing]\n"}, "algo=nothing: needs one of async, cispo, "),
        ({"recipe__mine": HEAD + "recipe: mine\n"}, "recipe=mine: "),
    ],
)
def test_a_file_that_cannot_be_taken_is_refused_in_words(tmp_path: Path, files: dict[str, str], message: str) -> None:
    from r1ray.recipes import stages_of

    with pytest.raises(UserError) as refused:
        stages_of(compose([*OWN, "recipe=mine"], config_dir=own_folder(tmp_path, **files)))
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_the_last_of_several_names_is_chosen_and_odd_names_can_be(tmp_path: Path) -> None:
    (tmp_path / "algo").mkdir()
    (tmp_path / "algo" / "a b,c='d'.yaml").write_text("clip_high: 0.3\n")
    assert compose([*OWN, "algo=dapo", "algo=a b,c='d'"], config_dir=str(tmp_path)).algo.clip_high == 0.3
    assert compose([*OWN, "cluster=cpu", "cluster={wait_s: 3}"]).cluster.wait_s == 3


@pytest.mark.parametrize("given", ["", "nowhere"])
def test_a_folder_that_is_not_there_is_refused(given: str) -> None:
    with pytest.raises(UserError, match=r"--config-dir .*: no such folder"):
        compose(OWN, config_dir=given)


def test_what_a_recipe_sets_holds_over_the_default_presets_alone(tmp_path: Path) -> None:
    recipe = HEAD + "recipe: r1_zero\nalgo: {group_size: 6, clip_high: 0.3}\nreward: {combine: gated}\n"
    experiment = HEAD + "defaults: [override /recipe: mine, override /algo: paper]\nexperiment: e\n"
    folder = own_folder(
        tmp_path, recipe__mine=recipe, experiment__e=experiment, experiment__f=HEAD + "algo: {group_size: 9}\n"
    )

    def algo(*words: str) -> Any:
        return compose([*OWN, *words], config_dir=folder).algo

    assert (algo("recipe=mine").group_size, algo("recipe=mine").clip_high) == (6, 0.3)
    assert (algo("recipe=mine", "algo=dapo").group_size, algo("recipe=mine", "algo=dapo").clip_high) == (16, 0.28)
    assert algo("algo=paper", "recipe=mine").group_size == 16
    assert algo("recipe=mine", "algo=dapo", "algo.group_size=3").group_size == 3
    assert algo("recipe=mine", "experiment=f").group_size == 9
    assert algo("experiment=e").group_size == 16, "named by the experiment"
    config = compose([*OWN, "recipe=mine"], config_dir=folder)
    assert config.reward.combine == "gated" and set(config.reward.parts) == {"accuracy", "format"}


def test_a_value_with_signs_is_read_from_the_run_folder_as_it_was(tmp_path: Path) -> None:
    values = {"a": ODD, "b": "${x}", "c": "1e-6", "d": 1e-6, "e": "null", "f": "007", "g": "\u4e2d"}
    (tmp_path / "config.yaml").write_text(to_yaml(values))
    assert read_settings(tmp_path / "config.yaml") == values


def test_every_schema_is_composed_from_its_own_file() -> None:
    assert isinstance(compose(OWN), RunConfig)
    with pytest.raises(UserError, match=r"supervised: no such key"):
        compose(["model=m", "supervised=1"], schema=EvaluationConfig, name="eval")
