"""The first rows of prompts, shown with what a right and a wrong answer are paid by the real scorer."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from r1ray.checks import ExternalCommand
from r1ray.config import DataConfig, RewardConfig, RunConfig
from r1ray.data.checks import parse_check
from r1ray.stages.first_rows import Shown, first_rows, known_answer, not_called, say_first_rows
from r1ray.types import Prompt, Response

MATH: dict[str, Any] = {"type": "math", "answer": "5"}


def never_called(prompt: Prompt, response: Response) -> float:
    raise AssertionError("a function of the user's was called")


def paid_for_anything(check: dict[str, Any], response: Response) -> float:
    return 1.0


def is_the_answer(check: dict[str, Any], response: Response) -> float:
    return float(str(check["answer"]) in response.text)


def configured(**parts: object) -> RunConfig:
    reward = RewardConfig(parts=parts or {"accuracy": {}, "format": {}})
    return RunConfig(model="m", data=DataConfig(train="t"), reward=reward)


def asked(check: dict[str, Any], *, text: str = "2+3?") -> Prompt:
    return Prompt(id="7", text=text, check=parse_check(check), domain="math", language="en")


def shown(check: dict[str, Any], *, text: str = "2+3?", **parts: Any) -> Shown:
    (found,) = first_rows(configured(**parts), [asked(check, text=text)], max_tokens=512)
    return found


def test_a_right_answer_is_paid_more_than_a_wrong_one_in_the_form_that_pays_most() -> None:
    found = shown(MATH)
    assert found.right is not None and found.wrong is not None
    assert (found.right.total, found.wrong.total) == (2.0, 1.0)
    assert "<answer>5</answer>" in found.right.response and "<answer>31337</answer>" in found.wrong.response
    assert found.accepted[:2] == ("\\boxed{5}", "<answer>5</answer>") and not found.is_odd
    lines = found.lines()
    assert lines[:3] == [
        "prompt 7: 2+3?",
        "  reference: math, answer 5",
        "  accepted: \\boxed{5} or <answer>5</answer>",
    ]
    assert lines[3].endswith("is paid 2 (accuracy 1, format 1)") and lines[4].endswith("(accuracy 0, format 1)")


def test_the_forms_are_those_that_the_configured_reward_accepts() -> None:
    found = shown(MATH, last_number={})
    assert "5" in found.accepted and found.right is not None and found.right.parts == {"last_number": 1.0}


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        ({"type": "choice", "answer": "B", "num_options": 4}, "B"),
        ({"type": "reading", "answers": [["Brady", "Moss"], ["1861"]]}, "Brady|Moss"),
        ({"type": "code", "language": "cpp", "tests": [{"stdin": "", "stdout": "1"}]}, None),
        ({"type": "code", "tests": ["assert add(1, 2) == 3"]}, None),
        ({"type": "format"}, None),
        ({"type": f"{__name__}:is_the_answer", "answer": 5}, "5"),
        ({"type": f"{__name__}:is_the_answer", "word": "x"}, None),
    ],
)
def test_right_answers_come_from_the_check_where_it_says_one(check: dict[str, Any], answer: str | None) -> None:
    assert known_answer(parse_check(check)) == answer


@pytest.mark.parametrize(
    "check",
    [
        {"type": "choice", "answer": "A", "num_options": 4},
        {"type": "reading", "answers": [["Brady", "Moss"]]},
        {"type": f"{__name__}:is_the_answer", "answer": 5},
        {"type": "math", "answer": "31337"},
    ],
)
def test_answers_of_every_kind_are_told_apart(check: dict[str, Any]) -> None:
    found = shown(check, text="Think.\n<think>\n", accuracy={})
    assert found.right is not None and found.wrong is not None
    assert (found.right.total, found.wrong.total) == (1.0, 0.0)


def test_prompts_without_a_known_answer_show_one_that_is_none() -> None:
    found = shown({"type": "format"})
    assert found.right is None and found.wrong is not None and found.wrong.total == 1.0
    assert "cannot be told from the reference" in found.lines()[2]


def test_what_cannot_be_scored_here_says_why() -> None:
    found = shown({"type": "judged", "reference": "Paris"})
    assert found.lines()[2] == "  not scored here: the answer needs a judge, and the scorer was given none"


def test_a_command_of_the_users_is_not_run() -> None:
    check = ExternalCommand(argv=("/no/such/harness",), task="{}", deadline_s=600.0)
    prompt = Prompt(id="7", text="2+3?", check=check, domain="math", language="en")
    (found,) = first_rows(configured(), [prompt], max_tokens=512)
    assert found.lines()[-1] == "  not scored here: its command judges responses of the model alone"


def test_functions_of_the_users_and_models_are_not_called() -> None:
    parts: dict[str, Any] = {"accuracy": {}, "mine": {"function": f"{__name__}:never_called"}}
    assert not_called(configured(**parts)) == ["mine"]
    found = shown(MATH, **parts)
    assert found.right is not None and found.right.parts == {"accuracy": 1.0}


def test_a_reward_that_pays_anything_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    config = configured(accuracy={})
    with caplog.at_level(logging.INFO):
        own = {"type": f"{__name__}:paid_for_anything", "answer": 5}
        say_first_rows(config, {"data.train": [asked(MATH)], "data.eval": [asked(own)]}, max_tokens=512)
        mine = configured(mine={"function": f"{__name__}:never_called"})
        say_first_rows(mine, {"data.train": [asked(MATH)]}, max_tokens=512)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "INFO", "WARNING", "INFO"]
    assert caplog.messages[2].startswith("data.eval: a right answer is not paid more than a wrong one")
    assert caplog.messages[0].splitlines()[1] == "  prompt 7: 2+3?"
    assert "(without mine, which only the run asks)" in caplog.messages[3]
