from __future__ import annotations

import time

import pytest

from r1ray.reward.program import extract_program, fenced_blocks


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


@pytest.mark.parametrize(
    "text", ["```python\n" * 100_000, "`" * 1_000_000, "```\n```" * 100_000, "\n   " * 250_000 + "```"]
)
def test_a_megabyte_of_fences_takes_no_time(text: str) -> None:
    start = time.monotonic()
    fenced_blocks(text)
    extract_program(text, "cpp")
    assert time.monotonic() - start < 2
