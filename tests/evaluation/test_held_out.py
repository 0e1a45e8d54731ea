from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from r1ray.data.prompts import PromptTable, spool_prompts
from r1ray.evaluation.held_out import HeldOutPrompts
from tests.data.test_prompts import OWN, jsonl


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


@pytest.mark.parametrize(("count", "sizes"), [(4, (2, 2)), (5, (2, 3)), (100, (2, 4))])
def test_sets_share_the_prompts_of_an_evaluation_evenly(tmp_path: Path, count: int, sizes: tuple[int, int]) -> None:
    sets = {"aime": table(tmp_path, "a", "math " * 2), "all": table(tmp_path, "b", "math code math code")}
    asked = HeldOutPrompts(sets).first(count)
    assert tuple(sum(name in each.groups for each in asked) for name in sets) == sizes
    assert asked[0].prompt.id == "aime/0" and asked[-1].groups[0] == "all"
    assert HeldOutPrompts(sets).names == ("aime", "all", "domain/math", "domain/code")
