from __future__ import annotations

import pytest

from r1ray.reward.program import extract_program, fenced_blocks
from tests.growth import assert_linear


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\nprint(1)\n```", "print(1)\n"),
        ("```py\nprint(1)\n```", "print(1)\n"),
        ("```\nprint(1)\n```", "print(1)\n"),
        ("```python\nprint(1)\n```\nor\n```python\nprint(2)\n```", "print(2)\n"),
        ("```python\nprint(1)\n```\nwhich prints\n```\n1\n```", "print(1)\n"),
        ("```python\nprint(1)\n```\nnot\n```java\nclass A {}\n```", "print(1)\n"),
        ("<think>```python\nprint(1)\n```</think>```python\nprint(2)\n```", "print(2)\n"),
        ("<think>x</think><answer>```python\nprint(1)\n```</answer>```python\nprint(2)\n```", "print(1)\n"),
        ("print(1)", "print(1)"),
        ("<answer>print(1)</answer>", "print(1)"),
        ("````python\nx = '''\n```\n'''\n````", "x = '''\n```\n'''\n"),
        ('```python title="a"\nprint(1)\n```', "print(1)\n"),
    ],
)
def test_the_program_is_found(text: str, program: str) -> None:
    assert extract_program(text, "python") == program


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "```python\nprint(1)\n",
        "```java\nclass A {}\n```",
        "<think>```python\nprint(1)\n```</think>",
        "<think>print(1)",
        "```python\n```",
        "```python\n" + "x" * 300_000 + "\n```",
    ],
)
def test_there_is_no_program(text: str) -> None:
    assert extract_program(text, "python") is None


@pytest.mark.parametrize(("unit", "end"), [("```python\n", ""), ("`", ""), ("```\n```", ""), ("\n   ", "```")])
def test_a_megabyte_of_fences_takes_linear_time(unit: str, end: str) -> None:
    def work(text: str) -> None:
        fenced_blocks(text)
        extract_program(text, "cpp")

    assert_linear(work, lambda size: unit * size + end, 1_000_000 // len(unit))
