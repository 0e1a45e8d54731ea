from __future__ import annotations

import json

import pytest

from r1ray.checks import FormatOnly
from r1ray.environments.agents.judge import parts_of, row_of
from r1ray.environments.agents.process import Ended
from r1ray.errors import EnvironmentFailed
from r1ray.types import Prompt


def parts(code: int | None, output: str, *, says_json: bool) -> dict[str, float]:
    return parts_of(Ended(code=code, output=output.encode()), output, says_json=says_json)


def test_an_exit_code_is_one_part_and_no_text_is_believed_with_it() -> None:
    assert parts(0, "", says_json=False) == {"judge": 1.0}
    for code in (1, -9, None):
        assert parts(code, '{"judge": 1}', says_json=False) == {"judge": 0.0}


def test_the_last_line_has_the_parts_where_it_was_asked_for() -> None:
    assert parts(1, 'x\n{"tests": 0.5, "clean": true}\n', says_json=True) == {"tests": 0.5, "clean": 1.0}


@pytest.mark.parametrize("said", ["", "text", "[1]", "{}", '{"a": "x"}', '{"a": NaN}', '{"a": 1}\nmore', "[" * 100_000])
def test_a_judge_that_does_not_say_it_has_failed_and_nobody_gets_zero(said: str) -> None:
    with pytest.raises(EnvironmentFailed, match="its last line is no JSON object of numbers"):
        parts(0, said, says_json=True)


def test_a_judge_sees_the_row() -> None:
    prompt = Prompt(id="7", text="t", check=FormatOnly(), domain="m", language="en", columns={"answer": 3})
    assert json.loads(row_of(prompt, "Count.")) == {"id": "7", "prompt": "Count.", "answer": 3}
