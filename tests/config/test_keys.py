from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from r1ray import config
from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig, RunConfig, ScoreConfig
from r1ray.config.actors import EXPORTS
from r1ray.config.keys import Key, docstrings, keys_of, sections_of

WRITTEN_OTHERWISE = {"reward.parts", "benchmark", "environment"}
SCHEMAS = (RunConfig, EvaluationConfig, ScoreConfig)
CLASSES = [each for each in vars(config).values() if isinstance(each, type) and is_dataclass(each)]


def key(name: str, schema: type[Any] = RunConfig) -> Key:
    return next(each for each in keys_of(schema) if each.name == name)


def test_a_key_has_type_default_meaning_and_unit() -> None:
    found = key("data.max_prompt_tokens")
    assert (found.type, found.default, found.unit, found.section) == ("int", "1024", "tokens", "data")
    assert found.summary == "Longest prompt."
    assert found.meaning.startswith("Longest prompt. Longer training prompts are dropped")


@pytest.mark.parametrize("schema", CLASSES, ids=lambda schema: schema.__name__)
def test_every_field_of_a_section_says_what_it_means(schema: type[Any]) -> None:
    told = {name for each in schema.__mro__[:-1] for name in _told(each)}
    own = [each for each in fields(schema) if not is_dataclass(each.default_factory)]
    assert [each.name for each in own if each.name not in told] == []
    assert schema.__doc__ and not schema.__doc__.startswith(f"{schema.__name__}(")  # the one that dataclass makes


def _told(schema: type[Any]) -> dict[str, str]:
    return docstrings(Path(config.__file__).parent / f"{schema.__module__.rpartition('.')[2]}.py", schema.__name__)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_keys_are_those_that_the_configuration_has(schema: type[Any]) -> None:
    def leaves(node: Any, prefix: str) -> list[str]:
        below = [(name, f"{prefix}{name}") for name in node]
        return [leaf for name, full in below for leaf in (leaves(node[name], f"{full}.") if node[name] else [full])]

    structured = OmegaConf.to_container(OmegaConf.structured(schema, flags={"allow_objects": True}))
    written = {"benchmarks": "benchmark", "in_environment": "environment"}
    known = [written.get(name, name) for name in leaves(_without_lists(structured), "")]
    assert sorted(each.name for each in keys_of(schema) if not re.search(r"NAME|\[\]", each.name)) == sorted(known)


def _without_lists(node: Any) -> Any:
    return {name: _without_lists(value) for name, value in node.items()} if isinstance(node, dict) and node else None


def test_entries_under_names_of_the_users_are_keys() -> None:
    names = {each.name for each in keys_of(RunConfig)}
    assert {"reward.parts.NAME.weight", "collect.sources.NAME.path", "eval.compare[].against"} <= names
    assert key("reward.models.NAME.max_tokens").meaning  # told by the class that its class is made from


@pytest.mark.parametrize(
    ("schema", "name", "given", "set_by_groups"),
    [
        (RunConfig, "config", {"model": "m", "data.train": "t"}, {"reward.parts"}),
        (EvaluationConfig, "eval", {"model": "m", "benchmarks": "b", "data": "d"}, WRITTEN_OTHERWISE),
        (ScoreConfig, "score", {}, {"reward.parts"}),
    ],
)
def test_defaults_are_those_that_a_command_starts_from(
    schema: type[Any], name: str, given: dict[str, str], set_by_groups: set[str]
) -> None:
    made = compose([f"{key}={value}" for key, value in given.items()], schema=schema, name=name)
    for each in keys_of(schema):
        if each.name not in {*given, *set_by_groups} and not re.search(r"NAME|\[\]", each.name):
            assert _parsed(each) == _value(made, each.name), each.name


def _value(made: object, name: str) -> object:
    for part in name.split("."):
        made = getattr(made, part)
    return made


def _parsed(each: Key) -> object:
    """Return what Hydra makes of a default that is typed; in its quotes no sign has another meaning."""
    value = OverridesParser.create().parse_override(f"key={each.default}").value()
    return value.replace("\\n", "\n") if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("algo.surrogate", config.SURROGATES),
        ("algo.ratio", config.RATIOS),
        ("algo.kl_estimator", config.KL_ESTIMATORS),
        ("algo.kl_placement", config.KL_PLACEMENTS),
        ("checkpoint.on_full_disk", config.ON_FULL_DISK),
        ("algo.aggregation", config.AGGREGATIONS),
        ("algo.advantage_baseline", config.BASELINES),
        ("algo.advantage_std", config.ADVANTAGE_STDS),
        ("algo.advantage_epsilon_in", config.EPSILON_PLACES),
        ("algo.old_logprobs", config.OLD_LOGPROBS),
        ("algo.correction", config.CORRECTIONS),
        ("rollout.dtype", config.DTYPES),
        ("learner.dtype", config.DTYPES),
        ("learner.schedule", config.SCHEDULES),
        ("learner.lora.export", EXPORTS),
        ("weights.backend", config.BACKENDS),
        ("reward.combine", config.COMBINATIONS),
        ("sandbox.mode", config.SANDBOX_MODES),
        ("data.template", config.TEMPLATES),
        ("collect.ways", config.WAYS),
        ("collect.pattern", config.PATTERNS),
    ],
)
def test_the_first_sentence_names_every_value_that_a_key_can_have(name: str, values: tuple[str, ...]) -> None:
    assert [value for value in values if f"`{value}`" not in key(name).summary] == []


def test_search_methods_are_named_too() -> None:
    summary = key("search.methods", EvaluationConfig).summary
    assert all(f"`{method}`" in summary for method in config.SEARCH_METHODS)


UNITS = {
    r"_gb_s$": "GB/s",
    r"(?<!_gb)_s$": "seconds",
    r"_gib$": "GiB",
    r"_mib$": "MiB",
    r"_kib$": "KiB",
    r"(^|[._])tokens?(_per_\w+)?$": "tokens",
    r"_updates$": "updates",
    r"_efficiency$": "share",
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_a_key_whose_name_has_a_unit_says_it(schema: type[Any]) -> None:
    for each in keys_of(schema):
        for pattern, unit in UNITS.items():
            if re.search(pattern, each.name):
                assert each.unit == unit, each.name


@pytest.mark.parametrize("schema", SCHEMAS)
def test_meanings_are_sentences_in_the_users_words(schema: type[Any]) -> None:
    for each in keys_of(schema):
        assert each.meaning[0] in "`|" or each.meaning[0].isupper(), each.name
        assert each.meaning.endswith((".", ".)")), each.name
        assert not re.search(r"\bNone\b|\bTrue\b|\bFalse\b|:\w+:`|``|Unit:", each.meaning), each.name
        for text in (each.meaning, each.summary):
            assert text.count("`") % 2 == 0, each.name
            assert all(text.count(left) == text.count(right) for left, right in ("()", "{}", "[]")), each.name


def test_sections_that_matter_to_a_command_come_first() -> None:
    names = [section.name for section in sections_of(RunConfig, first=("plan",))]
    assert names[:3] == ["", "plan", "prepare"]
    assert sorted(names) == sorted(section.name for section in sections_of(RunConfig))
