r"""Accuracy of plain answers: the last number of a response against the reference, without any box or tags.

    text --tokens_of--> tokens --_statement--> 7 * 8 = 56 --_value--> 56, given unless the sentence takes it away

The rules are strict: a response has to end on the number that it asserts. It gives no answer if the number is denied
("8 * 2 = 16 is incorrect", "not 16"), one of several ("15 or 16"), in a question ("16?"), a bound ("more than 15"), an
operand ("1 * 8", of which the question is made), or in a wrong equation. Indices of lists and labels ("1. ...", "Step
2") are no numbers. A doubtful text gives no answer, because a policy finds whatever is rewarded in doubt. So "16, not
15" and "16. That took 2 steps" are not rewarded, and numbers in words are not read.

Every function takes linear time, and none raises because of a model's text.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from r1ray.checks import MathAnswer
from r1ray.errors import UnscorableError
from r1ray.reward.arithmetic import evaluate
from r1ray.reward.extract import after_think, answer_section
from r1ray.reward.format import judged_text
from r1ray.reward.plain_text import Token, tokens_of
from r1ray.types import Prompt, Response, Score

MAX_STATEMENT = 64
"""Most tokens of an equation; longer ones are not read."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DENIALS = _words(
    "not never neither nor none cannot isnt wasnt arent doesnt dont didnt cant wont aint wrong wrongly incorrect "
    "incorrectly false falsely untrue mistake mistaken mistakenly error erroneous nope impossible unlikely unequal "
    "inaccurate fails failed joking kidding lie lying nonsense invalid disagree deny denied doubt"
)
_DENYING_CHARACTERS = frozenset("不非错没否誤误")
_ALL = _words("anything everything all")
"""``anything but 16`` denies; ``not 15 but 16`` does not."""
_RETRACTIONS = _words(
    "no or wait actually but maybe perhaps alternatively otherwise unless except correction oops sorry rather"
)
"""Words that take the number back or begin another answer if they follow it."""
_CHOICES = _words("or either alternatively versus vs 或 或者")
_CONNECTORS = _CHOICES | _words(
    "and to through plus minus times over by than of from maybe perhaps possibly also even then multiplied divided "
    "added with 和 到 至"
)
"""Words between numbers: two numbers with only these between them are two candidates or two operands."""
_BOUNDS = _words(
    "than least most about around approximately approx roughly nearly almost above below under over before after "
    "beyond near exceed exceeds except besides without excluding half twice double triple thrice times by plus "
    "multiplied divided multiply multiplying divide dividing add adding subtract subtracting sqrt abs ~ \u221a "
    "大于 小于 多于 少于 超过 不到 约 大约 至少 至多 最多 最少"
)
"""Words directly before a number that is not the asserted value."""
_BOUNDS_WITH = {
    "to": _words("up close near next prior add adds added adding"),
    "of": _words(
        "half third quarter tenth root square cube double multiple factor power percent instead negative opposite "
        "reciprocal inverse magnitude modulus"
    ),
}
_OPERATIONS = _words(
    "plus minus times by multiplied divided over squared cubed factorial point mod modulo choose half halves third "
    "thirds quarter quarters fourths fifths sixths sevenths eighths ninths tenth tenths hundredth hundredths tens "
    "hundreds score gross below inverse root less fewer short \u221a"
)
"""Words directly after a number that turn it into another one."""
_HAN_OPERATIONS = ("分之", "的", "以上", "以下", "以内", "左右", "多", "倍半")
"""The same in Chinese, as beginnings of words."""
_THOUSANDS = _words("hundred thousand mille million")
"""Words after ``per`` that make another number: ``7 per thousand`` is one, ``7 per day`` is not."""
_SCALES = {
    **{"%": Fraction(1, 100), "percent": Fraction(1, 100), "dozen": Fraction(12), "hundred": Fraction(100)},
    **{"thousand": Fraction(10**3), "million": Fraction(10**6), "billion": Fraction(10**9)},
}


@dataclass(frozen=True, slots=True)
class Given:
    """The answer that a response gives: a value, or the reason why it gives none."""

    value: Fraction | None
    refusal: str = ""
    claim: Fraction | None = None
    """The value that a wrong equation claims: 54 for ``7 * 8 = 54``."""


class _Refused(Exception):
    """The text gives no number. Carries the reason and the claimed value."""

    def __init__(self, reason: str, claim: Fraction | None = None) -> None:
        super().__init__(reason)
        self.reason, self.claim = reason, claim


def last_number(prompt: Prompt, response: Response) -> Score:
    """Return a score of 1 if the response ends on the reference. The extracted answer is a plain number, so that votes
    can be counted.

    Raises UnscorableError if the prompt's reference is no number.
    """
    if not isinstance(prompt.check, MathAnswer):
        return Score(0.0, "no_reference")
    reference = _plain_number(prompt.check.answer)
    if reference is None:
        raise UnscorableError(number_problem(prompt.check.answer))
    given = given_number(judged_text(prompt, response), is_finished=response.finished)
    if given.value is None and given.claim not in (None, reference):
        return Score(0.0, "wrong", str(given.claim), given.refusal)  # 7 * 8 = 54 is an answer and has a vote
    if given.value is None:
        return Score(0.0, "no_answer", None, given.refusal)
    is_right = given.value == reference
    return Score(float(is_right), "correct" if is_right else "wrong", str(given.value))


def number_problem(reference: str) -> str | None:
    """Return the reason why no response can be compared with a reference; None if the reference is a number."""
    return (
        None
        if _plain_number(reference) is not None
        else f"The reference {reference[:80]!r} is no number, which last_number needs."
    )


def _plain_number(reference: str) -> Fraction | None:
    """Return the value of a reference that is one number; None for a calculation, several numbers and a factorial."""
    value, num_quantities = given_number(reference).value, sum(token.is_quantity for token in tokens_of(reference))
    if value is None or "!" in reference or num_quantities > (2 if value.denominator > 1 else 1):
        return None
    return value


def given_number(text: str, *, is_finished: bool = True) -> Given:
    """Return the number that a text ends on and asserts, in ``<answer>`` if there is one, else in all text after the
    reasoning. An unfinished text that ends with the number may have been cut inside it.

    >>> given_number("7 * 8 = **56** cookies.").value
    Fraction(56, 1)
    >>> given_number("8 * 2 = 16 is incorrect.").refusal
    'it is denied'
    """
    final = after_think(text)
    section = answer_section(final)
    tokens = tokens_of(final if section is None else section)
    last = next((i for i in reversed(range(len(tokens))) if tokens[i].is_quantity), None)
    try:
        if last is None:
            raise _Refused("there is no number")
        if tokens[last].kind == "odd":
            raise _Refused("its last number cannot be read")
        if not is_finished and section is None and final[-1:].isdigit():
            raise _Refused("it may be cut inside its last number")
        first, stop = _statement(tokens, last)
        value = _value(tokens, first, stop)
        if (
            first
            and tokens[first - 1].text in ("minus", "negative")
            and not any(token.is_quantity for token in tokens[max(0, first - 2) : first])
        ):
            value, first = -value, first - 1
        is_equation = any(token.text == "=" for token in tokens[first + 1 : stop])
        _check_bars(tokens, first, stop, value)
        _check_before(tokens, first, None if is_equation else value)
        return Given(_scaled(value, tokens[stop:]))
    except _Refused as refused:
        return Given(None, refused.reason, refused.claim)


def _statement(tokens: Sequence[Token], last: int) -> tuple[int, int]:
    """Return the first and end index of the numbers and operators around the last number, ``7 * 8 = 56``, without the
    dashes, bullets and parentheses of the surrounding text."""
    first, stop = last, last + 1
    while first > 0 and (
        tokens[first - 1].kind == "operator"
        or (tokens[first - 1].kind == "number" != tokens[first].kind and tokens[first].text != "(")
    ):
        first -= 1
    while stop < len(tokens) and tokens[stop].kind == "operator" and "\n" not in tokens[stop].gap:
        stop += 1
    if stop - first > MAX_STATEMENT:
        raise _Refused("its equation is too long")
    if tokens[stop - 1].text == "-" and tokens[stop - 1].gap and [t.kind for t in tokens[stop : stop + 1]] == ["word"]:
        stop -= 1
    texts = [token.text for token in tokens[first:stop]]
    unopened = texts.count(")") - texts.count("(")
    while unopened > 0 and tokens[stop - 1].text == ")":
        stop, unopened = stop - 1, unopened - 1
    while unopened < 0 and tokens[stop - 1].text == "(":
        stop, unopened = stop - 1, unopened + 1
    if texts[0] == "(" and tokens[stop - 1].text == ")" and _is_inside(texts, "="):
        first, stop = first + 1, stop - 1
    while first < last and ((unopened < 0 and tokens[first].text == "(") or _is_dash(tokens, first)):
        unopened += tokens[first].text == "("
        first += 1
    if [token.text for token in tokens[max(0, first - 2) : first]] == ["-", "("]:
        raise _Refused("a negative of which only a part was read")
    return first, stop


def _is_inside(texts: Sequence[str], sign: str) -> bool:
    """Return whether a sign stands in parentheses."""
    depths = itertools.accumulate((text == "(") - (text == ")") for text in texts)
    return any(depth > 0 and text == sign for depth, text in zip(depths, texts, strict=True))


def _is_dash(tokens: Sequence[Token], index: int) -> bool:
    """Return whether a sign is a bullet, or a dash between a word and a number."""
    if tokens[index].text not in "-*+" or not tokens[index + 1].gap:
        return False
    before = tokens[index - 1] if index else None
    begins_line = before is None or "\n" in tokens[index].gap
    return begins_line or (before is not None and before.kind == "word" and not _is_unknown(before))


def _is_unknown(token: Token) -> bool:
    """Return whether a token is an unknown, such as ``x`` or ``2x``."""
    is_letter = token.kind == "word" and len(token.text) == 1 and token.text.isascii() and token.text not in "ai"
    return token.kind == "odd" or is_letter


def _value(tokens: Sequence[Token], first: int, stop: int) -> Fraction:
    """Return the value of a statement. Every side must have it, and one side must be a plain number."""
    statement, before = tokens[first:stop], tokens[first - 1 : first] if first else ()
    if statement[0].text in "*/^" or statement[-1].text in "-+*/^=":
        raise _Refused("an operand, no answer")
    if before and before[0].kind in ("word", "odd") and statement[0].text in "-+(" and not statement[0].gap:
        raise _Refused("part of a name or a function")
    sides: list[list[str]] = [[]]
    for token in statement:
        if token.text == "=":
            sides.append([])
        else:
            sides[-1].append(token.text)
    if first > 2 and tokens[first - 2].text == "\u221a":  # of "A + \\angle B ="
        is_summed = tokens[first - 3].kind == "operator"
    else:
        is_summed = first > 1 and tokens[first - 2].kind == "operator" and not _is_dash(tokens, first - 2)
    if before and _is_unknown(before[0]) and (sides[0] or before[0].kind == "odd" or is_summed):
        raise _Refused("part of an equation in an unknown")
    sides = sides if sides[0] else sides[1:]
    values = [value for value in map(evaluate, sides) if value is not None]
    if len(values) < len(sides):
        raise _Refused("its equation cannot be read")
    if len(set(values)) > 1:
        raise _Refused("its equation is wrong", values[-1] if _is_plain(sides[-1], values[-1]) else None)
    if not any(_is_plain(side, values[0]) for side in sides):
        raise _Refused("an expression, no number")
    return values[0]


def _is_plain(side: Sequence[str], value: Fraction) -> bool:
    """Return whether a side is a number or a fraction and no calculation. ``8/2`` is a calculation, ``1/2`` is none."""
    unsigned = [token for token in side if token not in "()"]
    unsigned = unsigned[unsigned[0] in "-+" :]
    return len(unsigned) == 1 or (len(unsigned) == 3 and unsigned[1] == "/" and value.denominator > 1)


def _check_bars(tokens: Sequence[Token], first: int, stop: int, value: Fraction) -> None:
    """Raise _Refused if the bars of an absolute value make another value: ``|-7|``, ``-|7|``."""
    before, after = tokens[max(0, first - 2) : first], tokens[stop : stop + 1]
    if before and after and before[-1].text == after[0].text == "|" and (value < 0 or before[0].kind == "operator"):
        raise _Refused("an absolute value, no answer")


def _check_before(tokens: Sequence[Token], first: int, alone: Fraction | None) -> None:
    """Raise _Refused if the text before the statement keeps its value from being the answer.

    ``alone``: the value if the statement is only a number; None if it is an equation, before which another equation may
    stand: ``8 + 4 = 12, 12 + 3 = 15``.
    """
    begins = next((i + 1 for i in reversed(range(first)) if tokens[i].kind == "end"), 0)
    sentence = tokens[begins:first]
    *_, second, nearest = ["", "", *(token.text for token in sentence if token.text not in "\"'")]
    if [token.text for token in sentence[-3:]] == ["absolute", "value", "of"]:
        raise _Refused("an absolute value, no answer")
    if nearest in _BOUNDS or second in _BOUNDS_WITH.get(nearest, ()):
        raise _Refused("a bound or an operand, no answer")
    if nearest in _CHOICES:
        raise _Refused("one of several numbers")  # "1. Or 0": the first one reads as the index of a list
    turn = next((i for i in reversed(range(len(sentence))) if sentence[i].text == "but"), None)
    if turn is not None and turn > 0 and sentence[turn - 1].text in _ALL:
        raise _Refused("it is denied")
    rest = sentence if turn is None else sentence[turn + 1 :]
    is_no = any(a.text == "no" and b.kind != "mark" for a, b in itertools.pairwise([*rest, tokens[first]]))
    if is_no or any(map(_denies, rest)):  # "No, it is 16" denies something else
        raise _Refused("it is denied")
    previous = next((i for i in reversed(range(first)) if tokens[i].is_quantity), None)
    if previous is None:
        return
    between = tokens[previous + 1 : first]
    is_bare = all(token.text in _CONNECTORS if token.kind == "word" else token.text not in ":?" for token in between)
    is_repeated = tokens[previous].kind == "number" and evaluate([tokens[previous].text]) == alone
    is_repeated = is_repeated and not any(
        token.text == "-" for token in tokens[:previous][-1:]
    )  # "-1, 1": another number
    is_repeated = is_repeated and (tokens[previous - 1].text == "=" or all(t.kind != "word" for t in between))
    is_choice = any(token.text in _CHOICES for token in tokens[max(previous + 1, begins) : first])
    if is_choice or (is_bare and alone is not None and not is_repeated):
        raise _Refused("one of several numbers")


def _scaled(value: Fraction, after: Sequence[Token]) -> Fraction:
    """Return the value, scaled by a ``%`` or ``thousand`` behind it. Raises _Refused if the following text makes
    another number of it, takes it back, or asks a question."""
    texts = [token.text for token in after[:3]]
    if texts and (
        texts[0].startswith(_HAN_OPERATIONS) or (texts[0] == "per" and texts[1:2] and texts[1] in _THOUSANDS)
    ):
        raise _Refused("another number is made of it")
    if texts[:2] == ["'", "s"]:
        raise _Refused("something of it, no answer")  # "16's square root"
    if texts[:2] == [",", "\u221a"]:
        raise _Refused("one of several")
    if texts and (texts[0] in _OPERATIONS or (texts[0] == "and" and texts[-1] in _OPERATIONS)):
        raise _Refused("another number is made of it")
    if next((token.text for token in after if token.kind == "end"), "") == "?":
        raise _Refused("a question, no answer")
    is_near, num_words = True, 0  # in the same sentence, or among the first two words of another one
    for token in after:
        num_words = 0 if token.kind == "end" else num_words + (token.kind == "word")
        is_near = is_near and token.kind != "end"
        if _denies(token) or (token.text in _RETRACTIONS and (is_near or num_words <= 2)):
            raise _Refused("it is denied")
    return value * _SCALES.get(texts[0], 1) if texts else value


def _denies(token: Token) -> bool:
    is_denial = token.text in _DENIALS or token.text.endswith("n't")
    return token.kind == "word" and (is_denial or not _DENYING_CHARACTERS.isdisjoint(token.text))
