"""The part of the user's configuration that is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.cluster.placement import needs
from r1ray.commands.compose import compose
from r1ray.config import RunConfig
from r1ray.doctor.tiny import BOUNDS, loop_config, model_options, on, tiny
from r1ray.errors import UserError
from r1ray.recipes import configs_by_name, stages_of

OWN = ("model=m", "data.train=t")


def test_actors_places_dtypes_and_transport_are_the_runs() -> None:
    config = compose(
        [
            *(*OWN, "cluster.address=head:6379", "rollout.num_actors=12", "rollout.labels={tier: rollout}"),
            *("learner.num_ranks=64", "learner.zero_stage=3", "learner.dtype=float32", "learner.lora.rank=4"),
            *("weights.backend=gloo", "weights.bucket_mib=7", "eval.num_actors=2", "reward.num_actors=3"),
            *(
                "algo.kl_coefficient=0.5",
                "algo.reference_refresh_updates=0",
                "algo.max_staleness=2",
                "algo.clip_high=0.2",
                "output_dir=/shared",
                "seed=5",
            ),
        ]
    )
    made = tiny(config)
    assert needs(made, cluster_has_gpus=True) == needs(config, cluster_has_gpus=True)
    assert (made.cluster, made.rollout, made.seed, made.output_dir) == (config.cluster, config.rollout, 5, "/shared")
    assert (made.weights.backend, made.weights.bucket_mib, made.weights.probe_every) == ("gloo", 7, 1)
    assert (made.learner.zero_stage, made.learner.dtype, made.learner.lora.rank) == (3, "float32", 4)
    assert (made.algo.kl_coefficient, made.algo.max_staleness) == (0.5, 2)
    assert made.steps == 2 and made.num_updates == 2


def test_engines_and_learner_take_turns_as_in_the_run() -> None:
    config = compose([*OWN, "placement=colocated", "colocated.sleep_level=1", "colocated.offload=optimizer"])
    made = tiny(config)
    assert made.is_colocated and made.colocated == config.colocated
    assert needs(made, cluster_has_gpus=True) == needs(config, cluster_has_gpus=True)


def test_every_engine_and_every_rank_has_something_to_do() -> None:
    config = compose([*OWN, "rollout.num_actors=12", "learner.num_ranks=64"])
    algo = tiny(config).algo
    assert algo.prompts_per_step >= 12 and algo.completions_per_step >= 64


@pytest.mark.parametrize(
    ("engine", "learner", "bound"),
    [("float32", "float32", "float32"), ("bfloat16", "float32", "bfloat16"), ("float32", "bfloat16", "bfloat16")],
)
def test_the_probe_passes_what_the_narrower_of_the_two_dtypes_rounds(engine: str, learner: str, bound: str) -> None:
    config = compose([*OWN, f"rollout.dtype={engine}", f"learner.dtype={learner}", "weights.probe_tolerance=9"])
    assert tiny(config).weights.probe_tolerance == BOUNDS[bound]


def test_what_needs_the_users_model_or_data_is_left_out() -> None:
    config = compose(
        [
            *(*OWN, "data.eval=e", "data.mixture={math: 1}", "learner.lora.rank=4", "learner.lora.targets=[c_attn]"),
            *("reward.combine=gated", "+reward.parts.helpful={weight: 1.0}", "+reward.models.helpful={model: rm}"),
            *(
                "checkpoint.best=pass@1",
                "stop.window=5",
                "learner.warmup_updates=100",
                "algo.mask_truncated=true",
                "algo.reference_refresh_updates=0",
            ),
        ]
    )
    made = tiny(config)
    assert (made.data.eval, made.data.mixture, made.learner.lora.targets) == (None, None, None)
    assert not made.reward.models and set(made.reward.parts) == {"accuracy", "digits"}
    assert not made.algo.mask_truncated and made.learner.warmup_updates == 0


@pytest.mark.parametrize("overrides", [["experiment=quickstart"], ["experiment=r1_quickstart"]])
def test_configurations_that_ship_give_a_tiny_one(overrides: list[str]) -> None:
    config = compose(overrides)
    made = tiny(loop_config(configs_by_name(config, stages_of(config)), recipe=config.recipe))
    assert made.recipe == "r1_zero" and made.prepare.maker is None and not made.graph


def test_a_recipe_without_reinforcement_learning_is_refused() -> None:
    config = compose(["recipe=sft", "model=m", "supervised.train=t"])
    with pytest.raises(UserError, match="recipe=sft: has no reinforcement learning"):
        loop_config({"": config}, recipe="sft")


def shapes(*overrides: str, has_gpus: bool = False) -> dict[str, int]:
    return model_options(tiny(compose([*OWN, *overrides])), has_gpus=has_gpus)


def test_the_model_can_be_divided_as_engines_and_ranks_divide_it() -> None:
    assert shapes() == {"num_heads": 2, "num_layers": 2, "num_prompts": 16}
    assert shapes("rollout.gpus_per_actor=8", has_gpus=True)["num_heads"] == 8
    assert shapes("rollout.gpus_per_actor=3", "learner.num_ranks=4", "learner.sequence_parallel_size=4") == {
        **{"num_heads": 12, "num_layers": 2, "num_prompts": 16}
    }
    spread = ("rollout.gpus_per_actor=16", "rollout.nodes_per_actor=4")
    assert {name: shapes(*spread, has_gpus=True)[name] for name in ("num_heads", "num_layers")} == {
        **{"num_heads": 4, "num_layers": 4}
    }


def test_larger_models_are_changed_as_much_as_small_ones(tmp_path: Path) -> None:
    def rate(config: RunConfig, heads: int, layers: int) -> float:
        return on(config, tmp_path, num_heads=heads, num_layers=layers).learner.lr

    config = tiny(compose([*OWN, "learner.lr=1e-6"]))
    assert rate(config, 2, 2) == 4 * rate(config, 4, 4) == pytest.approx(0.02)
    named = on(config, tmp_path, num_heads=2, num_layers=2)
    assert (named.model, named.data.train) == (str(tmp_path / "model"), str(tmp_path / "train.parquet"))
    assert replace(named, model="m", data=config.data, learner=config.learner) == replace(config, model="m")
