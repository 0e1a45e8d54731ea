"""The rewards that ship pay nothing for nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from r1ray.config import RewardConfig
from r1ray.reward.audit.examine import Audit
from r1ray.reward.audit.prompts import built_in_prompts
from r1ray.reward.check_problems import problem_finder
from tests.reward.audit.examined import audit

FOLDER = Path(__file__).parents[3] / "conf/reward"
PRESETS = sorted(path.stem for path in FOLDER.glob("*.yaml"))
FEW = ("math 4", "options, first")


def nothing_paid(found: Audit) -> bool:
    assert {key: (each.prompt.id, each.response) for key, each in found.payments.items()} == {}
    return True


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_pays_nothing_for_nothing(name: str, seed: int) -> None:
    """Parts that preference models compute are left out."""
    section = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    parts = {part: each for part, each in section["parts"].items() if part not in section.get("models", {})}
    reward = RewardConfig(parts=parts)
    problem = problem_finder(reward)
    found = audit(
        reward, *[each for each in built_in_prompts() if problem(each.check, each.language) is None], seed=seed
    )
    assert found.num_responses > 1000 and nothing_paid(found)


@pytest.mark.parametrize(
    "weights",
    [{"accuracy": 2.0, "format": 1.0, "language": 1.0}, {"last_number": 1.0}],
    ids=lambda weights: "+".join(weights),
)
def test_the_parts_of_the_presets_pay_nothing_for_nothing(weights: dict[str, float]) -> None:
    reward = RewardConfig(parts={part: {"weight": weight} for part, weight in weights.items()})
    problem = problem_finder(reward)
    found = audit(reward, *[e for e in built_in_prompts() if e.id in FEW and problem(e.check, e.language) is None])
    assert found.num_responses > 100 and nothing_paid(found)
