"""Reference answers: the answer that a column gives, or the reason why it gives none.

A reference is a text or a number that a response can be compared with. An object, a list, a program or a JSON text
belongs to another layout (MalformedRow). A row with a proof, prose or the mark of a missing answer cannot judge
anything (UnusableRow).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from r1ray.checks import Check, MathAnswer
from r1ray.data.checks import MalformedRow, UnusableRow, is_absent
from r1ray.data.layouts.values import kind_of, structure_in, value_of

MAX_WORDS = 12
"""Most words outside formulas of an answer. A longer text is a solution."""
MISSING = frozenset(
    ("proof", "notfound", "not found", "n/a", "na", "nan", "null", "unknown", "tbd", "see solution", "no answer")
)
"""Words that data sets have in place of a missing answer (NuminaMath-1.5: ``proof``, ``notfound``)."""
_PROGRAM = re.compile(
    r"^[ \t]*(?:def \w+\s*\(.*|class \w+.*[:{]|(?:import|from) [\w.]+(?: import [\w., *()]+)?(?: as \w+)?;?|assert\b.*"
    r"|print\s*\(.*\);?|#include\s*[<\"].*|using namespace \w+;|public (?:static |class ).*|function \w+\s*\(.*|```.*"
    r"|(?:const|let|var) \w+ = .*;)[ \t]*$",
    re.MULTILINE,
)
"""Lines of programs in Python, C++, Java and JavaScript."""
_STATEMENT = re.compile(
    r"\s*(?:(?:theorem|lemma|example)\b.{1,4000}:=|SELECT\b.+\bFROM\b|select\b.+\bfrom \w)", re.DOTALL
)
"""The beginning of a statement in Lean, or of a query."""
_COMMENTS = re.compile(r"(?:\s*(?:#(?!include)|//).*\n)*\s*")
_FORMULA = re.compile(r"\$\$.*?\$\$|\$[^$]*\$|\\\(.{0,400}?\\\)|\\\[.{0,400}?\\\]|\\[A-Za-z]+", re.DOTALL)
_WORD = re.compile(r"[A-Za-z\u00c0-\u024f]{2,}")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_SENTENCES = re.compile(r"[.!?]\s+[A-Z]|[\u3002\uff01\uff1f].")


def answered(*names: str) -> Callable[[Mapping[str, Any]], Check]:
    """Return a reader of the first of some columns that has a value, as the answer to a question of mathematics."""

    def read(row: Mapping[str, Any]) -> Check:
        name = next((name for name in names if value_of(row, name) is not None), names[0])
        return MathAnswer(reference(value_of(row, name), column=name))

    return read


def reference(value: Any, *, column: str) -> str:
    r"""Return the answer that a value gives; "" if it gives none.

    Raises MalformedRow and UnusableRow as described in the module's docstring.

    >>> reference("so 5 + 3 = 8\n#### 8", column="answer"), reference(["4"], column="answer")
    ('8', '4')
    """
    if is_absent(value):
        return ""
    if isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], list | tuple):
        return reference(value[0], column=column)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise MalformedRow(f"{column} is {kind_of(value)}: needs an answer, a text or a number")
    return _from_text(value.strip(), column)


def _from_text(text: str, column: str) -> str:
    found = structure_in(text)
    if isinstance(found, list) and any(isinstance(item, str | dict | list) for item in found):
        return reference(found if len(found) == 1 else tuple(found), column=column)  # [1, 2] may be an interval, too
    if isinstance(found, dict):
        raise MalformedRow(f"{column} is the text of {kind_of(found)}: needs an answer, a text or a number")
    answer = final_answer(text)
    if is_program(answer):
        raise MalformedRow(f"{column} is the source of a program: needs an answer")
    if answer.lower().strip(" .$") in MISSING:
        raise UnusableRow(f"{column} is {answer!r}, which is no answer")
    if is_prose(answer):
        raise UnusableRow(f"{column} is prose or a proof without a final answer: {answer[:40]!r}...")
    return answer


def is_program(text: str) -> bool:
    r"""Return whether a text is the source of a program or a query, and not prose that quotes one.

    >>> is_program("n = int(input())\nprint(n)"), is_program("Select 3 balls from the urn.")
    (True, False)
    """
    start = _COMMENTS.match(text)
    assert start is not None, "it matches everywhere"
    if _STATEMENT.match(text) or _PROGRAM.match(text, start.end()):
        return True
    return _PROGRAM.search(text) is not None and not is_prose(text)


def is_prose(text: str) -> bool:
    r"""Return whether a text consists of sentences and is not an answer.

    >>> is_prose(r"\text{even}, since $n = 2k$"), is_prose("Since x = y, both are equal. This completes the proof.")
    (False, True)
    """
    plain = _FORMULA.sub(" ", text)
    num_words = len(_WORD.findall(plain)) + len(_IDEOGRAPHS.findall(plain)) // 2
    is_sentence = num_words >= 5 and text.rstrip().endswith((".", "\u3002"))
    return num_words > MAX_WORDS or is_sentence or (num_words >= 5 and bool(_SENTENCES.search(plain)))


def final_answer(solution: str) -> str:
    r"""Return the answer in a worked solution: the text after ``####`` (GSM8K), else the last ``\boxed{}``.

    >>> final_answer("so 5 + 3 = 8\n#### 8"), final_answer(r"thus \boxed{\frac{1}{2}}"), final_answer("42")
    ('8', '\\frac{1}{2}', '42')
    """
    if "####" in solution:
        return solution.rsplit("####", 1)[1].strip()
    start = solution.rfind("\\boxed{")
    if start < 0:
        return solution.strip()
    depth, begin = 1, start + len("\\boxed{")
    for end in range(begin, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[end], 0)
        if depth == 0:
            return solution[begin:end].strip()
    return ""
