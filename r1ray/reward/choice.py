"""Multiple choice: the letter that a response settles on, in English or Chinese.

What follows the reasoning is looked at, and of it only ``<answer>`` where there is one. Linear time.
"""

from __future__ import annotations

import re
import unicodedata

from r1ray.checks import Choice
from r1ray.data.answer_forms import DEFAULT_FORMS, HASHES
from r1ray.data.checks import LETTERS
from r1ray.reward.extract import after_think, answer_section, last_boxed
from r1ray.types import Score

_CUE = r"(?:(?i:\banswer\b|\b(?:correct|right|best)\s(?:option|choice)\b)|答案|正确选项|[故应因此以]选|本题选)"
_FILLER = (
    r"(?:[\s:=*_\"'`$(\[{\\是为选应该]|(?i:\b(?:is|are|be|would|must|should|the|correct|option|choice|letter)\b)"
    r"|(?:text|mathrm|textbf|mathbf|boxed)\{)"
)
_SAID = re.compile(rf"{_CUE}{_FILLER}{{0,16}}(?P<letter>[A-Z])(?![A-Za-z0-9])")
"""``the answer is (B)``, ``**Answer:** B``, ``答案是B``, ``故选 C``; not ``the answer is not A``.
The last one counts."""
_HASHES = re.compile(r"(?<!#)####(?!#)[ \t]*(?P<rest>[^\n]*)")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf|rm|bf)\b")
_MARKUP = " \t\r\n(){}[]$*_.,:;`\"'、。【】「」"
_LABELLED = re.compile(r"[(\[]?([A-Z])[)\].:、]\s*\S")
_ANOTHER = re.compile(
    r"[\s)\]}*_$]{0,6}(?:"
    r"(?:[,(\[/&|、;]\s{0,3}){0,2}(?:(?i:or|and|maybe|perhaps|possibly|alternatively)\b[\s(\[*]{1,6}|(?:和|或者?|及)[\s(\[*]{0,6})"
    r"(?i:maybe |perhaps |possibly |option |also )?(?P<joined>[A-Z])\b(?!['\u2019])"
    r"|[,(\[/&|、;]\s{0,3}\(?(?P<listed>[A-Z])\b(?!['\u2019]|\s(?!and\b|or\b)[a-z]))"
)
"""Another letter that follows on one with nothing between but a conjunction or a comma: ``(or A, C)``."""
_WRONG = r"(?:wrong|incorrect|false\b|impossible|ruled out|eliminated|excluded|out\b|a distractor)"
_VERB = r"(?:is|was|would be|seems|looks|must be)(?:\s(?:clearly|also|obviously|definitely|certainly))?\s{0,3}"
_DENIED = re.compile(
    rf"[\s)\]}}{{*_$,.:;]{{0,6}}(?i:{_VERB}(?:{_WRONG}|(?:not\s|n['\u2019]?t\s)"
    r"(?:correct|right|true|valid|the answer|it\b)))"
    rf"|[\s)\]}}{{*_$,]{{0,6}}(?i:{_VERB}(?:not\b|n['\u2019]?t\b)|(?:isn|wasn|can|couldn|won)['\u2019]?t\b|cannot\b"
    r"|\((?:wrong|incorrect|not correct|错误)\))"
    r"|[\s)\]}*_$,]{0,6}(?:选项)?(?:是|为)?(?:错|不对|不正确|不是|不成立|排除)"
)
"""The letter is taken back: ``(A) is wrong``. ``B. False`` is an option with its text."""
_JOINT = re.compile(r"\b(?:the|final|my|or|and)\b", re.IGNORECASE)
MAX_LETTER_LINE = 2000


def chosen_letter(text: str, num_options: int, *, forms: frozenset[str] = DEFAULT_FORMS) -> str | None:
    r"""The letter of the last ``####`` line if the prompt asks for one, else of the last box, else of the last phrase
    that names an answer, else of a last line that is nothing but a letter or an option; None where there is none of
    these, where another letter stands beside it or it is taken back, or where it is beyond the options.

    >>> chosen_letter(r"<think>A?</think> So \boxed{\text{B}}.", 4)
    'B'
    >>> chosen_letter("综上所述,答案是 C。", 4)
    'C'
    >>> chosen_letter("The answer is E", 4) is None
    True
    >>> chosen_letter("B (or A, C, D)", 4) is None
    True
    """
    final = after_think(text)
    section = answer_section(final)
    final = unicodedata.normalize("NFKC", final if section is None else section)  # full-width letters and brackets
    options = LETTERS[:num_options]
    for said in (_hashes(final) if HASHES in forms else None, _boxed(final), _said(final, options), _last_line(final)):
        if said is not None:
            letter, rest = said
            return letter if letter and letter in options and not _is_taken_back(rest, options) else None
    return None


def choice_score(check: Choice, text: str, *, forms: frozenset[str] = DEFAULT_FORMS) -> Score:
    """1 where the response settles on the right letter."""
    letter = chosen_letter(text, check.num_options, forms=forms)
    if letter is None:
        return Score(0.0, "no_answer", None, "no letter of an option")
    is_right = letter == check.letter
    return Score(float(is_right), "correct" if is_right else "wrong", letter)


def _is_taken_back(rest: str, options: str) -> bool:
    """Whether what follows a letter offers another one, or denies it."""
    another = _ANOTHER.match(rest)
    offered = another and (another["joined"] or another["listed"])
    return bool(offered and offered in options) or _DENIED.match(rest) is not None


def _hashes(final: str) -> tuple[str, str] | None:
    found = list(_HASHES.finditer(final))
    return _bare(found[-1]["rest"]) if found else None


def _boxed(final: str) -> tuple[str, str] | None:
    boxed = last_boxed(final)
    return None if boxed is None else _bare(boxed)


def _said(final: str, options: str) -> tuple[str, str] | None:
    """The last letter that is said to be the answer, and what follows on its line; no letter where the phrase before it
    says another one and nothing stands between."""
    found = list(_SAID.finditer(final))
    if not found:
        return None
    last = found[-1]
    rest = final[last.end() : last.end() + MAX_LETTER_LINE].split("\n", 1)[0]
    if len(found) > 1 and found[-2]["letter"] != last["letter"]:
        between = final[found[-2].end() : last.start()]
        if len(between) < MAX_LETTER_LINE and not re.sub(r"(?i)\b(?:the|final|my|or|and)\b", "", between).strip(
            _MARKUP
        ):
            return "", rest
    return last["letter"], rest


def _last_line(final: str) -> tuple[str, str] | None:
    """The letter of the last line. A line of a list of options is no answer, unless it was there before."""
    lines = [line.strip() for line in final.splitlines() if line.strip()]
    found = _bare(lines[-1]) if lines else None
    if found is None:
        return None
    others = [before for before in map(_bare, lines[-2:-1]) if before is not None and before[0] != found[0]]
    is_restated = lines[-1] in lines[:-1] and bool(found[1])
    return ("", "") if others and not is_restated and bool(others[0][1]) == bool(found[1]) else found


def _bare(text: str) -> tuple[str, str] | None:
    """The letter of a text that is one letter, marked up or not, or a letter and its option (``B. Paris``), and what
    follows it; no letter where a second option follows (``A. Paris B. Rome``)."""
    if len(text) > MAX_LETTER_LINE:
        return None
    plain = _WRAPPER.sub("", text).strip(_MARKUP)
    if len(plain) == 1 and plain.upper() in LETTERS:
        return plain.upper(), ""
    shown = _WRAPPER.sub("", text).strip(" \t\r\n{}$*`")
    labelled = _LABELLED.match(shown)
    if labelled is None:
        return None
    rest = shown[labelled.end(1) :]
    letters = {match[1] for match in re.finditer(r"(?<![A-Za-z0-9'\u2019])[(\[]?([A-H])[)\].:、](?=\s*\S)", rest[1:])}
    return ("", "") if letters - {labelled[1]} else (labelled[1], rest)
