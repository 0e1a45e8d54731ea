from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import pytest

from r1ray.commands.compose import compose
from r1ray.config import EvalConfig, RunConfig, changes, decisive, differences, lasting
from r1ray.config.keys import keys_of
from r1ray.config.resume import MAY_CHANGE, MAY_GROW, MEASURES
from r1ray.rollout.engine_arguments import known_arguments

FIXED = """
recipe seed model graph students prepare.maker prepare.options
data.train data.eval data.columns data.check data.template data.system_prompt data.suffix data.template_arguments
data.on_bad_row data.environment data.max_prompt_tokens data.languages data.mixture data.difficulty.*
data.reasoning_gym.*
algo.*
rollout.dtype rollout.quantization rollout.seeded rollout.engine_args
environment.max_turns environment.max_context_tokens environment.max_trajectory_tokens environment.on_full
environment.on_malformed environment.renderer environment.keep_reasoning environment.shares environment.command
environment.agents.memory_mib environment.agents.processes
environment.worlds environment.worlds.NAME.path environment.worlds.NAME.options
judge.model judge.url judge.max_model_len judge.max_tokens
judge.engine.dtype judge.engine.quantization judge.engine.seeded judge.engine.engine_args
reward.parts reward.parts.NAME.weight reward.parts.NAME.function reward.parts.NAME.options reward.parts.NAME.checks
reward.parts.NAME.domains reward.parts.NAME.from_environment
reward.parts.NAME.from_step reward.parts.NAME.deadline_s reward.combine reward.gate
reward.verifier.deadline_s reward.verifier.memory_mib reward.verifier.require_simplified
reward.answer_forms
reward.models reward.models.NAME.model reward.models.NAME.sees reward.models.NAME.max_tokens reward.models.NAME.dtype
sandbox.python sandbox.packages sandbox.cpu_s sandbox.total_cpu_s sandbox.memory_mib sandbox.output_kib sandbox.partial
learner.dtype learner.zero_stage learner.lr learner.betas learner.epsilon learner.weight_decay learner.grad_clip
learner.schedule learner.lr_floor learner.warmup_updates learner.sequence_parallel_size
learner.lora.rank learner.lora.alpha learner.lora.targets learner.lora.publish
learner.router.loss_coefficient learner.router.bias_speed learner.router.replay
learner.deepspeed
supervised.train supervised.eval supervised.sequences_per_step supervised.max_tokens
collect.*
stop.*
"""
"""Keys that make another run. Whoever adds a key says here, or in config/resume.py, which it is."""
BEGUN: dict[str, Any] = {
    "recipe": "r1_zero",
    "steps": 10,
    "learner": {"schedule": "constant", "lr": 1e-6, "gradient_checkpointing": False},
    "rollout": {"max_num_seqs": 64, "engine_args": {}},
    "eval": {"every": 5},
    "checkpoint": {"best": None},
    "stop": {"window": 0, "metric": "reward/mean"},
}


def changed(key: str, value: object, **sections: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """A configuration, and the same with another value of a key."""
    before = BEGUN | sections
    now, above, last = dict(before), *key.rpartition(".")[::2]
    node = now
    for name in above.split(".") if above else ():
        node[name] = dict(node[name])
        node = node[name]
    node[last] = value
    return before, now


def pattern(keys: str) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(key).replace(r"\*", r".+") for key in keys.split()))


def test_of_every_key_it_is_decided_if_it_may_change() -> None:
    free = pattern(" ".join(f"{key} {key}.*" for key in (*MAY_CHANGE, *MEASURES, *MAY_GROW)))
    fixed = pattern(FIXED)
    names = [each.name.replace("[]", "") for each in keys_of(RunConfig)]
    assert [name for name in names if bool(free.fullmatch(name)) == bool(fixed.fullmatch(name))] == []


def test_no_rule_is_about_a_key_that_does_not_exist() -> None:
    names = [each.name.replace("[]", "") for each in keys_of(RunConfig)]
    roles = ("rollout", "judge.engine")
    known = [*names, *(f"{role}.engine_args.{name}" for role in roles for name in known_arguments())]
    for rule in (*MAY_CHANGE, *MEASURES, *MAY_GROW, *FIXED.split()):
        of_rule = re.compile(re.escape(rule).replace(r"\*", r".+") + r"(\..+|)")
        assert any(of_rule.fullmatch(name) for name in known), rule


def test_each_key_has_one_rule() -> None:
    rules = (*MAY_CHANGE, *MEASURES, *MAY_GROW)
    assert len(set(rules)) == len(rules)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rollout.max_num_seqs", 8),
        ("rollout.engine_args", {"enforce_eager": True}),
        ("learner.gradient_checkpointing", True),
        ("eval.every", 2),
        ("checkpoint.best", "pass@1"),
        ("name", "b"),
        ("steps", 20),
    ],
)
def test_what_was_learned_stays_the_same(key: str, value: object) -> None:
    (found,) = changes(*changed(key, value))
    assert found.refused is None and found.key.startswith(key)


@pytest.mark.parametrize(
    ("key", "value", "sections", "message"),
    [
        ("learner.lr", 1.0, {}, r"learner\.lr \(1e-06 there, 1\.0 now\)"),
        ("rollout.engine_args", {"kv_cache_dtype": "fp8"}, {}, r"engine_args.kv_cache_dtype \(None there, fp8 now\)"),
        ("steps", 5, {}, r"steps \(10 there, 5 now: it may only grow\)"),
        ("steps", 20, {"learner": {"schedule": "cosine"}}, r"20 now: learner.schedule=cosine depends on it"),
        ("eval.every", 2, {"checkpoint": {"best": "pass@1"}}, r"eval.every \(5 there, 2 now: checkpoint.best"),
        ("eval.every", 2, {"stop": {"window": 3, "metric": "eval/x/y"}}, r"eval.every .*stop.metric"),
        ("eval.every", 2, {"recipe": "evaluate"}, r"recipe=evaluate depends on it"),
    ],
)
def test_what_would_be_learned_otherwise_is_refused(
    key: str, value: object, sections: dict[str, object], message: str
) -> None:
    (found,) = changes(*changed(key, value, **sections))
    assert found.refused is not None
    assert re.search(message, str(found))


def test_a_run_that_may_grow_lasts_with_any_length_and_another_does_not() -> None:
    assert lasting(BEGUN) == lasting(BEGUN | {"steps": 20}) != lasting(BEGUN | {"recipe": "sft"})
    linear = BEGUN | {"learner": {"schedule": "linear"}}
    assert lasting(linear) != lasting(linear | {"steps": 20})


def test_what_a_run_is_evaluated_on_decides_nothing_but_an_evaluation() -> None:
    own = ["model=m", "data.train=t"]
    assert decisive(compose([*own, "eval.samples=9"])) == decisive(compose(own))
    assert decisive(compose([*own, "steps=9"])) != decisive(compose(own))
    measured = ["recipe=evaluate", "model=m", "data.eval=t"]
    assert decisive(compose([*measured, "eval.samples=9"])) != decisive(compose(measured))


def test_a_configuration_has_no_change_against_itself() -> None:
    config = asdict(compose(["model=m", "data.train=t"]))
    assert changes(config, config | {"eval": asdict(EvalConfig())}) == []


@pytest.mark.parametrize("key", ["algo", "algo.group_size", "reward.parts.accuracy.on_error", "eval.compare", "plan"])
def test_a_key_that_an_older_configuration_lacks_has_its_default(key: str) -> None:
    now = asdict(compose(["model=m", "data.train=t"]))
    assert changes(without(now, key), now) == []


def test_a_key_that_an_older_configuration_lacks_is_a_change_with_another_value() -> None:
    now = asdict(compose(["model=m", "data.train=t", "algo.group_size=4", "rollout.max_num_seqs=3"]))
    older = without(without(now, "algo.group_size"), "rollout.max_num_seqs")
    group, seqs = changes(older, now)
    assert str(group) == "algo.group_size (16 there, 4 now)" and group.refused is not None
    assert (seqs.key, seqs.now, seqs.refused) == ("rollout.max_num_seqs", 3, None)


def test_a_key_that_is_gone_is_refused_with_the_way_out_where_it_may_have_decided_something() -> None:
    now = asdict(compose(["model=m", "data.train=t"]))
    older = now | {"learner": now["learner"] | {"rl": 2}, "cluster": now["cluster"] | {"rl": 2}, "rl": {"a": 1}}
    told, *refused = changes(older, now)
    assert (told.key, told.before, told.now, told.refused) == ("cluster.rl", 2, "no such key", None)
    assert [each.key for each in refused] == ["learner.rl", "rl"]
    assert re.search(r"learner\.rl \(2 there, no such key now: .*without that line", str(refused[0]))


def test_what_stands_in_the_place_of_a_section_is_a_change() -> None:
    now = asdict(compose(["model=m", "data.train=t"]))
    assert [each.key for each in changes(now | {"checkpoint": 3, "stop": []}, now)] == ["checkpoint", "stop"]


def without(settings: dict[str, Any], key: str) -> dict[str, Any]:
    """Settings, as a version of r1ray wrote them that did not have a key."""
    name, _, below = key.partition(".")
    rest = {each: value for each, value in settings.items() if each != name}
    return rest | {name: without(settings[name], below)} if below else rest


def test_differences_are_named_by_their_dotted_keys() -> None:
    before = {"learner": {"lr": 1, "gone": 2}, "steps": 3}
    now = {"learner": {"lr": 9, "new": {"a": 1}}, "steps": 3}
    assert [*differences(before, now)] == [
        ("learner.gone", 2, None),
        ("learner.lr", 1, 9),
        ("learner.new", None, {"a": 1}),
    ]
