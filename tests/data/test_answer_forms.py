# ruff: noqa: RUF001  (full-width punctuation is what data sets have)
"""Forms of answers that prompts ask for, in the words of public data sets."""

from __future__ import annotations

import pytest

from r1ray.config.reward import ANSWER_FORMS
from r1ray.data import answer_forms as module
from r1ray.data.answer_forms import DEFAULT_FORMS, answer_forms
from r1ray.data.template import R1_ZERO

DAPO = (
    "Solve the following math problem step by step. The "
    "last line of your response should be of the form Answer: $Answer "
    "(without quotes) where $Answer is the answer to the problem.\n\nWhat is 3+4?\n\nRemember to put your answer on "
    'its own line after "Answer:".'
)
GSM8K = 'What is 3+4? Let\'s think step by step and output the final answer after "####".'


@pytest.mark.parametrize(
    ("prompt", "forms"),
    [
        ("What is 3+4?", ""),
        (R1_ZERO.format(question="What is 3+4?"), ""),
        ("What is 3+4? Put the final answer within \\boxed{}.", ""),
        (GSM8K, "hashes"),
        (R1_ZERO.format(question=GSM8K), "hashes"),
        ("Question: 2+2?\n2+2=4\n#### 4\n\nQuestion: 3+4?", "hashes"),
        ("End with #### <answer>. What is 3+4?", "hashes"),
        ("#### Problem 3\nWhat is 3+4?", ""),
        (DAPO, "line"),
        ("Answer the question. The last line should be 'ANSWER: $LETTER'.", "line"),
        ("Finish with 'Final answer: <number>'.", "line"),
        ("请在最后写出“答案：”和结果。", "line"),
        ("What is 3+4?\nAnswer:", "bare"),
        ("<|im_start|>user\nWhat is 3+4?\nAnswer:<|im_end|>\n<|im_start|>assistant\n", "bare"),
        ("Q: What is 3+4?\nA:", "bare"),
        ("Respond with only the number. What is 3+4?", "bare"),
        ("What is 3+4? Give just a single integer.", "bare"),
        ("Which one? Answer with the letter only.", "bare"),
        ("Write your answer on the last line.", "bare"),
        ("只输出最终答案。3+4等于多少？", "bare"),
        ("How many numbers below 100 have only one single digit?", ""),
    ],
)
def test_the_form_is_read_off_the_prompt(prompt: str, forms: str) -> None:
    assert answer_forms(prompt) - DEFAULT_FORMS == set(forms.split())


def test_the_key_knows_every_form() -> None:
    assert set(ANSWER_FORMS) == {module.BOXED, module.TAG, module.HASHES, module.LINE, module.BARE}
