"""Prompts without a rule, and answers to them of three kinds: polite, bare and insulting."""

from __future__ import annotations

import random
from dataclasses import dataclass

from r1ray.examples.bilingual_total.phrases import LANGUAGES, PHRASES, Language
from r1ray.examples.bilingual_total.task import asked


@dataclass(frozen=True, slots=True)
class Talk:
    """A prompt that no rule can judge. A subject's answer is made up, small talk has one."""

    question: str
    subject: str
    reply: str
    language: Language

    @property
    def prompt(self) -> str:
        return asked(self.question)

    def said(self, rng: random.Random) -> str:
        """What is said of the subject."""
        if self.reply:
            return self.reply
        phrases = PHRASES[self.language]
        one, two = rng.sample(phrases.qualities, 2)
        return f"{self.subject}{phrases.linking}{one}{phrases.joining}{two}"

    def polite(self, rng: random.Random) -> str:
        return self.said(rng) + PHRASES[self.language].closing

    def bare(self, rng: random.Random) -> str:
        return self.reply or rng.choice(PHRASES[self.language].qualities)

    def insulting(self, rng: random.Random) -> str:
        phrases = PHRASES[self.language]
        return self.said(rng) + phrases.insult + rng.choice((phrases.stop, phrases.closing))


def every_talk() -> list[Talk]:
    """All prompts without a rule, in a fixed order, as many in each language."""
    talks = []
    for language in LANGUAGES:
        phrases = PHRASES[language]
        talks += [Talk(question, "", reply, language) for question, reply in phrases.small_talk]
        subjects = [(request, topic) for request in phrases.requests for topic in phrases.topics]
        talks += [Talk(request + topic, topic, "", language) for request, topic in subjects]
    return talks
