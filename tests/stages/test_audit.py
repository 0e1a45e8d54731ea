"""The audit of a run's rewards: which stages, which prompts, and every preset that ships."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.unnamed import with_unnamed
from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.recipes import configs_by_name, stages_of
from r1ray.stages.audit import audit, audited, own_prompts

ROWS = [{"id": str(n), "problem": f"What is {n} and one?", "answer": str(n + 1)} for n in range(40, 60)]


def config_of(*overrides: str) -> RunConfig:
    return with_unnamed(list(overrides), compose)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_users_prompts_are_drawn_by_the_seed_in_the_order_of_the_file(train: Path) -> None:
    config = config_of(f"data.train={train}", "audit.num_prompts=4")
    drawn = []
    for seed in (0, 1):
        seeded = replace(config, audit=replace(config.audit, seed=seed))
        drawn.append([prompt.id for prompt in own_prompts(seeded, config.reward)])
        assert len(drawn[-1]) == 4 and drawn[-1] == sorted(drawn[-1])
    assert drawn[0] != drawn[1]


@pytest.mark.long
def test_a_weak_reward_is_found_with_the_users_prompts(train: Path) -> None:
    weak = "+reward.parts.mine={function: 'tests.reward.audit.planted:substring'}"
    found = audit(config_of(f"data.train={train}", "audit.num_prompts=2", "~reward.parts.format", weak))
    assert found.num_prompts == 2 and {part for _, part in found.payments} == {"mine"}


@pytest.mark.long
def test_preference_models_are_left_out_and_need_no_path() -> None:
    found = audit(config_of("reward=all_scenario", "reward.parts.accuracy.domains=[logic]", "~reward.parts.language"))
    assert (found.num_prompts, found.payments) == (1, {})


@pytest.mark.long
def test_every_stage_that_trains_by_a_reward_is_audited() -> None:
    words = ["recipe=r1", "model=/models/base", "data.train=train.jsonl", "data.eval=eval.jsonl"]

    def configs(words: list[str]) -> dict[str, RunConfig]:
        config = compose(words)
        return configs_by_name(config, stages_of(config))

    assert set(audited(with_unnamed(words, configs))) == {"reasoning_rl", "all_scenario_rl"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.train=/no/such.jsonl"], "data.train=/no/such.jsonl"),
        pytest.param(
            ["reward=last_number", "reward.parts.last_number.checks=[judged]"],
            "no prompt has any of last_number",
            marks=pytest.mark.long,
        ),
        (["data.train={train}", "data.template=chat"], "model is not set: data.template=chat needs"),
    ],
)
def test_what_cannot_be_audited_is_refused(overrides: list[str], message: str, train: Path) -> None:
    with pytest.raises(UserError, match=message):
        audit(config_of(*(override.format(train=train) for override in overrides)))


def test_without_a_reward_there_is_nothing_to_audit() -> None:
    config = config_of("recipe=sft", "model=/models/base", "supervised.train=rows.jsonl")
    with pytest.raises(UserError, match=r"reward\.parts is empty"):
        audited({"": config})
