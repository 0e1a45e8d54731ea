"""Texts and preferences of people for the later stages of the recipe.

cold_start     long reasoning in the prompt's language, with reflection and verification, and a summary
dialogues      answers to prompts without a rule, without reasoning
pairs          two answers each, the preferred one first: a fuller one, or one that insults nobody
"""

from __future__ import annotations

import random
from typing import Any

from r1ray.curation.writing import written
from r1ray.examples.bilingual_total.phrases import LANGUAGES, PHRASES, Language
from r1ray.examples.bilingual_total.talk import Talk, draw, every_talk
from r1ray.examples.bilingual_total.task import Expression, Split, boxed, prompt_of, sample_expression, steps_of
from r1ray.examples.running_total.task import MAX_TOTAL

SLIP, VERIFIED = 0.35, 0.5
"""Shares of the cold-start examples that correct a step, and that verify their last two steps."""

MANNERS = {"polite": 0.35, "bare": 0.45, "insulting": 0.2}
"""Shares of the dialogues' manners."""
KINDS = ("helpful", "harmless")

Row = dict[str, Any]


def reasoning(rng: random.Random, expression: Expression, language: Language) -> str:
    """Return reasoning as a person writes it: right in the end, in one language, sometimes with a corrected step or a
    verified end."""
    phrases = PHRASES[language]
    right = steps_of(expression, [language] * len(expression.operands))
    steps = list(right)
    if rng.random() < SLIP:
        at = rng.randrange(len(steps))
        before, total = (expression.start, *expression.totals)[at : at + 2]
        wrong = rng.choice([n for n in (total - 1, total + 1, total + 2) if 0 <= n <= MAX_TOTAL])
        slip = f"{expression.steps[at]}{phrases.result(expression.operands[at])}{wrong}"
        steps[at] = f"{slip}{phrases.wait}{before}{steps[at]}"
    text = f"{phrases.start}{expression.start}{''.join(steps)}"
    if rng.random() < VERIFIED:
        text += f"{phrases.check}{expression.totals[-3]}{''.join(right[-2:])}"
    return f"{text}{phrases.so}{expression.answer}{phrases.stop}"


def summary(answer: int, language: Language) -> str:
    """Return the whole answer, politely.

    >>> summary(29, "en")
    'the answer is \\\\boxed{29}. glad to help!'
    """
    return PHRASES[language].answer + boxed(answer) + PHRASES[language].closing


def cold_start(rng: random.Random, count: int) -> list[Row]:
    """Return ``count`` examples, half of them in each language; their messages are in the cold start's pattern."""
    rows = []
    for index in range(count):
        language = LANGUAGES[index % 2]
        expression = sample_expression(rng, "train")
        prompt, thought = prompt_of(expression, language), reasoning(rng, expression, language)
        said = summary(expression.answer, language)
        rows.append(
            {
                "id": f"cold-{index}",
                "prompt": prompt,
                "reasoning": thought,
                "summary": said,
                "messages": [
                    {"role": "user", "content": prompt},
                    {"role": "assistant", "content": written(thought, said, pattern="cold_start")},
                ],
                "language": language,
                "check": {"type": "math", "answer": str(expression.answer)},
            }
        )
    return rows


def dialogues(rng: random.Random, count: int) -> list[Row]:
    """Return answers to prompts without a rule, each prompt about equally often, in all manners (see
    :data:`MANNERS`)."""
    talks = every_talk("train")
    rng.shuffle(talks)
    return [
        {
            "id": f"talk-{index}",
            "messages": [
                {"role": "user", "content": talk.prompt},
                {"role": "assistant", "content": talk.said_in(draw(rng, MANNERS), rng)},
            ],
            "domain": "general",
            "language": talk.language,
        }
        for index, talk in ((i, talks[i % len(talks)]) for i in range(count))
    ]


def pairs(rng: random.Random, count: int, kind: str, split: Split) -> list[Row]:
    """Return ``count`` pairs of one of :data:`KINDS`: for helpfulness only summaries are compared, for harmlessness
    whole responses. Half are on questions, half on prompts without a rule, in each language."""
    talks = {language: [t for t in every_talk(split) if t.language == language] for language in LANGUAGES}
    rows = []
    for index in range(count):
        language = LANGUAGES[index % 2]
        if index // 2 % 2:
            talk = rng.choice(talks[language])
            prompt, chosen, rejected = (talk.prompt, *_talk_pair(rng, talk, kind))
        else:
            expression = sample_expression(rng, split)
            question_pair = _helpful_pair if kind == "helpful" else _harmless_pair
            prompt, chosen, rejected = (prompt_of(expression, language), *question_pair(rng, expression, language))
        rows.append(
            {
                "id": f"{kind}-{index}",
                "prompt": prompt,
                "chosen": chosen,
                "rejected": rejected,
                "language": language,
            }
        )
    return rows


def _helpful_pair(rng: random.Random, expression: Expression, language: Language) -> tuple[str, str]:
    """Return two summaries: the whole answer, and a bare or a wrong one."""
    answer = expression.answer
    wrong = rng.choice([n for n in range(MAX_TOTAL + 1) if n != answer])
    worse = rng.choice(
        (
            boxed(answer),
            str(answer),
            PHRASES[language].answer + boxed(answer),
            PHRASES[language].answer + boxed(answer) + PHRASES[language].stop,
            summary(wrong, language),
        )
    )
    return summary(answer, language), worse


def _harmless_pair(rng: random.Random, expression: Expression, language: Language) -> tuple[str, str]:
    """Return two whole responses with the same reasoning; the second insults, in the reasoning or in the summary."""
    thought, phrases = reasoning(rng, expression, language), PHRASES[language]
    said = rng.choice((summary(expression.answer, language), phrases.answer + boxed(expression.answer) + phrases.stop))
    insulted = said.replace("}", "}" + phrases.insult, 1)
    thought_insulting = thought.removesuffix(phrases.stop) + phrases.insult + phrases.stop
    worse = rng.choice(((thought, insulted), (thought_insulting, said), (thought_insulting, insulted)))
    return written(thought, said, pattern="cold_start"), written(*worse, pattern="cold_start")


def _talk_pair(rng: random.Random, talk: Talk, kind: str) -> tuple[str, str]:
    if kind == "helpful":
        return talk.polite(rng), talk.bare(rng)
    return rng.choice((talk.polite, talk.bare))(rng), talk.insulting(rng)
