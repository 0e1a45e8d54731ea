"""Every file in conf/ composes, and sets only keys that exist."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from r1ray.commands.compose import compose
from r1ray.config import RewardPart, RunConfig, ScoreConfig
from r1ray.config.folder import config_folder
from r1ray.config.renamed import RENAMED
from r1ray.config.reward import CHECK_TYPES
from r1ray.config.schema import known_keys
from r1ray.errors import UserError

OWN = ["model=m", "data.train=t"]
OWN_SUPERVISED = ["model=m", "supervised.train=t"]
WHOLE = [
    "++graph.cold_start_data.collect.examples=x",
    *(f"++graph.{name}.supervised.train=pairs" for name in ("helpful", "harmless")),
]
"""What recipe=r1 needs beside."""


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))


@pytest.mark.parametrize("algo", options("algo"))
def test_every_algo_composes(algo: str) -> None:
    assert compose([*OWN, f"algo={algo}"]).algo.group_size >= 2


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_composes_and_so_do_its_stages(experiment: str) -> None:
    from r1ray.recipes import configs_by_name, stages_of
    from r1ray.stages.lookups import check_names

    text = (config_folder() / "experiment" / f"{experiment}.yaml").read_text()
    own = (
        []
        if "maker:" in text or "  - calculator_agent\n" in text
        else ["data.train=t", "data.eval=e", "supervised.train=t"]
    )
    examples = WHOLE if "override /recipe: r1\n" in text else []
    config = compose([f"experiment={experiment}", *own, *examples])
    assert config.experiment == experiment
    stages = stages_of(config)
    assert stages
    check_names(configs_by_name(config, stages))


@pytest.mark.parametrize("recipe", options("recipe"))
def test_every_recipe_is_one_that_runs(recipe: str) -> None:
    from r1ray.recipes import stages_of

    own = [*OWN_SUPERVISED, "data.train=t", "data.eval=e"]
    examples = {"r1": WHOLE, "on_policy_distill": ["algo.teacher.model=t"]}.get(recipe, [])
    assert stages_of(compose([*own, f"recipe={recipe}", *examples]))


def test_on_policy_distillation_needs_a_teacher_and_no_groups() -> None:
    asked = [*OWN, "recipe=on_policy_distill"]
    config = compose([*asked, "algo.teacher.model=t"])
    assert (config.algo.group_size, config.algo.kl_coefficient, config.algo.teacher.is_alone) == (1, 0, True)
    with pytest.raises(UserError, match=r"algo\.group_size=1: needs at least 2.*algo\.teacher\.model=PATH"):
        compose(asked)
    with pytest.raises(UserError, match=r"algo\.teacher\.model is not set: recipe=on_policy_distill needs"):
        compose([*asked, "algo.group_size=8"])


def test_supervised_recipes_start_from_the_papers_numbers() -> None:
    sft = compose([*OWN_SUPERVISED, "recipe=sft"])
    assert (sft.supervised.epochs, sft.supervised.sequences_per_step, sft.supervised.max_tokens) == (2, 128, 32768)
    assert (sft.data.template, sft.learner.lr, sft.learner.schedule) == ("chat", 5e-5, "cosine")
    pairs = compose([*OWN_SUPERVISED, "recipe=reward_model", "learner.lr=1e-5"])
    assert (pairs.supervised.epochs, pairs.supervised.sequences_per_step, pairs.learner.lr) == (1, 256, 1e-5)


def test_the_paper_preset_says_what_the_defaults_say() -> None:
    from r1ray.config import AlgoConfig

    assert compose(OWN).algo == AlgoConfig()


def test_deepseekmath_differs_where_that_paper_does() -> None:
    algo = compose([*OWN, "algo=deepseekmath"]).algo
    assert (algo.group_size, algo.completions_per_step, algo.minibatches_per_step) == (64, 1024, 1)
    assert (algo.clip_low, algo.kl_coefficient, algo.reference_refresh_updates) == (0.2, 0.04, 0)


@pytest.mark.parametrize("reward", options("reward"))
def test_every_reward_composes_for_run_and_score(reward: str) -> None:
    parts = set(yaml.safe_load((config_folder() / "reward" / f"{reward}.yaml").read_text())["parts"])
    assert set(compose([*OWN, f"reward={reward}"]).reward.parts) == parts
    assert set(compose([f"reward={reward}"], schema=ScoreConfig, name="score").reward.parts) == parts


def test_all_scenario_takes_its_models_by_override() -> None:
    models = ["reward.models.helpful.model=h", "reward.models.harmless.model=s"]
    more = ["reward.parts.helpful.from_step=801", "data.mixture={math: 3, general: 1}"]
    reward = compose([*OWN, "reward=all_scenario", *models, *more]).reward
    assert {name: (model.model, model.sees) for name, model in reward.models.items()} == {
        "helpful": ("h", "summary"),
        "harmless": ("s", "response"),
    }
    assert reward.combine == "normalised"
    assert set(reward.weights_at(800)) == {"accuracy", "language", "harmless"}
    assert not set(reward.parts["accuracy"].domains) & set(reward.parts["helpful"].domains)


def test_a_mixture_and_a_model_are_added_on_the_command_line() -> None:
    config = compose([*OWN, "+data.mixture.math=0.75", "+data.mixture.general=0.25", "+reward.models.a={model: m}"])
    assert config.data.mixture == {"math": 0.75, "general": 0.25}
    assert config.reward.models["a"].model == "m"


def test_overrides_reach_their_keys() -> None:
    config = compose(["experiment=quickstart", "algo.group_size=16", "seed=3", "algo.aggregation=seq_mean"])
    assert (config.algo.group_size, config.seed, config.algo.aggregation) == (16, 3, "seq_mean")


def test_all_presets_are_there() -> None:
    named = "paper deepseekmath verl trl openrlhf nemo dapo dr_grpo gspo cispo rloo reinforce_pp async"
    assert options("algo") == sorted(named.split())


def test_a_preset_and_single_keys_mix() -> None:
    assert compose([*OWN, "algo=deepseekmath", "algo.aggregation=token_mean"]).algo.aggregation == "token_mean"
    algo = compose([*OWN, "algo=verl", "algo.aggregation=seq_mean", "algo.dual_clip=null"]).algo
    assert (algo.aggregation, algo.dual_clip, algo.kl_clamp) == ("seq_mean", None, 10.0)


@pytest.mark.parametrize("algo", sorted(set(options("algo")) - {"paper"}))
def test_a_preset_of_another_source_keeps_a_fixed_reference(algo: str) -> None:
    assert compose([*OWN, f"algo={algo}"]).algo.reference_refresh_updates == 0


def test_a_mixture_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(UserError, match=r"algo.dual_clip=3: algo.surrogate=weight has nothing to bound; needs algo."):
        compose([*OWN, "algo=verl", "algo.surrogate=weight"])


def test_a_reward_part_is_added_on_the_command_line() -> None:
    parts = compose(
        [*OWN, '+reward.parts.mine={weight: 0.5, function: "m:f"}', "reward.parts.format.weight=0"]
    ).reward.parts
    assert parts == {"accuracy": RewardPart(), "format": RewardPart(0.0), "mine": RewardPart(0.5, "m:f")}


def test_yaml_sets_only_known_keys() -> None:
    known = set(known_keys(RunConfig))
    for path in (config_folder() / "algo").glob("*.yaml"):
        assert {f"algo.{key}" for key in yaml.safe_load(path.read_text())} <= known, path


def test_the_folder_is_found() -> None:
    assert (Path(config_folder()) / "config.yaml").is_file()


@pytest.mark.parametrize("model", options("model"))
def test_every_model_composes_with_a_cluster(model: str) -> None:
    config = compose(["data.train=t", f"model={model}", "cluster=eight_nodes_8"])
    assert config.model is not None and config.model.count("/") == 1
    assert config.rollout.num_actors * (config.rollout.gpus_per_actor or 0) == config.learner.num_ranks == 32


@pytest.mark.parametrize("cluster", options("cluster"))
def test_every_cluster_composes_with_a_model(cluster: str) -> None:
    assert compose(["data.train=t", "model=qwen2.5_1.5b", f"cluster={cluster}"]).rollout.num_actors >= 1


@pytest.mark.parametrize(
    ("override", "model"),
    [
        ("model=/a/b", "/a/b"),
        ("model=Qwen/Qwen2.5-7B", "Qwen/Qwen2.5-7B"),
        ("model='a b'", "a b"),
        ('model="a=b,c"', "a=b,c"),
        (r"model=a\,b", r"a\,b"),
        ("+model=x", "x"),
        ("++model=x", "x"),
        ("model=7", "7"),
        ("model=qwen2.5_7b.yaml", "qwen2.5_7b.yaml"),
    ],
)
def test_a_model_that_is_no_name_of_a_file_is_a_path(override: str, model: str) -> None:
    assert compose([override, "data.train=t"]).model == model


def test_a_models_settings_go_with_a_folder_of_the_users_own() -> None:
    config = compose(["model=qwen2.5_7b", "model=/shared/mine", "cluster=one_node_8", "data.train=t"])
    assert (config.model, config.learner.zero_stage, config.rollout.num_actors) == ("/shared/mine", 3, 4)


def test_no_model_is_one_that_is_made() -> None:
    assert compose(["experiment=quickstart", "model=null"]).model is None
    with pytest.raises(UserError, match=r"model=/a: prepare.maker=.* makes its own"):
        compose(["experiment=quickstart", "model=/a"])


def test_a_named_model_is_stronger_than_the_experiments() -> None:
    config = compose(["experiment=r1_zero_qwen2.5_7b", "model=qwen2.5_14b", "data.train=t"])
    assert (config.model, config.rollout.gpus_per_actor) == ("Qwen/Qwen2.5-14B", 2)


def test_a_model_to_evaluate_is_always_a_path() -> None:
    from r1ray.config import EvaluationConfig

    overrides = ["model=qwen2.5_7b", "benchmarks=prompts", "data=d"]
    assert compose(overrides, schema=EvaluationConfig, name="eval").model == "qwen2.5_7b"


def test_a_cluster_is_a_file_and_its_address_a_key() -> None:
    config = compose(["model=m", "data.train=t", "cluster=cpu", "cluster.address=1.2.3.4:6379", "rollout.threads=2"])
    assert (config.cluster.address, config.learner.gpus_per_rank, config.rollout.threads) == ("1.2.3.4:6379", 0, 2)
    with pytest.raises(UserError, match="cluster=nine: needs one of cpu, eight_nodes_8,"):
        compose(["model=m", "data.train=t", "cluster=nine"])


def test_clusters_divide_their_gpus_among_engines() -> None:
    config = compose(["model=qwen2.5_7b", "cluster=one_node_8", "rollout.gpus_per_actor=2", "data.train=t"])
    assert config.rollout.num_actors == 2


def test_assumptions_of_a_plan_make_no_other_run() -> None:
    from r1ray.commands.run_folder import default_name

    names = {default_name(compose([*OWN, *more])) for more in ([], ["plan.gpu=a100-80", "plan.price=2"])}
    assert len(names) == 1


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_a_renamed_key_is_gone_and_its_new_name_is_there(old: str, new: str) -> None:
    known = known_keys(RunConfig)
    assert old not in known and new in known


@pytest.mark.parametrize("added", ["", "+", "++"])
def test_an_old_name_is_refused_with_the_new_one_however_it_is_given(added: str) -> None:
    with pytest.raises(UserError, match=r"reward\.sandbox\.mode: is called sandbox\.mode now"):
        compose([*OWN, f"{added}reward.sandbox.mode=none"])


def test_the_reward_of_score_judges_every_check_that_needs_no_model() -> None:
    parts = yaml.safe_load((config_folder() / "reward" / "check.yaml").read_text())["parts"]
    judged = {check for part in parts.values() for check in part["checks"]}
    assert judged == set(CHECK_TYPES) - {"judged", "pairwise"}
