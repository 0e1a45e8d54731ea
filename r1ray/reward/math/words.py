r"""Answers that are words or choice letters: ``Monday``, ``\text{(C)}``, ``选项B``, ``no solution``."""

from __future__ import annotations

import re

_TEXT = re.compile(r"\\text\{([^{}]*)\}")
_HAN = re.compile(r"[\u3400-\u9fff]")
_NOT_LETTER = re.compile(r"[^0-9a-z\u3400-\u9fff]+")
_SIGNED = re.compile(r"[\^_<>=\\/*|+%]|(?<![a-z0-9\u3400-\u9fff])-|-(?![a-z\u3400-\u9fff])")
"""Signs that change the meaning of a word: ``-\\infty``, ``\\mathbb{R}^+``."""
_FORMULAE = {r"\infty": "infinity", r"+\infty": "infinity", r"-\infty": "negative infinity",
             r"\mathbb{r}": "all reals", r"\emptyset": "empty set"}  # fmt: skip
_PLAIN_WORDS = re.compile(r"[A-Za-z\u3400-\u9fff\s.,;:'\"()\[\]!?_-]+")
_CHOICE = re.compile(
    r"(?:(?:option|choice|answer|选项|选择|选|答案)\s*(?:is|:|为|是)?\s*)?"
    r"(?:\(\s*([A-Ja-j])\s*\)|\[([A-Ja-j])\]|([A-Ja-j])(?=\s*(?:$|[).:,]|项|选项|\s(?![a-z=+*/^<>-]))))"
    r"(?:[).:]|\s*选?项)?\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_REFERENCE_CHOICE = re.compile(r"\(?\s*([A-J])\s*[).]?(?:\s+(.+))?|\(([A-J])\)\s*(.*)", re.DOTALL)
_CHOICE_WORD = re.compile(
    r"^(?:option|choice|选项|选择|选|答案)\s*[::]?\s*(?=\(?[A-J]\)?\s*(?:$|\s|[).:]))|(?<=^[A-J])选?项$", re.IGNORECASE
)
_HEDGE = re.compile(r"[,;/&+|]|and\b|or\b|和|或|与|及|\(?[A-J]\)?(?![A-Za-z=])")
"""Text after a letter if several letters are named."""
_LETTERS = re.compile(r"\(?[A-J]\)?(?:\s*(?:,|;|and|\s)\s*\(?[A-J]\)?){1,9}|[A-J]{2,8}")
_ARTICLE = re.compile(r"^(?:the|a|an|it is|it's|this is)\s+")
_SAME = (
    frozenset(("no solution", "no solutions", "none", "no real solution", "no real solutions", "empty set", "emptyset",
               "无解", "空集", "does not exist solution", "there is no solution", "there are no solutions")),
    frozenset(("dne", "does not exist", "不存在", "doesnotexist")),
    frozenset(("undefined", "not defined", "无定义")),
    frozenset(("all real numbers", "all reals", "任意实数", "全体实数", "一切实数", "mathbbr", "realnumbers")),
    frozenset(("infinity", "infty", "infinite", "positive infinity", "plus infinity", "无穷大", "正无穷", "正无穷大")),
    frozenset(("negative infinity", "minus infinity", "负无穷", "负无穷大")),
    frozenset(("infinitely many", "infinitely many solutions", "无数个", "无穷多个", "无数", "无穷多")),
    frozenset(("yes", "是", "是的")), frozenset(("no", "否", "不是")),
    frozenset(("true", "对", "正确", "真")), frozenset(("false", "错", "错误", "假")),
)  # fmt: skip
_SQUEEZED = {_NOT_LETTER.sub("", name): index for index, names in enumerate(_SAME) for name in names}
_WEEKDAYS = {f"{prefix}{digit}": f"day{number}" for prefix in ("星期", "周", "礼拜")
             for number, digit in enumerate("一二三四五六", start=1)}  # fmt: skip
_WEEKDAYS |= {f"{prefix}{digit}": "day7" for prefix in ("星期", "周", "礼拜") for digit in "日天"}
_ENGLISH_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
_NUMBERS = {word: str(value) for value, word in enumerate(_ENGLISH_NUMBERS.split())}
_TENS_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_TENS = {word: 10 * value for value, word in enumerate(_TENS_NAMES.split(), start=2)}
_PARTS_NAMES = "half third quarter fifth sixth seventh eighth ninth tenth"
_PARTS = {word: value for value, word in enumerate(_PARTS_NAMES.split(), start=2)} | {"fourth": 4}
_HAN_DIGITS = {sign: value for value, sign in enumerate("零一二三四五六七八九")} | {"两": 2, "\u3007": 0}
_HAN_PLACES = {"十": 10, "百": 100, "千": 1000, "万": 10**4, "亿": 10**8}
_NUMBERS |= dict(zip("零一二三四五六七八九十", map(str, range(11)), strict=True)) | {"两": "2"}  # fmt: skip


def plain(text: str) -> str:
    r"""Return the text without its ``\text{...}`` marks.

    >>> plain(r"\text{(C)}\ 12")
    '(C)\\ 12'
    """
    for _ in range(3):
        text, count = _TEXT.subn(r"\1", text)
        if not count:
            break
    return text.strip()


def number_word(text: str) -> str | None:
    """Return the digits of a number that is one word (``five``, ``五``)."""
    bare = plain(text).strip(" .").lower()
    top, mark, bottom = bare.partition("分之")
    if mark:
        low, high = _han_number(top), _han_number(bottom)
        return rf"\frac{{{high}}}{{{low}}}" if low and high else None
    if bare.startswith(("负", "negative ", "minus ")):
        positive = number_word(bare.removeprefix("负").removeprefix("negative ").removeprefix("minus "))
        return f"-{positive}" if positive and positive[0] != "-" else None
    return _NUMBERS.get(bare) or _han_number(bare) or _english_number(bare) or _english_fraction(bare)


def _han_number(text: str) -> str | None:
    """Return the digits of a Chinese number (``三十六``, ``一百二十三``)."""
    if found := _NUMBERS.get(text):
        return found
    if not 2 <= len(text) <= 15 or any(sign not in _HAN_DIGITS and sign not in _HAN_PLACES for sign in text):
        return None
    total = section = digit = 0
    last = 10**5
    for sign in text:
        if sign in _HAN_DIGITS:
            if digit:
                return None
            digit = _HAN_DIGITS[sign]
            continue
        place = _HAN_PLACES[sign]
        if place >= 10**4:
            total, section, digit, last = (total + section + digit) * place, 0, 0, 10**5
            continue
        if place >= last or (digit == 0 and not (place == 10 and section == 0)):
            return None
        section, digit, last = section + (digit or 1) * place, 0, place
    return str(total + section + digit)


def _english_number(text: str) -> str | None:
    """Return the digits of an English number below a million (``twenty-three``, ``one hundred and five``)."""
    words = [word for word in text.replace("-", " ").split() if word != "and"]
    if not 1 <= len(words) <= 9:
        return None
    total = section = 0
    room = 1000
    for word in words:
        value = _TENS.get(word) or (int(_NUMBERS[word]) if word in _NUMBERS and word.isascii() else None)
        if value is not None and value < room and value:
            section, room = section + value, (10 if value >= 20 and value % 10 == 0 else 1)
        elif word == "hundred" and 0 < section < 10:
            section, room = section * 100, 100
        elif word == "thousand" and section and not total:
            total, section, room = section * 1000, 0, 1000
        else:
            return None
    return str(total + section)


def _english_fraction(text: str) -> str | None:
    """Return a fraction that is given in English words: ``three quarters``, ``two-thirds``."""
    top, _, bottom = text.replace("-", " ").rpartition(" ")
    below = _PARTS.get(bottom.removesuffix("s") if bottom != "halves" else "half")
    above = _NUMBERS.get(top) if top.isascii() else None
    return rf"\frac{{{above}}}{{{below}}}" if above and below else None


def _squeezed(text: str) -> str:
    text = _ARTICLE.sub("", plain(text).strip(" .").lower())
    text = _FORMULAE.get(text.replace(" ", ""), text)
    if _SIGNED.search(text):
        return "signed:" + "".join(text.split())
    squeezed = _NOT_LETTER.sub("", text)
    if squeezed in _SQUEEZED:
        return f"same{_SQUEEZED[squeezed]}"
    return _WEEKDAYS.get(squeezed, squeezed)


def is_words(text: str) -> bool:
    r"""Return whether the text is words: only letters and punctuation, and more than a product of variables.

    >>> is_words("Monday"), is_words(r"\text{even}"), is_words("xy"), is_words("5 cm")
    (True, True, False, False)
    """
    bare = plain(text)
    if not _PLAIN_WORDS.fullmatch(bare):
        return False
    if _HAN.search(bare):
        return True
    longest = max((len(word) for word in re.findall(r"[A-Za-z]+", bare)), default=0)
    if re.fullmatch(r"[(\[].*,.*[)\]]", bare) and longest < 3:
        return False
    return longest >= 2 if r"\text{" in text else longest >= 4 or _squeezed(text) in ("yes", "no") or (
        longest >= 3 and bare[:1].isupper() and bare[1:].islower()
    ) or _squeezed(text).startswith("same")  # fmt: skip


def same_words(reference: str, answer: str) -> bool:
    """Return whether two texts are the same words. Case, spaces, punctuation and a leading article do not matter.

    >>> same_words("Monday", r"\\\\text{monday}.")
    True
    """
    left, right = _squeezed(reference), _squeezed(answer)
    return bool(left) and left == right


def is_same_idea(text: str) -> bool:
    """Return whether the text is one of the set phrases that have several spellings (``no solution``)."""
    return _squeezed(text).startswith("same")


def _choice_letter(text: str) -> tuple[str, str] | None:
    found = _CHOICE.fullmatch(plain(text))
    if not found:
        return None
    letter = next(group for group in found.groups()[:3] if group)
    return letter, found.group(4).strip()


def _choice_of_reference(text: str) -> tuple[str, str] | None:
    bare = _CHOICE_WORD.sub("", plain(text).replace("\\ ", " "))
    found = _REFERENCE_CHOICE.fullmatch(bare)
    if not found:
        return None
    letter = found.group(1) or found.group(3)
    rest = (found.group(2) or found.group(4) or "").strip()
    if rest and not (bare.startswith("(") or bare[1:2] in ".)" or r"\text{" in text):
        return None  # `A x` is a product
    if rest.startswith(("=", "+", "-", "*", "/", "^", "<", ">", "\\cup", "\\cap", "\\le", "\\ge")):
        return None
    return letter, rest


def compare_choices(reference: str, answer: str) -> tuple[bool | None, str]:
    r"""Return whether the answer names the reference's choice; None if the reference is no choice, or if the answer
    names no letter but may be the value behind the reference's letter, which is then returned second.

    >>> compare_choices("C", r"\text{(C)} 12")[0], compare_choices("E", "e")[0], compare_choices("12", "C")[0]
    (True, False, None)
    """
    chosen = _choice_of_reference(reference)
    if chosen is None:
        return _compare_letters(reference, answer), ""
    letter, value = chosen
    if _HEDGE.match(value):
        return _compare_letters(reference, answer), ""
    named = _choice_letter(answer)
    if named is None:
        return (None if value else False), value
    if _HEDGE.match(named[1]):
        return False, ""
    if named[0] == letter:
        return True, ""
    bare = plain(answer).strip()
    return named[0].upper() == letter and not (bare == "e" and letter == "E"), ""


def _compare_letters(reference: str, answer: str) -> bool | None:
    """Compare lists of letters: ``A, C`` is ``CA``. None if the reference is no such list."""
    left, right = plain(reference), plain(answer)
    if not (_LETTERS.fullmatch(left) and _LETTERS.fullmatch(right)):
        return None
    if left.startswith("(") and "," in left and left.count("(") == 1:
        return None
    return sorted(re.findall("[A-J]", left)) == sorted(re.findall("[A-J]", right))
