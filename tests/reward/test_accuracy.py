"""The accuracy part: each kind of check by its own rule. (The verifier and the grader have tests of their own.)"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest

from r1ray.checks import CodeTests, StdioCase
from r1ray.config import SandboxConfig, VerifierConfig
from r1ray.errors import InfrastructureError
from r1ray.reward.accuracy import Accuracy
from r1ray.types import Response
from tests.fakes import make_prompt


@pytest.fixture
def accuracy() -> Iterator[Accuracy]:
    made = Accuracy(VerifierConfig(), SandboxConfig(), frozenset())
    yield made
    made.close()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("<think>2+2</think><answer>4</answer>", 1.0),
        ("<think>2+2</think> so \\boxed{4.0}", 1.0),
        ("<think>\\boxed{4}</think><answer>5</answer>", 0.0),
        ("<answer>4", 0.0),
    ],
)
def test_a_math_answer_is_verified(accuracy: Accuracy, text: str, value: float) -> None:
    assert asyncio.run(accuracy(make_prompt(), Response(text, finished=True))).value == value


def test_code_without_a_sandbox_is_an_infrastructure_error_not_a_zero(accuracy: Accuracy) -> None:
    prompt = dataclasses.replace(make_prompt(), check=CodeTests(language="python", cases=(StdioCase("", "1"),)))
    with pytest.raises(InfrastructureError, match="needs a sandbox, and there is none"):
        asyncio.run(accuracy(prompt, Response("print(1)", finished=True)))


def scored(accuracy: Accuracy, question: str, text: str) -> float:
    prompt = dataclasses.replace(make_prompt(), text=question)
    return asyncio.run(accuracy(prompt, Response(text, finished=True))).value


@pytest.mark.parametrize("opening", ["<think>\n", "<think>", "<|reasoning|>\n"])
def test_reasoning_that_the_prompt_opened_and_nobody_closes_is_unfinished(accuracy: Accuracy, opening: str) -> None:
    question = f"What is 2+2? Reply with the number only, after ####.\n{opening}"
    closing = "<|reasoning|>" if "reasoning" in opening else "</think>"
    for answer in ("\\boxed{4}", "<answer>4</answer>", "#### 4", "4"):
        assert scored(accuracy, question, f"so\n{answer}") == 0.0
        assert scored(accuracy, question, f"so{closing}\n{answer}") == 1.0


def test_the_form_that_the_prompt_asks_for_is_paid(accuracy: Accuracy) -> None:
    assert scored(accuracy, 'What is 2+2? Put it after "####".', "2+2=4\n#### 4") == 1.0
    assert scored(accuracy, "What is 2+2?", "2+2=4\n#### 4") == 0.0
    assert scored(accuracy, 'What is 2+2? End with "Answer: X".', "2+2=4\nAnswer: $4$") == 1.0
    assert scored(accuracy, 'What is 2+2? End with "Answer: X".', "Answer: 5\nAnswer: 4") == 0.0
    assert scored(accuracy, "What is 2+2? Reply with only the number.", "4") == 1.0


def test_the_key_decides_over_the_prompt() -> None:
    made = Accuracy(VerifierConfig(), SandboxConfig(), frozenset(), forms=frozenset({"hashes"}))
    assert scored(made, "What is 2+2?", "#### 4") == 1.0
    assert scored(made, "What is 2+2?", "\\boxed{4}") == 0.0
    made.close()
