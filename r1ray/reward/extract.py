r"""Extraction of the final answer from a response.

Text of a model goes in, the answer as written comes out, or None. Every function takes linear time for any text: a
response of a million characters costs milliseconds.
"""

from __future__ import annotations

import re

from r1ray.data.answer_forms import BARE, BOXED, DEFAULT_FORMS, HASHES, LABEL, LINE, TAG

MAX_ANSWER_CHARS = 20_000
"""Length at which answers are cut. Nothing that long is a right answer, and no later step should have to read it."""

SPECIAL_TOKEN = "<|reasoning|>"
"""Replacement of the paper's ``|special_token|`` (section 2.3.1), which was never published. It has to survive
decoding: plain text, or a token that the tokenizer does not treat as special."""
_THINK, _END_THINK = "<think>", "</think>"
_ANSWER, _END_ANSWER = "<answer>", "</answer>"
_BRACE = re.compile(r"\\{1,3}boxed[ \t\n]{0,8}\{|\\[\\{}]|[{}]")
r"""Tokens that determine nesting. ``\\boxed`` (a doubled backslash) is accepted: models write it in program text."""
_HASHES = r"(?<!#)####(?!#)[ \t]*(?P<hashes>[^\n]*)"
_LINE = rf"^[ \t*_#>-]{{0,8}}{LABEL}[*_ ]{{0,4}}[:\uff1a][*_]{{0,2}}\s{{0,8}}(?P<line>[^\n]*)"
_ASKED = {
    frozenset({HASHES}): re.compile(_HASHES),
    frozenset({LINE}): re.compile(_LINE, re.MULTILINE),
    frozenset({HASHES, LINE}): re.compile(f"{_LINE}|{_HASHES}", re.MULTILINE),
}
_MARKUP = " \t\r\n*_`"
_BARE = re.compile(
    r"[-+\u2212]?[$\u20ac\u00a3]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?:/[0-9]+)?\s?%?"
    r"|\(?[A-Za-z]\)?|\$[^$\n]{1,80}\$"
)
MAX_BARE_LINE = 200


def after_think(text: str) -> str:
    """Return the text after the last ``</think>``, or after the reasoning of the cold-start pattern; the whole text if
    there is no reasoning; "" if the reasoning never ends.

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
    r"""Return the content of the closed ``\boxed{...}`` that opens last; None if none is closed.

    Of nested boxes it is the innermost. ``\boxed 5`` without braces and ``\fbox`` are not answers. A stack matches
    braces in one pass, so 100 000 boxes that never close cost no more than other text.

    >>> last_boxed(r"\boxed{3}, no: \boxed{\frac{1}{2}}")
    '\\frac{1}{2}'
    >>> last_boxed(r"\boxed{4") is None
    True
    """
    found = last_boxed_at(text)
    return None if found is None else text[slice(*found)].strip()


def last_boxed_at(text: str) -> tuple[int, int] | None:
    """Return the first and end index of the content of that box."""
    first = text.find("\\boxed")
    if first < 0:
        return None
    opened: list[tuple[int, int]] = []  # start of the content, and of its box or -1
    best_box, best_start, best_end = -1, 0, 0
    for match in _BRACE.finditer(text, max(0, first - 2)):  # braces that close before the first box do not matter
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
    return None if best_box < 0 else (best_start, best_end)


def answer_section(text: str) -> str | None:
    """Return the content of the last closed ``<answer>``; None if there is none.

    >>> answer_section("<think>2+2</think><answer> 4 </answer>")
    '4'
    """
    end = text.rfind(_END_ANSWER)
    start = text.rfind(_ANSWER, 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len(_ANSWER) : end].strip()


def final_answer(text: str, *, forms: frozenset[str] = DEFAULT_FORMS) -> str | None:
    r"""Return the answer to be judged, in one of the accepted forms (:mod:`r1ray.data.answer_forms`).

    Only the text after the reasoning is read, and only ``<answer>`` within it if there is one. The last ``####`` or
    ``Answer:`` line counts if the prompt asks for one, else the last closed box, else ``<answer>`` itself, else a last
    line that is only a number or a letter. None if there is none of these, if it is empty, or if two of them stand side
    by side with different answers.

    >>> final_answer("<think>6*7</think> <answer>42</answer>")
    '42'
    >>> final_answer(r"<think>\boxed{1}</think> So it is \boxed{42}.")
    '42'
    >>> final_answer("The answer is 42.") is None
    True
    >>> final_answer("6 * 7 = 42\n#### 42", forms=frozenset({"hashes"}))
    '42'
    """
    rest = after_think(text)
    section = answer_section(rest) if TAG in forms else None
    final = rest if section is None else section
    asked = _asked(final, forms)
    boxed = last_boxed(final) if asked is None and BOXED in forms else None
    found = asked if asked is not None else section if boxed is None else boxed
    if found is None and BARE in forms:
        found = _bare(final)
    return found[:MAX_ANSWER_CHARS].strip() or None if found else None


def _asked(final: str, forms: frozenset[str]) -> str | None:
    """Return the content of the last line in a requested form; None if there is none, "" if another answer stands
    beside it or after it."""
    pattern = _ASKED.get(forms & {HASHES, LINE})
    last = before = None
    for match in pattern.finditer(final) if pattern is not None else ():
        before, last = last, match
    if last is None:
        return None
    answer = _content(last)
    if before is not None and not final[before.end() : last.start()].strip() and _content(before) != answer:
        return ""
    later = last_boxed(final[last.end() :]) if BOXED in forms else None
    return answer if later is None or _plain(later) == _plain(answer) else ""


def _content(match: re.Match[str]) -> str:
    """Return the answer of a line: the content of its box if there is exactly one, else its text."""
    content = match[match.lastgroup or 0].strip(_MARKUP)
    boxed = last_boxed(content) if content.count("boxed") == 1 else None
    return content.removesuffix(".").rstrip(_MARKUP) if boxed is None else boxed


def _plain(answer: str) -> str:
    return re.sub(r"[\s$,]", "", answer)


def _bare(final: str) -> str | None:
    """Return the last line if it is only a number or a letter and the line above is not another one."""
    lines = [line.strip(_MARKUP) for line in final.strip().rsplit("\n", 8) if line.strip(_MARKUP)][-2:]
    answers = [line.removesuffix(".") for line in lines if len(line) <= MAX_BARE_LINE]
    if not answers or len(lines[-1]) > MAX_BARE_LINE or not _BARE.fullmatch(answers[-1]):
        return None
    is_hedged = len(answers) > 1 and _BARE.fullmatch(answers[0]) and _plain(answers[0]) != _plain(answers[1])
    return None if is_hedged else answers[-1]
