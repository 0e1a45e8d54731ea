from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import r1ray
from r1ray.errors import UserError

ROWS = [
    {"id": "1", "check": {"type": "math", "answer": "4"}, "response": "\\boxed{4}"},
    {"id": "2", "check": {"type": "math", "answer": "4"}, "response": "it may be \\boxed{5}"},
]


def test_importing_it_imports_nothing_and_offers_everything() -> None:
    program = (
        "import sys, r1ray; before = set(sys.modules); assert 'numpy' not in before and 'ray' not in before\n"
        "assert not any(name.startswith('r1ray.') for name in before)\n"
        "for name in ('run', 'score', 'evaluate', 'load_run', 'Run'): getattr(r1ray, name)\n"
        "assert 'torch' not in sys.modules and 'ray' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_another_name_is_none_of_it() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'train'"):
        r1ray.train  # noqa: B018


def test_responses_are_scored_in_their_order() -> None:
    found = r1ray.score(ROWS)
    assert [(row["id"], row["score"], row["extracted"]) for row in found] == [("1", 1.0, "4"), ("2", 0.0, "5")]


def test_a_file_and_keys_are_those_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    found = r1ray.score(path, reward="r1_zero")
    assert set(found[0]["parts"]) == {"accuracy", "format"}


def test_a_function_is_a_part_of_the_reward_whatever_it_is() -> None:
    lengths: list[int] = []

    def brief(prompt: Any, response: Any) -> float:
        lengths.append(len(response.text))
        return float(len(response.text) < 10)

    found = r1ray.score(ROWS, rewards={"brief": brief}, reward={"parts": {"brief": {"weight": 0.5}}})
    assert [row["score"] for row in found] == [1.5, 0.0] and len(lengths) == 2, "it was called in this process"
    (alone,) = r1ray.score(ROWS[:1], "~reward.parts.accuracy", rewards={"brief": lambda prompt, response: 0.25})
    assert alone["parts"] == {"brief": 0.25}


def test_scoring_works_where_an_event_loop_runs() -> None:
    async def notebook() -> list[dict[str, Any]]:
        return r1ray.score(ROWS)

    assert [row["score"] for row in asyncio.run(notebook())] == [1.0, 0.0]


def test_a_bad_row_is_an_outcome_and_a_bad_key_is_refused() -> None:
    assert r1ray.score([{"id": "1"}])[0]["outcome"] == "malformed"
    with pytest.raises(UserError, match="reward=nothing: needs one of"):
        r1ray.score(ROWS, reward="nothing")
    with pytest.raises(UserError, match="needs no file"):
        r1ray.score(ROWS, output="x.jsonl")


def test_a_run_and_an_evaluation_refuse_what_cannot_be_done_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not at the top of a module"):
        r1ray.run(model="m", rewards={"mine": lambda prompt, response: 1.0})
    with pytest.raises(UserError, match=r"algo\.grup_size"):
        r1ray.run(algo={"grup_size": 4})
    with pytest.raises(UserError, match="model=missing"):
        r1ray.evaluate(model="missing", benchmark="math_500", data="x.jsonl", output_dir=tmp_path / "runs")

    async def notebook() -> None:
        r1ray.run(model="m")

    with pytest.raises(UserError, match="an event loop runs here"):
        asyncio.run(notebook())
