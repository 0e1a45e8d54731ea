r"""The final answer of a response: where it stands, and nothing else.

Text of a model goes in, the answer as it is written comes out, or None. Every function takes linear time, whatever
the text: a response of a million characters costs milliseconds.
"""

from __future__ import annotations

import re

MAX_ANSWER_CHARS = 20_000
"""Longer answers are cut: nothing that long is a right answer, and nobody downstream should have to read it."""

SPECIAL_TOKEN = "<|reasoning|>"
"""Stands for the paper's ``|special_token|`` (section 2.3.1), which was never published. Whatever is used has to
survive decoding: plain text, or a token that the tokenizer does not hold for a special one."""
_THINK, _END_THINK = "<think>", "</think>"
_ANSWER, _END_ANSWER = "<answer>", "</answer>"
_BRACE = re.compile(r"\\{1,3}boxed[ \t\n]{0,8}\{|\\[\\{}]|[{}]")
r"""What decides about nesting. ``\\boxed`` (a doubled backslash) is accepted: models write it in program text."""


def after_think(text: str) -> str:
    """What follows the last ``</think>``, or the reasoning of the cold-start pattern; the whole text where there is no
    reasoning; "" where reasoning never ends.

    >>> after_think("<think>4?</think> five")
    ' five'
    >>> after_think("<think>4?")
    ''
    >>> after_think("<|reasoning|>4?<|reasoning|> five")
    ' five'
    """
    if SPECIAL_TOKEN in text:
        before, _, rest = text.rpartition(SPECIAL_TOKEN)
        return rest if before.strip() else ""  # a prompt may have opened the reasoning already
    end = text.rfind(_END_THINK)
    rest = text[end + len(_END_THINK) :] if end >= 0 else text
    return "" if _THINK in rest else rest


def last_boxed(text: str) -> str | None:
    r"""The content of the closed ``\boxed{...}`` that opens last; None where none is closed.

    That one of nested boxes is the innermost. ``\boxed 5`` without braces and ``\fbox`` are not answers. Braces are
    matched by a stack in one pass, so 100 000 boxes that never close cost no more than other text.

    >>> last_boxed(r"\boxed{3}, no: \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    >>> last_boxed(r"\boxed{4") is None
    True
    """
    first = text.find("\\boxed")
    if first < 0:
        return None
    opened: list[tuple[int, int]] = []  # start of the content, and of its box or -1
    best_box, best_start, best_end = -1, 0, 0
    for match in _BRACE.finditer(text, max(0, first - 2)):  # what closes before the first box matters to none
        token = match.group()
        if token == "}":
            if opened:
                start, box = opened.pop()
                if box > best_box:
                    best_box, best_start, best_end = box, start, match.start()
        elif token == "{":
            opened.append((match.end(), -1))
        elif len(token) > 2:
            opened.append((match.end(), match.start()))
    return None if best_box < 0 else text[best_start:best_end].strip()


def answer_section(text: str) -> str | None:
    """What stands in the last closed ``<answer>``; None where there is none.

    >>> answer_section("<think>2+2</think><answer> 4 </answer>")
    '4'
    """
    end = text.rfind(_END_ANSWER)
    start = text.rfind(_ANSWER, 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len(_ANSWER) : end].strip()


def final_answer(text: str) -> str | None:
    r"""The answer that is judged: the last closed box after the reasoning, inside ``<answer>`` where the response has
    such a section; without a box, the section itself. None where there is neither, or it is empty.

    >>> final_answer("<think>6*7</think> <answer>42</answer>")
    '42'
    >>> final_answer(r"<think>\boxed{1}</think> So it is \boxed{42}.")
    '42'
    >>> final_answer("The answer is 42.") is None
    True
    """
    rest = after_think(text)
    section = answer_section(rest)
    boxed = last_boxed(rest if section is None else section)
    found = section if boxed is None else boxed
    return found[:MAX_ANSWER_CHARS] or None if found else None
