r"""Normalisation of spellings: full-width and Unicode signs, LaTeX synonyms, spacing and wrappers. Linear time."""

# ruff: noqa: RUF001, RUF002, SIM905 (tables of signs and words, written as they are read)

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from r1ray.reward.math.spoken import without_words
from r1ray.reward.math.typeset import typeset

_SIGNS = {
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width ASCII
    "　": " ", "\u00a0": " ", "\u2002": " ", "\u2003": " ", "\u2009": " ", "\u202f": " ", "\u2005": " ", "\u2006": " ",
    "\u200b": "", "\u200c": "", "\u200d": "", "\u2060": "", "\ufeff": "", "\u200e": "", "\u200f": "",
    "，": ",", "、": ",", "；": ";", "：": ":", "（": "(", "）": ")", "。": ".", "．": ".", "【": "[", "】": "]",
    "［": "[", "］": "]", "｛": "{", "｝": "}", "“": '"', "”": '"', "‘": "'", "’": "'", "￥": "¥", "￡": "£",
    "−": "-", "–": "-", "—": "-", "‒": "-", "‐": "-", "‑": "-", "﹣": "-", "➖": "-", "＋": "+",
    "×": r"\times ", "✕": r"\times ", "⨯": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ",
    "•": r"\cdot ", "÷": r"\div ", "∗": "*", "∕": "/", "⁄": "/", "∶": ":", "∣": "|", "ǀ": "|",
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≦": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ",
    "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "º": r"^\circ ",
    "∪": r"\cup ", "⋃": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "∖": r"\setminus ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ", "′": "'", "″": "''",
    "℃": r"^\circ\text{C}", "℉": r"^\circ\text{F}", "∧": r"\land ", "∨": r"\lor ", "∆": r"\Delta ",
    "㎝": "cm", "㎜": "mm", "㎞": "km", "㎏": "kg", "㎡": r"\text{m}^2", "㎥": r"\text{m}^3", "㎠": r"\text{cm}^2",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "…": r"\ldots ", "⋯": r"\ldots ",
    "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "ⅈ": "i", "ⅇ": "e", "≡": r"\equiv ", "→": r"\to ",
}  # fmt: skip
_GREEK = dict(zip("αβγδεζηθικλμνξρστυφχψω", (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega"
).split(), strict=True))  # fmt: skip
_GREEK |= dict(zip("ΓΔΘΛΞΣΦΨΩ", "Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega".split(), strict=True))
_SIGNS |= {letter: rf"\{name} " for letter, name in _GREEK.items()}
_FRACTIONS = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6), "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8), "⅐": (1, 7),
    "⅑": (1, 9), "⅒": (1, 10),
}  # fmt: skip
_SIGNS |= {sign: rf"\frac{{{top}}}{{{bottom}}}" for sign, (top, bottom) in _FRACTIONS.items()}
_TABLE = str.maketrans(_SIGNS)

_SUPER = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ", "0123456789+-ni", strict=True))
_SUB = dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True))
_SUPER_RUN = re.compile(f"[{''.join(_SUPER)}]+")
_SUB_RUN = re.compile(f"[{''.join(_SUB)}]+")
_ROOT = re.compile(r"√\s*(?:([0-9]+(?:\.[0-9]+)?|[A-Za-z])|(?=[({\\]|$))")
_STYLED = re.compile("[\U0001d400-\U0001d7cb]")  # letters of the mathematical alphabets; not their digits

_COMMANDS = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le",
    "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "varnothing": "emptyset", "lbrace": "{",
    "rbrace": "}", "mathrm": "text", "textbf": "text", "mathbf": "text", "textit": "text", "textrm": "text",
    "textnormal": "text", "textsf": "text", "texttt": "text", "mbox": "text", "hbox": "text", "mathit": "text",
    "mathsf": "text", "boldsymbol": "text", "bm": "text", "operatorname": "text", "emph": "text", "mathcal": "text",
    "symbf": "text", "textup": "text", "textsc": "text", "cdotp": "cdot", "ast": "cdot", "bullet": "cdot",
    "degree": "circ", "overrightarrow": "vec", "wedge": "land", "vee": "lor", "dots": "ldots", "cdots": "ldots",
    "thickapprox": "approx", "simeq": "approx", "infin": "infty", "lvert": "vert", "rvert": "vert", "backslash":
    "setminus", "smallsetminus": "setminus", "R": "mathbb{R}", "Reals": "mathbb{R}", "reals": "mathbb{R}",
    "bigcup": "cup", "bigcap": "cap", "varepsilon": "epsilon", "varphi": "phi", "vartheta": "theta",
    "lang": "langle", "rang": "rangle", "mathbbm": "mathbb",
}  # fmt: skip
_SPELLED = {"vert": "|", "lt": "<", "gt": ">", "colon": ":", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")",
            "tg": r"\tan ", "ctg": r"\cot ", "arctg": r"\arctan ", "cosec": r"\csc ", "textdegree": r"^\circ ",
            "percent": "%", "textdollar": "¤", "dollar": "¤", "euro": "€", "pounds": "£", "space": " "}  # fmt: skip
_DROPPED = frozenset(
    "left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr displaystyle textstyle "
    "scriptstyle limits nolimits rm bf it mathstrut strut nonumber "
    "large Large huge small normalsize hfill mathrel mathbin left. footnotesize LARGE Huge ensuremath underline "
    "fbox uline underbar mathop mathord".split()
)
_SPACES = frozenset("quad qquad thinspace enspace medspace thickspace nobreakspace newline".split())
_COMMAND = re.compile(r"\\(?:([A-Za-z]+)\*?|(.))", re.DOTALL)
_TEXT_OPEN = re.compile(r"\\text\s+(?=\{)")
_CIRCLE = re.compile(r"\^\s*\{\s*\\circ\s*\}|(?<!\^)(?<!\^\s)\\circ(?=\s*\\text\{[CF]\}|\s*$)")
_DIGIT_COMMA = re.compile(r"(?<=[0-9])\s*\{,\}\s*(?=[0-9]{3})")
_THIN = re.compile(r"(?<![0-9.])([0-9]{1,3})((?: [0-9]{3})+)(?![0-9])")
_SPACE_RUN = re.compile(r"\s+")
_TRAILING = " \t\r\n.,;:"
_PREFIX = re.compile(
    r"^(?:so\s+|hence\s+|thus\s+|therefore,?\s+)?(?:(?:the\s+)?(?:final\s+|correct\s+)?answer(?:\s+is)?\s*[:=]?\s*(?!s?\s*$)"
    r"|(?:最终)?答案?(?:为|是)?\s*[:=]?\s*|(?:所以|因此|故)\s*,?\s*)",
    re.IGNORECASE,
)
_BARE_BOARD = re.compile(r"\\mathbb\s*([A-Z])(?![A-Za-z])")
_CASES = re.compile(
    r"\\begin\{(?:cases|aligned|align)\*?\}((?:(?!\\(?:begin|end)\{).)*)\\end\{(?:cases|aligned|align)\*?\}", re.S
)
_ORDINAL = re.compile(
    r"(?<=[0-9])\s*(?:\^\s*\{?\s*\\text\{(?:st|nd|rd|th)\}\s*\}?|\\text\{(?:st|nd|rd|th)\}|(?:st|nd|rd|th)\b)"
)
_TIMES = re.compile(r"(?<=[0-9])\s*[xX]\s*(?=10\s*\^)")
_BUILDER = re.compile(r"\{(\s*[A-Za-z]\s*(?:\||:|\\mid).*)\}", re.DOTALL)
_SAID_NUMBER = re.compile(r"\\text\{([^{}]*[0-9][^{}]*)\}")
_POWER_IN_TEXT = re.compile(r"(\\text\{[^{}]{0,60})\^\{(-?[0-9])\}")
_FACTORIAL_EQUALS = re.compile(r"(?<=[0-9)}])\s*!\s*=")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'), ("'", "'"))

_WRAPPER_SIGNS = frozenset(start[0] for start, _ in _WRAPPERS)


def _command(match: re.Match[str]) -> str:
    name, sign = match.group(1), match.group(2)
    if name is None:
        if sign in ",;: \n\t>/":
            return " "
        return {"!": "", "%": "%", "|": "|"}.get(sign, match.group())
    if name in _DROPPED:
        return " "
    if name in _SPACES:
        return " "
    if name in _SPELLED:
        return _SPELLED[name]
    return "\\" + _COMMANDS.get(name, name)


def _is_wrapped(text: str, start: str, end: str) -> bool:
    if len(text) <= len(start) + len(end) - 1 or not (text.startswith(start) and text.endswith(end)):
        return False
    inner = text[len(start) : -len(end)]
    return start not in inner and (end not in inner)


def _unwrap(text: str) -> str:
    for _ in range(6):
        before = text
        text = text.strip().rstrip(_TRAILING)
        text = text.removesuffix("\\") if not text.endswith("\\\\") else text
        for start, end in _WRAPPERS if text[:1] in _WRAPPER_SIGNS else ():
            if _is_wrapped(text, start, end):
                text = text[len(start) : -len(end)].strip()
        if text == before:
            break
    return text


def has_foreign_digit(text: str) -> bool:
    """Return whether the text has a digit outside ASCII (full-width digits count as ASCII). Such an answer is no
    number.

    >>> has_foreign_digit("\\u0665"), has_foreign_digit("\\uff15")
    (True, False)
    """
    if text.isascii():
        return False
    return any(not "０" <= sign <= "９" and unicodedata.category(sign) == "Nd" for sign in text if sign > "\x7f")


@lru_cache(512)  # a group of answers has one reference
def clean(text: str) -> str:
    r"""Return the text in one spelling: ASCII signs, LaTeX commands without synonyms, single spaces, no wrapper. ``¤``
    stands for the dollar sign of money.

    >>> clean(r"$\left(\dfrac{1}{2},\,３\right)$")
    '(\\frac{1}{2}, 3 )'
    >>> clean("x ≤ 2π.")
    'x \\le 2\\pi'
    """
    text = _unwrap(text.replace("\\$", "¤"))
    if not text.isascii():
        text = _STYLED.sub(lambda match: unicodedata.normalize("NFKC", match.group()), text)
        text = _SUPER_RUN.sub(lambda match: "^{" + "".join(_SUPER[sign] for sign in match.group()) + "}", text)
        text = _SUB_RUN.sub(lambda match: "_{" + "".join(_SUB[sign] for sign in match.group()) + "}", text)
        text = _ROOT.sub(lambda match: rf"\sqrt{{{match.group(1)}}}" if match.group(1) else r"\sqrt ", text)
        text = _unwrap(text.translate(_TABLE))
    text = _COMMAND.sub(_command, typeset(text))
    text = _TEXT_OPEN.sub(r"\\text", text)
    if "^{" in text:
        text = _POWER_IN_TEXT.sub(r"\1^\2", _POWER_IN_TEXT.sub(r"\1^\2", text))
    if "mathbb" in text:
        text = _BARE_BOARD.sub(r"\\mathbb{\1}", text)
    text = _FACTORIAL_EQUALS.sub("! =", text)
    text = _CIRCLE.sub(r"^\\circ ", text)
    text = _DIGIT_COMMA.sub("", text)
    text = _CASES.sub(lambda match: match.group(1).replace("\\\\", " , ").replace("&", " "), text.replace("~", " "))
    text = _ORDINAL.sub("", text)
    text = _TIMES.sub(r"\\times ", text)
    text = _SPACE_RUN.sub(" ", text).strip()
    text = _THIN.sub(lambda match: match.group(1) + match.group(2).replace(" ", ""), text)
    text = without_words(_PREFIX.sub("", text, count=1))
    text = _unwrap(_outer_braces(_unwrap(text))).replace("$", "¤")
    said = _SAID_NUMBER.fullmatch(text)
    return _unwrap(said.group(1)) if said else text


def _outer_braces(text: str) -> str:
    """Return the text without any number of braces or doubled round brackets around the whole of it."""
    if builder := _BUILDER.fullmatch(text):
        return rf"\{{{builder.group(1)}\}}"
    for start, end in (("{", "}"), ("(", ")")):
        depth = min(len(text) - len(text.lstrip(start)), len(text) - len(text.rstrip(end)))
        inner = text[depth : len(text) - depth]
        if depth and not any(sign in inner for sign in "{}()\\"):
            keep = 1 if start == "(" else 0
            text = start * min(keep, depth) + inner + end * min(keep, depth)
    return text
