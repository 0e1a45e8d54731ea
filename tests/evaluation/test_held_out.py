from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptTable
from r1ray.evaluation.held_out import HeldOutPrompts
from r1ray.evaluation.sampling import evaluate
from r1ray.types import Prompt, Sampling, Scored, ScoredTrajectory, Trajectory
from tests.data.prompt_files import OWN, jsonl
from tests.fakes import Events, FakeEngine, FakeGroups, FakeScorer


def table(folder: Path, name: str, domains: str) -> PromptTable:
    rows: list[dict[str, Any]] = [
        {**OWN, "id": str(index), "domain": domain} for index, domain in enumerate(domains.split())
    ]
    spool_prompts(jsonl(folder / f"{name}.jsonl", rows), folder / f"{name}.arrow", key="data.eval")
    return PromptTable(folder / f"{name}.arrow", render=str)


def test_prompts_of_one_table_are_asked_under_their_own_names(tmp_path: Path) -> None:
    held_out = HeldOutPrompts({"": table(tmp_path, "a", "math math")})
    assert [(each.prompt.id, each.groups) for each in held_out.first(9)] == [("0", ()), ("1", ())]
    assert held_out.names == ()


def test_several_domains_have_metrics_of_their_own(tmp_path: Path) -> None:
    held_out = HeldOutPrompts({"": table(tmp_path, "a", "math code")})
    assert [each.groups for each in held_out.first(9)] == [("domain/math",), ("domain/code",)]
    assert held_out.names == ("domain/math", "domain/code")


def test_environments_have_metrics_of_their_own(tmp_path: Path) -> None:
    rows = [{**OWN, "id": "0", "domain": "math"}, {**OWN, "id": "1", "domain": "math", "environment": "maze"}]
    spool_prompts(jsonl(tmp_path / "a.jsonl", rows), tmp_path / "a.arrow", key="data.eval")
    held_out = HeldOutPrompts({"": PromptTable(tmp_path / "a.arrow", render=str)})
    assert [each.groups for each in held_out.first(9)] == [(), ("environment/maze",)]
    assert held_out.names == ("environment/maze",)


@pytest.mark.parametrize(("count", "sizes"), [(4, (2, 2)), (5, (2, 3)), (100, (2, 4))])
def test_sets_share_the_prompts_of_an_evaluation_evenly(tmp_path: Path, count: int, sizes: tuple[int, int]) -> None:
    sets = {"aime": table(tmp_path, "a", "math " * 2), "all": table(tmp_path, "b", "math code math code")}
    asked = HeldOutPrompts(sets).first(count)
    assert tuple(sum(name in each.groups for each in asked) for name in sets) == sizes
    assert asked[0].prompt.id == "aime/0" and asked[-1].groups[0] == "all"
    assert HeldOutPrompts(sets).names == ("aime", "all", "domain/math", "domain/code")


def test_an_evaluation_during_training_has_metrics_by_set_and_by_domain(tmp_path: Path) -> None:
    class ScorerOfDomain(FakeScorer):
        """Right is what is asked of mathematics."""

        async def score(self, prompt: Prompt, trajectory: Trajectory) -> ScoredTrajectory:
            value = float(prompt.domain == "math")
            return ScoredTrajectory.of(trajectory, Scored(value, {"accuracy": value}), extracted=str(value))

    held_out = HeldOutPrompts({"aime": table(tmp_path, "a", "math"), "all": table(tmp_path, "b", "math code code")})
    asked = held_out.first(9)
    result = asyncio.run(
        evaluate(
            FakeGroups(FakeEngine(Events()), ScorerOfDomain()),
            [each.prompt for each in asked],
            benchmark="",
            samples=2,
            sampling=Sampling(0.6, 0.95, 8),
            seed=1,
            slots=8,
            deadline_s=60,
            groups=[each.groups for each in asked],
        )
    )
    found = {name: value for name, value in result.named().items() if name.endswith("pass@1")}
    assert found == {
        "eval/pass@1": 0.5,
        "eval/aime/pass@1": 1.0,
        "eval/all/pass@1": pytest.approx(1 / 3),
        "eval/domain/math/pass@1": 1.0,
        "eval/domain/code/pass@1": 0.0,
    }
