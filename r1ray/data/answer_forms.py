r"""Forms in which a prompt asks for its answer, found in its own text.

    "... output the final answer after ####" --answer_forms--> {boxed, tag, hashes}

``\boxed{}`` and ``<answer>`` are accepted for any prompt, unless ``reward.answer_forms`` leaves them out.
"""

from __future__ import annotations

import functools
import re

BOXED, TAG, HASHES, LINE, BARE = "boxed", "tag", "hashes", "line", "bare"
DEFAULT_FORMS = frozenset({BOXED, TAG})

_QUOTE = "[\"'`*\u201c\u201d\u2018\u2019(\\[{<$]"
_HASHES = re.compile(
    rf"{_QUOTE}\s?(?<!#)####(?!#)|(?<!#)####\s*(?:-?[0-9]|\.\.\.|(?i:{_QUOTE}*\s?(?:the|your|final|answer|number|result)\b))"
    r"|(?i:\b(?:after|following|behind|with|by|use|using|put|prefix|format|form|marker|separator|delimiter)\b)"
    r"[^\n#.]{0,40}####(?!#)"
)
r"""Hashes that are quoted, stand before a number or a placeholder, or are named by an instruction. ``#### Problem`` is
a heading."""
LABEL = (
    "(?:(?i:(?:(?:my|the|your) )?(?:final |correct )?(?:answer|solution|antwort|resposta|respuesta|r\u00e9ponse|vastaus"
    "|risposta|\u043e\u0442\u0432\u0435\u0442))|(?:\u6700\u7ec8)?\u7b54\u6848|\u7b54\u3048|\uc815?\ub2f5"
    "|\u0909\u0924\u094d\u0924\u0930|\u0627\u0644\u0625\u062c\u0627\u0628\u0629)"
)
"""``Answer`` in the languages of the data."""
_LINE = re.compile(rf"(?<!\w){LABEL}[*_ ]{{0,4}}[:\uff1a]")
_CUE = re.compile(
    rf"(?:(?<!\w){LABEL}|\bA)[*_ ]{{0,4}}[:\uff1a](?:\s|\*|<\|[^|<>]{{0,40}}\|>|</s>|\[/INST\]|assistant)*\Z"
)
"""Words at the end of a prompt, chat markup aside, after which the answer comes next."""
_VERB = r"\b(?:answer|respond|reply|output|give|return|write|provide|print|state|end|finish|report)\b"
_NOUN = r"\b(?:letter|number|integer|digits?|option|choice|value|numeral|answer|result)\b"
_ONLY = r"\b(?:only|just|single|solely|nothing but|alone|nothing else|without explanation)\b"
_BARE = re.compile(
    rf"{_VERB}[^.\n]{{0,60}}{_ONLY}[^.\n]{{0,40}}{_NOUN}|{_VERB}[^.\n]{{0,60}}{_NOUN}[^.\n]{{0,40}}{_ONLY}"
    "|\u53ea(?:\u9700|\u8981|\u9700\u8981)?(?:\u8f93\u51fa|\u56de\u7b54|\u7ed9\u51fa|\u5199\u51fa?|\u56de\u590d)"
    "[^\u3002\\n]{0,20}(?:\u7b54\u6848|\u6570\u5b57|\u5b57\u6bcd|\u9009\u9879|\u7ed3\u679c)",
    re.IGNORECASE,
)
_LAST_LINE = re.compile(
    rf"\b(?:last|final) line\b[^.\n]{{0,80}}{_NOUN}|{_NOUN}[^.\n]{{0,80}}\b(?:last|final|own|separate) line\b"
    "|\u6700\u540e\u4e00\u884c",
    re.IGNORECASE,
)


@functools.lru_cache(maxsize=4096)
def answer_forms(prompt_text: str) -> frozenset[str]:
    """Return the forms in which an answer to a prompt is accepted.

    >>> sorted(answer_forms('Think, then put the number after "####".') - DEFAULT_FORMS)
    ['hashes']
    >>> sorted(answer_forms("What is 3+4? Reply with the number only.") - DEFAULT_FORMS)
    ['bare']
    """
    forms = set(DEFAULT_FORMS)
    if _HASHES.search(prompt_text):
        forms.add(HASHES)
    is_cue = _CUE.search(prompt_text[-200:]) is not None
    if len(_LINE.findall(prompt_text)) > is_cue:
        forms.add(LINE)
    is_last_line = forms == DEFAULT_FORMS and _LAST_LINE.search(prompt_text) is not None
    if is_cue or is_last_line or _BARE.search(prompt_text):
        forms.add(BARE)
    return frozenset(forms)
