from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.curation.markdown import broken_markup, fences, without_fences
from tests.growth import assert_linear

GOOD = {
    "empty": "",
    "prices": "The $5 ticket and the $10 ticket cost $15 in all, so x = 15.",
    "price scale": "A restaurant marked $$ is cheaper than one marked $$$.",
    "process id": "In a shell, $$ is the process id.",
    "inline and display": "Let $x=1$. Then\n$$\ny = x^2\n$$\nand \\(z\\), \\[ w = \\frac{1}{2} \\] hold.",
    "display with a blank line": "$$\nx = 1\n\n+ 2\n$$",
    "formulae side by side": "So $a=1$$b=2$ follow.",
    "escaped dollar in a formula": "$$x = \\$5$$",
    "line break with a length": "$$\\begin{aligned} a &= 1 \\\\[2pt] b &= 2 \\end{aligned}$$",
    "half-open interval": "It is in [0, 1) and (0, 1].",
    "bracket that is written about": "In a regular expression, write \\[ for a bracket.",
    "brackets as Markdown escapes them": "Returns {string\\[]}, see \\[RFC 7540], \\[[`a`](b)] and x = 1.",
    "matrix beside a formula": "\\[ x = [1, 2] \\] and [3] = y",
    "dollars in code": "Run `echo $$` and `x=$$`, where x = 1.",
    "fence": "```python\nx = '$$'\ny = r'\\[ x = 1'\n```\nDone.",
    "fence in a longer fence": "````markdown\n```python\nx\n```\n````",
    "fence in a list": "1. First:\n   ```python\n   x = 1\n\n   y = 2\n   ```\n2. Then.",
    "fence behind a bullet": "- ```python\n  x = 1\n  ```\n- more",
    "fence in a quotation": "> ```\n> x\n> ```\n",
    "tildes": "~~~\nx\n~~~",
    "backticks of a longer fence inside tildes": "~~~\n```\n~~~",
    "code in three backticks on a line": "```x = 1``` is code.",
    "table": "| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |\n\ndone | here | there",
    "table without outer pipes": "a | b\n--|--\n1 | 2",
    "table of one column": "| a |\n|---|\n| 1 |",
    "table with a short row": "| a | b |\n|---|---|\n| both |",
    "pipes in formulae of a table": "| a | b |\n|---|---|\n| $|x|$ | `a|b` |\n| a \\| b | 2 |",
    "table with an empty cell": "| a | b |\n|---|---|\n| | 2 |\n| 1 | |",
    "rule between sections": "One.\n\n---\n\nTwo.",
    "underlined title": "Title\n-----\ntext",
    "absolute values": "Since |x| < 1 and |y| < 2,\n|x + y| < 3.",
    "synthetic division": "2 | 1  -3   2\n  |     2  -2\n  |-----------\n    1  -1   0",
    "conditional probability": "P(A|B) = P(B|A) P(A) / P(B)",
    "chinese": "设 $x=1$。\n\n价格是 $5。\n\n| 甲 | 乙 |\n|---|---|\n| 一 | 二 |",
    "emphasis and stars": "2 * 3 * 4, **bold**, a_1, snake_case_name, 5 < 6 > 2",
}
BAD = {
    "open fence": "```python\nx = 1\n",
    "open fence after a closed one": "```\nx\n```\n```\ny",
    "fence closed by a shorter one": "````\nx\n```",
    "fence in a fence of its length": "```markdown\n```python\nx\n```\n```",
    "open display": "So\n$$\nx = \\frac{1}{2}\n",
    "display closed by one dollar": "So $$x = 1$ it is.",
    "open bracket": "So \\[ x = 1",
    "open bracket with brackets inside": "So \\[ x = [1, 2]",
    "bracket that only closes": "x = 1 \\]",
    "wide row": "| a | b |\n|---|---|\n| 1 | 2 | 3 |",
    "header and rule of different widths": "| a | b | c |\n|---|---|\n| 1 | 2 |",
    "chinese": "于是\n$$\nx = 1\n所以答案是一。",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD.keys())
def test_good_markdown_has_no_fault(text: str) -> None:
    assert broken_markup(text) is None


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_broken_markdown_has_a_fault(text: str) -> None:
    assert broken_markup(text)


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD.keys())
def test_a_fault_is_found_behind_good_markdown(good: str) -> None:
    assert broken_markup(f"{good}\n\n{BAD['open fence']}")


def test_a_fence_becomes_a_zero_on_its_own_line() -> None:
    assert without_fences("a\n```\nb\n```\nc\n~~~\nd") == "a\n0\nc\n0"
    assert [fence.is_closed for fence in fences("a\n```\nb\n```\nc\n~~~\nd")] == [True, False]


@given(st.text(alphabet="`~$\\[]()|-: \n\tax=>*1", max_size=200))
def test_any_text_gets_an_answer(text: str) -> None:
    assert broken_markup(text) is None or broken_markup(text)
    assert without_fences(without_fences(text)) == without_fences(text)


@pytest.mark.parametrize(
    "unit", ["`", "```\n", "$", "$$ ", "\\[", "\\", "|", "|-", "| - ", " ", "> ", "-", "a\n\n", "0 "]
)
def test_time_is_linear(unit: str) -> None:
    assert_linear(broken_markup, lambda size: unit * size, 100_000 // len(unit))
