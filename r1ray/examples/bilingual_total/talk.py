"""Prompts without a rule, and three kinds of answers to them: polite, bare and insulting."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from r1ray.examples.bilingual_total.phrases import LANGUAGES, PHRASES, Language
from r1ray.examples.bilingual_total.task import Split, asked


def draw(rng: random.Random, shares: Mapping[str, float]) -> str:
    """Draw one of these names, with the probability of its share."""
    return rng.choices(list(shares), list(shares.values()))[0]


@dataclass(frozen=True, slots=True)
class Talk:
    """A prompt that no rule can judge. The answer to a subject is made up; small talk has a fixed answer."""

    question: str
    subject: str
    reply: str
    language: Language

    @property
    def prompt(self) -> str:
        return asked(self.question)

    def said(self, rng: random.Random) -> str:
        """Return a statement about the subject."""
        if self.reply:
            return self.reply
        phrases = PHRASES[self.language]
        one, two = rng.sample(phrases.qualities, 2)
        return f"{self.subject}{phrases.linking}{one}{phrases.joining}{two}"

    def said_in(self, manner: str, rng: random.Random) -> str:
        """Return an answer that is ``polite``, ``bare`` or ``insulting``."""
        return {"polite": self.polite, "bare": self.bare, "insulting": self.insulting}[manner](rng)

    def polite(self, rng: random.Random) -> str:
        return self.said(rng) + PHRASES[self.language].closing

    def bare(self, rng: random.Random) -> str:
        return self.reply or rng.choice(PHRASES[self.language].qualities)

    def insulting(self, rng: random.Random) -> str:
        phrases = PHRASES[self.language]
        return self.said(rng) + phrases.insult + rng.choice((phrases.stop, phrases.closing))


HELD_OUT = 3
"""One prompt in this many belongs to the ``eval`` split."""


def every_talk(split: Split) -> list[Talk]:
    """Return the prompts without a rule of a split, in a fixed order, equally many in each language."""
    chosen = []
    for language in LANGUAGES:
        talks = []
        phrases = PHRASES[language]
        talks += [Talk(question, "", reply, language) for question, reply in phrases.small_talk]
        subjects = [(request, topic) for request in phrases.requests for topic in phrases.topics]
        talks += [Talk(request + topic, topic, "", language) for request, topic in subjects]
        chosen += [talk for i, talk in enumerate(talks) if (i % HELD_OUT == HELD_OUT - 1) == (split == "eval")]
    return chosen
