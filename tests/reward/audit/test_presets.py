"""The rewards that ship pay nothing for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from r1ray.config import RewardConfig
from r1ray.reward.audit.examine import Audit
from r1ray.reward.audit.prompts import built_in_prompts
from r1ray.reward.check_problems import problem_finder
from tests.reward.audit.test_examine import audit, closed  # noqa: F401

FOLDER = Path(__file__).parents[3] / "conf/reward"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
NOT_MENDED = pytest.mark.xfail(
    reason="the mends of mathematics, options, unfinished reasoning and language in issue 22 are not here yet"
)


def audit_preset(*names: str) -> Audit:
    """Put the battery to the parts of presets, without those that preference models compute."""
    parts: dict[str, object] = {}
    for name in names:
        section = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        own = {part: each for part, each in section["parts"].items() if part not in section.get("models", {})}
        parts |= {part: {"weight": each["weight"]} for part, each in own.items()} if len(names) > 1 else own
    reward = RewardConfig(parts=parts)
    usable = problem_finder(reward) if len(names) == 1 else problem_finder(RewardConfig())
    prompts = [prompt for prompt in built_in_prompts() if usable(prompt.check, prompt.language) is None]
    return audit(reward, *prompts)


@NOT_MENDED
@pytest.mark.long
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_pays_nothing_for_nothing(name: str) -> None:
    found = audit_preset(name)
    assert found.num_responses > 1000
    assert {key: (each.prompt.id, each.response) for key, each in found.payments.items()} == {}


@NOT_MENDED
def test_the_parts_of_all_presets_pay_nothing_for_nothing() -> None:
    found = audit_preset("r1_zero", "reasoning")
    assert found.num_responses > 1000
    assert {key: (each.prompt.id, each.response) for key, each in found.payments.items()} == {}
