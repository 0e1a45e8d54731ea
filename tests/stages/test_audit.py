"""The audit of a run's rewards: which stages, which prompts, and every preset that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray.commands.compose import compose
from r1ray.commands.unnamed import with_unnamed
from r1ray.config import RunConfig
from r1ray.errors import UserError
from r1ray.recipes import configs_by_name, stages_of
from r1ray.stages.audit import audit, audited

ROWS = [{"id": str(n), "problem": f"What is {n} and one?", "answer": str(n + 1)} for n in range(40, 60)]


def config_of(*overrides: str) -> RunConfig:
    return with_unnamed(list(overrides), compose)


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_the_users_prompts_are_drawn_by_the_seed(train: Path) -> None:
    weak = "+reward.parts.mine={function: 'tests.reward.audit.planted:substring'}"
    examples = []
    for seed in (0, 1):
        config = config_of(
            f"data.train={train}", "audit.num_prompts=2", f"audit.seed={seed}", "~reward.parts.format", weak
        )
        found = audit(config)
        assert found.num_prompts == 2
        examples.append(sorted((each.prompt.id, each.response) for each in found.payments.values()))
    assert examples[0] != examples[1]


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
        (["reward=last_number", "reward.parts.last_number.checks=[judged]"], "no prompt has any of last_number"),
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
