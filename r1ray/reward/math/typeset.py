r"""Commands that only typeset an answer: colours, space, units and fractions. Applied before ``normalise``."""

from __future__ import annotations

import re

_UNUSUAL = re.compile(
    r"phantom|space|skip|label|tag|lap|smash|color|\\SI|\\qty|\\num|[0-9][_'][0-9]|/(?:\\!|\s)*_|[CP]_|choose|\]\s*\^"
    r"|\)\s*\^|[0-9}]\s*\\(?:text|mathrm)\s*\{\s*[eE]\s*\}"
)
"""Signs of typesetting commands. Texts without any of them skip the rules."""
_UNSEEN = re.compile(
    r"\\(?:[hv]?phantom|[hv]space|[hv]skip|label|tag|llap|rlap|smash)\*?\s*\{(?:[^{}]|\{[^{}]{0,100}\}){0,300}\}"
)
"""Commands that print nothing or no part of the value."""
_COLOURS = re.compile(r"\\(?:textcolor|color|colorbox|fcolorbox)\s*(?:\[[^\[\]]{0,20}\])?\s*\{[^{}]{0,40}\}")
_SIUNITX = re.compile(r"\\(?:SI|qty)\s*\{([^{}]{0,80})\}\s*\{([^{}]{0,80})\}|\\num\s*\{([^{}]{0,80})\}")
_GROUPS = re.compile(r"(?<![0-9A-Za-z_.])[0-9]{1,3}(?:[_'][0-9]{3})+(?![0-9_'])")
_NICE_FRACTION = re.compile(
    r"(?:\{\s*\}\s*)?\^\s*\{?\s*([0-9]{1,9})\s*\}?\s*(?:\\!\s*)*/\s*(?:\\!\s*)*_\s*\{?\s*([0-9]{1,9})\s*\}?"
)
_SAID_EXPONENT = re.compile(r"(?<=[0-9])\s*\\(?:text|mathrm)\s*\{\s*[eE]\s*\}\s*\{?\s*([-+]?[0-9]{1,6})\s*\}?")
_CHOOSE = re.compile(r"\{\s*([0-9A-Za-z]{1,5})\s*\\choose\s*([0-9A-Za-z]{1,5})\s*\}")
_PRESCRIPT = re.compile(r"(?:\{\s*\})?\s*[_^]\s*\{?([0-9]{1,4})\}?\s*([CP])_\{?([0-9]{1,4})\}?")
_TRANSPOSED = re.compile(
    r"[\[(]([^\[\]()]{1,200},[^\[\]()]{1,200})[\])]\s*\^\s*\{?\s*(?:T|\\top|\\text\{\s*T\s*\}|\\intercal)\s*\}?"
)


def typeset(text: str) -> str:
    r"""Return the text without colours and invisible parts, with its numbers in plain form.

    >>> typeset(r"\textcolor{red}{1_000} ^3/_4")
    ' {1000} \\frac{3}{4}'
    """
    if not _UNUSUAL.search(text):
        return text
    text = _COLOURS.sub(" ", _UNSEEN.sub(" ", text))
    text = _SIUNITX.sub(_siunitx, text)
    text = _GROUPS.sub(lambda match: match.group().replace("_", "").replace("'", ""), text)
    text = _SAID_EXPONENT.sub(r"e\1", _CHOOSE.sub(r"\\binom{\1}{\2}", text))
    text = _TRANSPOSED.sub(r"(\1)", _PRESCRIPT.sub(r"\2_{\1}^{\3}", text))
    return _NICE_FRACTION.sub(r"\\frac{\1}{\2}", text)


def _siunitx(match: re.Match[str]) -> str:
    if match.group(3) is not None:
        return match.group(3)
    unit = re.sub(r"\\per\s*", "/", match.group(2)).replace(r"\squared", "^2").replace(r"\cubed", "^3")
    words = re.sub(r"[\\~]", " ", unit.replace(r"\square", "square ").replace(r"\cubic", "cubic ")).strip()
    return match.group(1) + r"\text{ " + words + "}"
