"""Multiple choice: the letter that a response settles on, in English or Chinese.

Only the text after the reasoning is read, and only ``<answer>`` within it if there is one. Linear time.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import NamedTuple

from r1ray.checks import Choice
from r1ray.data.answer_forms import DEFAULT_FORMS, HASHES
from r1ray.data.checks import LETTERS
from r1ray.reward.extract import after_think, answer_section, last_boxed_at
from r1ray.types import Score

_CUE = r"(?:(?i:\banswer\b|\b(?:correct|right|best)\s(?:option|choice)\b)|答案|正确选项|[故应因此以]选|本题选)"
_FILLER = (
    r"(?:[\s:=*_\"'`$(\[{\\是为选应该]|(?i:\b(?:is|are|be|would|must|should|the|correct|option|choice|letter)\b)"
    r"|(?:text|mathrm|textbf|mathbf|boxed)\{)"
)
_SAID = re.compile(rf"{_CUE}{_FILLER}{{0,16}}(?P<letter>[A-Z])(?![A-Za-z0-9])")
"""Phrases such as ``the answer is (B)``, ``**Answer:** B``, ``答案是B``, ``故选 C``; not ``the answer is not A``.
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
"""Another letter after the first one, with only a conjunction or a comma between them: ``(or A, C)``."""
_WRONG = r"(?:wrong|incorrect|false\b|impossible|ruled out|eliminated|excluded|out\b|a distractor)"
_VERB = r"(?:is|was|would be|seems|looks|must be)(?:\s(?:clearly|also|obviously|definitely|certainly))?\s{0,3}"
_DENIED = re.compile(
    rf"[\s)\]}}{{*_$,.:;]{{0,6}}(?i:{_VERB}(?:{_WRONG}|(?:not\s|n['\u2019]?t\s)"
    r"(?:correct|right|true|valid|the answer|it\b)))"
    rf"|[\s)\]}}{{*_$,]{{0,6}}(?i:{_VERB}(?:not\b|n['\u2019]?t\b)|(?:isn|wasn|can|couldn|won)['\u2019]?t\b|cannot\b"
    r"|\((?:wrong|incorrect|not correct|错误)\))"
    r"|[\s)\]}*_$,]{0,6}(?:选项)?(?:是|为)?(?:错|不对|不正确|不是|不成立|排除)"
)
"""Text that takes the letter back: ``(A) is wrong``. ``B. False`` is an option with its text."""
_JOINT = re.compile(r"\b(?:the|final|my|or|and)\b|[和或及者]", re.IGNORECASE)
_LEAD = re.compile(
    r"[-*\u2022\s]*(?:(?i:(?:or|and|maybe|perhaps|possibly|alternatively|also)\b)[\s:,]*|(?:和|或者?|及)\s*)?"
)
"""Bullets and conjunctions in front of an option on a line of its own."""
_LABEL = re.compile(r"(?<![A-Za-z0-9'\u2019])[(\[]?([A-Z])[)\].:、](?=\s*\S)")
_NO_INITIALS = frozenset("ABCDEFGH")
"""Letters that may be a second option within the text of an option: ``B. The U.S.`` is one option."""
MAX_LETTER_LINE = 2000


class Said(NamedTuple):
    """A letter that a response names as its answer, with the text that follows it."""

    letter: str
    """The letter; empty if several are given."""
    rest: str = ""
    """Text after the letter on its line or in its box."""
    after: str = ""
    """The lines after that."""


def chosen_letter(text: str, num_options: int, *, forms: frozenset[str] = DEFAULT_FORMS) -> str | None:
    r"""Return the letter of the last ``####`` line if the prompt asks for one, else of the last box, else of the last
    phrase that names an answer, else of a last line that is only a letter or an option. None if there is none of these,
    if another letter is given beside it, if it is taken back, if it begins a list of the options, or if it is not a
    letter of an option.

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
            return said.letter if _is_settled(said, options) else None
    return None


def choice_score(check: Choice, text: str, *, forms: frozenset[str] = DEFAULT_FORMS) -> Score:
    """Return a score of 1 if the response settles on the right letter."""
    letter = chosen_letter(text, check.num_options, forms=forms)
    if letter is None:
        return Score(0.0, "no_answer", None, "no letter of an option")
    is_right = letter == check.letter
    return Score(float(is_right), "correct" if is_right else "wrong", letter)


def _is_settled(said: Said, options: str) -> bool:
    """Return whether the response settles on one letter of the options."""
    if not said.letter or said.letter not in options:
        return False
    return not _is_taken_back(said.rest, options) and not _begins_list(said, options)


def _is_taken_back(rest: str, options: str) -> bool:
    """Return whether the text after a letter offers another one or denies it."""
    another = _ANOTHER.match(rest)
    offered = another and (another["joined"] or another["listed"])
    return bool(offered and offered in options) or _DENIED.match(rest) is not None


def _begins_list(said: Said, options: str) -> bool:
    """Return whether a letter is only the first of a list: ``A. Paris B. Rome`` up to the last option, or line by line.
    An explanation of the other options in a separate paragraph is no list."""
    following = options[options.index(said.letter) + 1 :]
    if following and "".join(match[1] for match in _LABEL.finditer(said.rest, 1) if match[1] in options) == following:
        return True
    stripped = said.after.lstrip()
    offered = _option(stripped[: MAX_LETTER_LINE + 1].split("\n", 1)[0])
    if offered is None or offered.letter == said.letter or (offered.letter and offered.letter not in options):
        return False
    if not offered.rest:
        return True
    if not said.rest.strip(_MARKUP) or _DENIED.match(offered.rest):
        return False
    is_apart = said.after[: len(said.after) - len(stripped)].count("\n") > 1
    return not is_apart or offered.letter == following[:1]


def _hashes(final: str) -> Said | None:
    """Return the letter of the last line with hashes; no letter if the one above it names another."""
    found = list(_HASHES.finditer(final))
    bare = _bare(found[-1]["rest"]) if found else None
    if bare is None:
        return None
    other = _bare(found[-2]["rest"]) if len(found) > 1 else None
    if other is not None and other.letter != bare.letter and not final[found[-2].end() : found[-1].start()].strip():
        return Said("")
    return bare._replace(after=final[found[-1].end() :])


def _boxed(final: str) -> Said | None:
    """Return the letter of the last box; no letter if a box with another one stands beside it."""
    last = last_boxed_at(final)
    bare = None if last is None else _bare(final[slice(*last)])
    if last is None or bare is None:
        return None
    start = final.rindex("\\boxed", 0, last[0])
    before = last_boxed_at(final[:start])
    if before is not None and _is_nothing(final[before[1] + 1 : start]):
        other = _bare(final[slice(*before)])
        if other is not None and other.letter != bare.letter:
            return Said("")
    line, _, after = final[last[1] + 1 :].partition("\n")
    return bare._replace(after=f"\n{after}") if not line.strip(_MARKUP) else bare


def _said(final: str, options: str) -> Said | None:
    """Return the last letter that is said to be the answer, and the text after it. No letter if the phrase directly
    before it says another one."""
    found = list(_SAID.finditer(final))
    if not found:
        return None
    last = found[-1]
    rest = final[last.end() : last.end() + MAX_LETTER_LINE].split("\n", 1)[0]
    if len(found) > 1 and found[-2]["letter"] != last["letter"] and _is_nothing(final[found[-2].end() : last.start()]):
        return Said("", rest)
    return Said(last["letter"], rest, final[last.end() + len(rest) :])


def _is_nothing(between: str) -> bool:
    """Return whether only conjunctions and markup stand between two letters."""
    return len(between) < MAX_LETTER_LINE and not _JOINT.sub("", between).strip(_MARKUP)


def _last_line(final: str) -> Said | None:
    """Return the letter of the last line. Options on the lines above it form a list. The answer is then a bare letter
    below the list, or the only one of its lines that is repeated."""
    lines = [line.strip() for line in final.splitlines() if line.strip()]
    found = _bare(lines[-1]) if lines else None
    if found is None:
        return None
    above: list[Said] = []
    for line in reversed(lines[:-1]):
        option = _option(line.lstrip("#"))
        if option is None:
            break
        above.append(option)
    others = [option for option in above if option.letter != found.letter]
    if not others:
        return found
    counts = Counter(option.letter for option in [found, *above])
    is_named = not found.rest or [letter for letter, count in counts.items() if count > 1] == [found.letter]
    return found if is_named and all(option.rest for option in others) else Said("")


def _option(line: str) -> Said | None:
    """Return the option of a line, which may begin with a bullet or a conjunction."""
    lead = _LEAD.match(line[:MAX_LETTER_LINE])
    return _bare(line[lead.end() :] if lead else line)


def _bare(text: str) -> Said | None:
    """Return the letter of a text that is one letter, marked up or not, or a letter and its option (``B. Paris``), with
    the text after it. No letter if a second option follows (``A. Paris B. Rome``)."""
    if len(text) > MAX_LETTER_LINE:
        return None
    plain = _WRAPPER.sub("", text).strip(_MARKUP)
    if len(plain) == 1 and plain.upper() in LETTERS:
        return Said(plain.upper())
    shown = _WRAPPER.sub("", text).strip(" \t\r\n{}$*`")
    labelled = _LABELLED.match(shown)
    if labelled is None:
        return None
    rest = shown[labelled.end(1) :]
    letters = {match[1] for match in _LABEL.finditer(rest[1:])} & _NO_INITIALS
    return Said("", rest) if letters - {labelled[1]} else Said(labelled[1], rest)
