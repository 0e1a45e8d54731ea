from __future__ import annotations

import pytest

from r1ray.commands.hints import for_flag, no_such_key
from r1ray.config import EvaluationConfig, RunConfig


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("learner.learning_rate", "TRL's learning_rate is learner.lr here: learner.lr=8."),
        ("algo.beta", "TRL's beta is algo.kl_coefficient here: algo.kl_coefficient=8."),
        ("beta", "TRL's beta is algo.kl_coefficient here"),
        ("algo.num_generations", "algo.group_size=8."),
        ("rollout.n", "verl's actor_rollout_ref.rollout.n is algo.group_size here: algo.group_size=8."),
        ("actor_rollout_ref.rollout.n", "algo.group_size=8."),
        ("actor_rollout_ref.actor.ppo_mini_batch_size", "(verl counts the prompts of a minibatch"),
        ("actor.clip_ratio", "algo.clip_low here (algo.clip_high is the other side"),
        (
            "data.train_batch_size",
            "verl's data.train_batch_size is algo.prompts_per_step here: algo.prompts_per_step=8.",
        ),
        ("train_batch_size", "OpenRLHF's train_batch_size is algo.minibatches_per_step here"),
        ("grpo.num_generations_per_prompt", "NeMo-RL's grpo.num_generations_per_prompt is algo.group_size here"),
        ("graph.rl.algo.beta", "graph.rl.algo.kl_coefficient=8."),
        ("algo.lr", "the nearest is learner.lr."),
        ("lerner.lr", "the nearest is learner.lr."),
        ("algo.grop_size", "the nearest is algo.group_size."),
        ("grop_size", "the nearest is algo.group_size."),
        ("reward.prts.x.weight", "the nearest is reward.parts.x.weight."),
        ("expriment", "the nearest is experiment."),
        ("foo", "none is like it"),
    ],
)
def test_the_key_that_was_meant_is_named(key: str, meant: str) -> None:
    assert meant in no_such_key(key, "8", RunConfig, ("experiment", "recipe"))


def test_a_hint_is_a_key_of_the_same_configuration() -> None:
    assert "algo" not in no_such_key("rollout.n", "8", EvaluationConfig)
    assert "the nearest is temperature." in no_such_key("algo.temperature", "1", EvaluationConfig)


@pytest.mark.parametrize(
    ("flag", "verb", "meant"),
    [
        ("--num_generations", "run", "TRL's num_generations is algo.group_size here: algo.group_size=VALUE."),
        ("--actor-learning-rate", "plan", "learner.lr=VALUE."),
        ("--algo.group_size", "run", "keys have no dashes before them: algo.group_size=VALUE."),
        ("--temperature", "eval", "temperature=VALUE."),
    ],
)
def test_a_flag_that_is_a_key_is_told_so(flag: str, verb: str, meant: str) -> None:
    assert meant in (for_flag(flag, verb) or "")


def test_a_flag_that_is_no_key_is_left_to_the_flags() -> None:
    assert for_flag("--smok", "doctor") is None
