"""Search for unusable reference answers when the data are loaded. No computer algebra is imported."""

from __future__ import annotations

import re

from r1ray.reward.math.normalise import clean, has_foreign_digit

MAX_REFERENCE_CHARS = 2000
_ARGUMENTS = re.compile(
    r"\\(?:frac|binom)\s*(?:$|[}&,;=])|\\(?:frac|sqrt|binom)\s*\{\s*\}|\\sqrt\s*(?:\[[^\]]*\])?\s*(?:$|[}&,;=])"
)
_SOMETHING = re.compile(r"[0-9A-Za-z\u3400-\u9fff]|\\(?:infty|emptyset|pi)")
_MISSING = frozenset(("none", "null", "nan", "n/a", "na", "unknown", "[]", "{}"))
_BROKEN_SIGN = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f]")
_NESTING = re.compile(r"\\.|[{}]", re.DOTALL)


def reference_problem(reference: str) -> str | None:
    r"""Return the reason why no answer can be judged by this reference; None if one can.

    >>> reference_problem(r"\frac{1}{2}") is None
    True
    >>> reference_problem(r"\frac{1}{2")
    'its braces do not match'
    """
    if len(reference) > MAX_REFERENCE_CHARS:
        return f"it has {len(reference)} characters, more than {MAX_REFERENCE_CHARS}"
    if not reference.strip():
        return "it is empty"
    if _BROKEN_SIGN.search(reference):
        return "it has control characters or characters that were lost in decoding"
    if reference.strip().lower() in _MISSING and reference.strip() != "None":
        return f"it says {reference.strip()!r}, which is no answer"
    if not _braces_match(reference):
        return "its braces do not match"
    if reference.count(r"\begin{") != reference.count(r"\end{"):
        return r"its \begin and \end do not match"
    text = clean(reference)
    if not _SOMETHING.search(text):
        return "nothing is left of it without punctuation"
    if has_foreign_digit(text):
        return "it has digits other than 0 to 9"
    if _ARGUMENTS.search(text):
        return "a fraction, root or binomial in it lacks its arguments"
    return None


def _braces_match(text: str) -> bool:
    depth = 0
    for match in _NESTING.finditer(text):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if depth < 0:
            return False
    return depth == 0
