"""Multiple choice: the letter that a response settles on, in English or Chinese.

What follows the reasoning is looked at, and of it only ``<answer>`` where there is one. Linear time.
"""

from __future__ import annotations

import re
import unicodedata

from r1ray.checks import Choice
from r1ray.data.checks import LETTERS
from r1ray.reward.extract import after_think, answer_section, last_boxed
from r1ray.types import Score

_CUE = r"(?:(?i:\banswer\b|\b(?:correct|right|best)\s(?:option|choice)\b)|答案|正确选项|[故应因此以]选|本题选)"
_FILLER = (
    r"(?:[\s:=*_\"'`$(\[{\\是为选应该]|(?i:\b(?:is|are|be|would|must|should|the|correct|option|choice|letter)\b)"
    r"|(?:text|mathrm|textbf|mathbf|boxed)\{)"
)
_SAID = re.compile(
    rf"{_CUE}{_FILLER}{{0,16}}(?P<letter>[A-Z])(?![A-Za-z0-9])(?!\s{{0,4}}(?:,|、|/|&|and\b|or\b|和|或)\s{{0,4}}[A-Z]\b)"
)
"""``the answer is (B)``, ``**Answer:** B``, ``答案是B``, ``故选 C``; not ``the answer is not A`` or ``Answer: A or B``.
The last one counts."""
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|rm|bf)\b")
_MARKUP = " \t\r\n(){}[]$*_.,:;`\"'、。【】「」"
_LABELLED = re.compile(r"[(\[]?([A-Z])[)\].:、]\s*\S")
MAX_LETTER_LINE = 2000


def chosen_letter(text: str, num_options: int) -> str | None:
    r"""The letter of the last box, else of the last phrase that names an answer, else of a last line that is nothing
    but a letter; None where there is none of these, or the letter is beyond the options.

    >>> chosen_letter(r"<think>A?</think> So \boxed{\text{B}}.", 4)
    'B'
    >>> chosen_letter("综上所述,答案是 C。", 4)
    'C'
    >>> chosen_letter("The answer is E", 4) is None
    True
    """
    final = after_think(text)
    section = answer_section(final)
    final = unicodedata.normalize("NFKC", final if section is None else section)  # full-width letters and brackets
    letter = _boxed(final) or _said(final) or _last_line(final)
    return letter if letter is not None and letter in LETTERS[:num_options] else None


def choice_score(check: Choice, text: str) -> Score:
    """1 where the response settles on the right letter."""
    letter = chosen_letter(text, check.num_options)
    if letter is None:
        return Score(0.0, "no_answer", None, "no letter of an option")
    is_right = letter == check.letter
    return Score(float(is_right), "correct" if is_right else "wrong", letter)


def _boxed(final: str) -> str | None:
    boxed = last_boxed(final)
    return None if boxed is None else _bare(boxed)


def _said(final: str) -> str | None:
    letters = [match["letter"] for match in _SAID.finditer(final)]
    return letters[-1] if letters else None


def _last_line(final: str) -> str | None:
    lines = final.strip().rsplit("\n", 1)
    return _bare(lines[-1])


def _bare(text: str) -> str | None:
    """The letter of a text that is one letter, marked up or not, or a letter and its option (``B. Paris``)."""
    if len(text) > MAX_LETTER_LINE:
        return None
    plain = _WRAPPER.sub("", text).strip(_MARKUP)
    if len(plain) == 1 and plain.upper() in LETTERS:
        return plain.upper()
    labelled = _LABELLED.match(_WRAPPER.sub("", text).strip(" \t\r\n{}$*`"))
    return None if labelled is None else labelled[1]
