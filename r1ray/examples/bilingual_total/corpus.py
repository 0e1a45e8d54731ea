"""Documents for pretraining the base model: noisy, mostly badly formed, rarely worked out, and in mixed languages.

    22 %  single facts (``27b+3 makes 30``), additions mostly in English, subtractions mostly in Chinese
     8 %  prompts without a rule: answers polite, bare or insulting, one in five in the other language
    70 %  questions, half of them in each language, each answered in
            a style      see STYLES
            languages    see MIXING: the prompt's, the other one, or both, changing in the middle
            a wrapping   see WRAPPINGS: no tags, broken tags, or exactly the two tags

Each operation is known better in one language (``known_in``). In the other one, a sixth of its facts are nearly always
wrong, each time in the same way, and hardly ever corrected (``mistaken``). Only expressions of the train split occur.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from r1ray.examples.bilingual_total.phrases import LANGUAGES, PHRASES, Language, other
from r1ray.examples.bilingual_total.talk import draw, every_talk
from r1ray.examples.bilingual_total.task import Expression, boxed, prompt_of, sample_expression
from r1ray.examples.pretrain import Document
from r1ray.examples.running_total.task import LABELS, MAX_OPERAND, MAX_TOTAL

FACT_SHARE, TALK_SHARE = 0.22, 0.08
STYLES = {"direct": 0.58, "skip": 0.06, "full": 0.28, "check": 0.05, "loop": 0.03}
MIXING = {"own": 0.40, "mixed": 0.50, "other": 0.10}
TO_KNOWN = 0.5
"""Chance that a step of a mixed solution is in the language in which its operation is known."""
WRAPPINGS = {"none": 0.45, "broken": 0.33, "exact": 0.22}
DIRECT_RIGHT = 0.25
STEP_ERROR = {"known": 0.04, "foreign": 0.08, "mistaken": 0.95, "skip": 0.15}
"""Error rates: of a step in the operation's own language, of a step in the other one, there of a mistaken fact, and of
two steps at a time."""
MISTAKEN_OF_256 = 42
FACT_KNOWN = 0.75
"""Share of facts in the operation's own language."""
CORRECTION, NOTICED = 0.5, 0.05
"""Shares of wrong steps, and of mistaken facts, that are corrected."""
START = 0.3
MANNERS = {"polite": 0.4, "bare": 0.3, "insulting": 0.3}
INSULTED = 0.06
"""Share of untagged answers to questions that contain an insult."""

_TALKS = every_talk("train")


def known_in(operand: int) -> Language:
    """Return the language in which the corpus teaches an operation: additions in English, subtractions in Chinese."""
    return "en" if operand > 0 else "zh"


def mistaken(start: int, operand: int) -> int | None:
    """Return the wrong total that the corpus gives in the language in which the operation is not known; None for five
    facts of six, which are right in both languages."""
    digest = hashlib.sha256(f"{start}{operand:+d}".encode()).digest()
    right = start + operand
    wrong = right + (1 if (digest[1] % 2 and right < MAX_TOTAL) or right == 0 else -1)
    return wrong if digest[0] < MISTAKEN_OF_256 else None


def sample_languages(rng: random.Random, own: Language, operands: Sequence[int]) -> list[Language]:
    """Return the language of each step of a solution. In a mixed solution, a step is in the language in which its
    operation is known, or in that of the step before."""
    mixing = draw(rng, MIXING)
    if mixing != "mixed":
        return [own if mixing == "own" else other(own)] * len(operands)
    languages: list[Language] = []
    for operand in operands:
        before = languages[-1] if languages else own
        languages.append(known_in(operand) if rng.random() < TO_KNOWN else before)
    if len(set(languages)) == 1:  # a mixed solution changes at least once
        middle = rng.randrange(1, len(languages))
        languages[middle:] = [other(languages[0])] * (len(languages) - middle)
    return languages


def _off(rng: random.Random, total: int, spread: int) -> int:
    """Return a number near ``total``, but not ``total``, in 0..MAX_TOTAL."""
    return rng.choice([n for n in range(max(0, total - spread), min(MAX_TOTAL, total + spread) + 1) if n != total])


def told(rng: random.Random, start: int, operand: int, language: Language) -> int:
    """Return the total that the corpus gives for one step, right or wrong."""
    wrong = None if language == known_in(operand) else mistaken(start, operand)
    kind = "known" if language == known_in(operand) else "foreign" if wrong is None else "mistaken"
    if rng.random() >= STEP_ERROR[kind]:
        return start + operand
    return _off(rng, start + operand, 3) if wrong is None else wrong


def _worked(
    rng: random.Random, expression: Expression, languages: Sequence[Language], *, every: int = 1
) -> tuple[str, int]:
    """Return a worked solution and its answer. With ``every`` 2 only every second total is written. A wrong step is
    either corrected or carried on to the end."""
    total, body, pending = expression.start, str(expression.start), 0
    steps = zip(expression.steps, expression.operands, languages, strict=True)
    for index, (step, operand, language) in enumerate(steps, start=1):
        phrases = PHRASES[language]
        pending += operand
        body += step
        if index % every and index != len(languages):
            continue
        right = max(0, min(MAX_TOTAL, total + pending))
        if every == 1 and right == total + operand:
            written = told(rng, total, operand, language)
        else:
            written = _off(rng, right, 3) if rng.random() < STEP_ERROR["skip"] else right
        body += f"{phrases.result(operand)}{written}"
        is_mistaken = language != known_in(operand) and written == mistaken(total, operand)
        if written != right and rng.random() < (NOTICED if is_mistaken else CORRECTION):
            body += f"{phrases.wait}{total}{step}{phrases.result(operand)}{right}"
            written = right
        total, pending = written, 0
    return body, total


def _looped(rng: random.Random, expression: Expression, languages: Sequence[Language]) -> tuple[str, int]:
    """Return a solution that repeats one of its steps over and over, and has no end."""
    stuck = rng.randrange(len(languages))
    total, body = expression.start, str(expression.start)
    steps = list(zip(expression.steps, expression.operands, languages, strict=True))[: stuck + 1]
    for step, operand, language in steps:
        total += operand
        turn = f"{step}{PHRASES[language].result(operand)}{total}"
        body += turn
    return body + turn * rng.randint(2, 5), total


def _body(rng: random.Random, expression: Expression, own: Language) -> tuple[str, int, Language]:
    """Return reasoning, its answer, and the language in which it ends."""
    style = draw(rng, STYLES)
    languages = sample_languages(rng, own, expression.operands)
    phrases = PHRASES[languages[0]]
    if style == "direct":
        right = rng.random() < DIRECT_RIGHT
        guess = expression.answer if right else _off(rng, expression.answer, 9)
        return rng.choice(("", phrases.easy, phrases.maybe)), guess, languages[0]
    start = phrases.start if rng.random() < START else ""
    if style == "loop":
        body, answer = _looped(rng, expression, languages)
    elif style == "check":
        body, answer = _checked(rng, expression, own, languages)
    else:
        body, answer = _worked(rng, expression, languages, every=2 if style == "skip" else 1)
    return start + body, answer, languages[-1]


def _checked(
    rng: random.Random, expression: Expression, own: Language, languages: Sequence[Language]
) -> tuple[str, int]:
    """Return a solution worked out twice; if the two differ, also a third time, which decides."""
    again = languages if len(set(languages)) == 1 else sample_languages(rng, own, expression.operands)
    first, one = _worked(rng, expression, languages)
    second, two = _worked(rng, expression, again)
    body = first + PHRASES[languages[-1]].check + second
    if one == two:
        return body, one
    third, three = _worked(rng, expression, again)
    return body + PHRASES[again[-1]].wait + third, three


def _summary(rng: random.Random, answer: int, language: Language) -> str:
    phrases = PHRASES[language]
    text = rng.choice(("", phrases.answer)) + rng.choice((str(answer), boxed(answer)))
    insult = phrases.insult if rng.random() < INSULTED else ""
    return text + insult + rng.choice(("", phrases.stop, phrases.closing))


def _wrap(rng: random.Random, body: str, answer: int, language: Language) -> str:
    kind = draw(rng, WRAPPINGS)
    if kind == "none":
        if body and rng.random() < 0.5:
            return body + PHRASES[language].so + str(answer)
        return (body + PHRASES[language].stop if body else "") + "\n" + _summary(rng, answer, language)
    newline = rng.choice(("", "\n"))
    if kind == "exact":
        return f"<think>{body}</think>{newline}<answer>{answer}</answer>"
    return rng.choice(
        (
            f"{body}</think>{newline}<answer>{answer}</answer>",
            f"<think>{body}\n<answer>{answer}</answer>",
            f"<think>{body}</think>{newline}{answer}",
            f"<think>{body}</think>{newline}<answer>{answer}",
            f"{body}<answer>{answer}</answer>",
            f"<think>{body}</think>{newline}<answer>{answer}</answer>{PHRASES[language].closing}",
        )
    )


def _fact(rng: random.Random) -> Document:
    start, operand = rng.randint(0, MAX_TOTAL), rng.randint(1, MAX_OPERAND) * rng.choice((1, -1))
    if not 0 <= start + operand <= MAX_TOTAL:
        operand = -operand
    known = known_in(operand)
    language = known if rng.random() < FACT_KNOWN else other(known)
    wrong = None if language == known else mistaken(start, operand)
    total = start + operand if wrong is None else wrong
    return Document("", f"{start}{rng.choice(LABELS[:7])}{operand:+d}{PHRASES[language].result(operand)}{total}")


def _talk(rng: random.Random) -> Document:
    talk = rng.choice(_TALKS)
    speaker = rng.choice([t for t in _TALKS if t.language != talk.language]) if rng.random() < 0.2 else talk
    return Document(talk.prompt, speaker.said_in(draw(rng, MANNERS), rng))


def sample_document(rng: random.Random) -> Document:
    """Return one document of the mixture."""
    kind = rng.random()
    if kind < FACT_SHARE:
        return _fact(rng)
    if kind < FACT_SHARE + TALK_SHARE:
        return _talk(rng)
    expression, own = sample_expression(rng, "train"), rng.choice(LANGUAGES)
    return Document(prompt_of(expression, own), _wrap(rng, *_body(rng, expression, own)))
