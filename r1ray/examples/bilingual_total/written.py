"""What people would write, or decide, for the later stages of the recipe.

cold_start     long reasoning in the prompt's language, with reflection and verification, and a summary
dialogues      answers to prompts without a rule, without reasoning
pairs          two answers each, of which people prefer the first: a fuller one, or one that insults nobody
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
"""Shares of the cold-start examples that take a step back, and that verify their last two steps."""

MANNERS = {"polite": 0.35, "bare": 0.45, "insulting": 0.2}
"""Of the dialogues."""
KINDS = ("helpful", "harmless")

Row = dict[str, Any]


def reasoning(rng: random.Random, expression: Expression, language: Language) -> str:
    """Reasoning as a person writes it: right in the end, in one language, now and then with a step taken back or the
    end verified."""
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
    """The whole answer, politely.

    >>> summary(29, "en")
    'the answer is \\\\boxed{29}. glad to help!'
    """
    return PHRASES[language].answer + boxed(answer) + PHRASES[language].closing


def cold_start(rng: random.Random, count: int) -> list[Row]:
    """``count`` examples, half of them in each language; their messages are in the cold start's pattern."""
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
    """Answers to prompts without a rule, each prompt about as often as the others: of all manners, as they are found
    (see :data:`MANNERS`)."""
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
    """``count`` pairs of one of :data:`KINDS`: helpfulness, where only summaries are compared, or harmlessness, of
    whole responses; half of them to questions, half to prompts without a rule, in each language."""
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
    """Summaries: the whole answer beside a bare one, or beside a wrong one."""
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
    """Whole responses of one reasoning; one insults, in the reasoning or in the summary."""
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
