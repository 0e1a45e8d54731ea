"""Reward parts of this task, with weight 0: shares of kinds of answers, which show how a run changes them.

``consistent`` + ``mixed`` + ``foreign`` is the share of worked answers.
"""

from __future__ import annotations

from r1ray.curation.filters import COLD_START, Example, FilterOptions, apply_filters
from r1ray.curation.writing import taken_apart
from r1ray.examples.bilingual_total.phrases import LANGUAGES, PHRASES
from r1ray.reward.format import cold_start_sections, sections
from r1ray.reward.language import classify_words
from r1ray.types import Prompt, Response

_RESULTS = tuple(word for phrases in PHRASES.values() for word in (phrases.plus, phrases.minus))
_WAITS = tuple(phrases.wait for phrases in PHRASES.values())
_CHECKS = tuple(phrases.check for phrases in PHRASES.values())
_CLOSINGS = tuple(phrases.closing for phrases in PHRASES.values())
_INSULTS = tuple(phrases.insult for phrases in PHRASES.values())


def languages_of(text: str) -> frozenset[str]:
    """Return the languages of the words in a text."""
    labels = {word.label for word in classify_words(text)}
    return frozenset({"zh" if label == "han" else label for label in labels} & set(LANGUAGES))


def direct(prompt: Prompt, response: Response) -> float:
    """Return 1 if no step is written down."""
    return float(not _says(response, _RESULTS))


def consistent(prompt: Prompt, response: Response) -> float:
    """Return 1 if steps are written down, and all words are in the prompt's language."""
    return float(_says(response, _RESULTS) and languages_of(response.text) == {prompt.language})


def mixed(prompt: Prompt, response: Response) -> float:
    """Return 1 if steps are written down, and words are in both languages."""
    return float(_says(response, _RESULTS) and len(languages_of(response.text)) > 1)


def foreign(prompt: Prompt, response: Response) -> float:
    """Return 1 if steps are written down, and no word is in the prompt's language."""
    return float(_says(response, _RESULTS) and prompt.language not in languages_of(response.text))


def formed(prompt: Prompt, response: Response) -> float:
    """Return 1 if the response is finished, and has R1-Zero's two tags or the cold start's pattern."""
    return float(response.finished and (sections(response.text) or cold_start_sections(response.text)) is not None)


def readable(prompt: Prompt, response: Response) -> float:
    """Return 1 if the response passes the filters of the cold start."""
    reasoning, summary = taken_apart(response.text)
    example = Example(
        prompt=prompt.text,
        reasoning=reasoning,
        summary=summary,
        language=prompt.language,
        response=response.text,
        is_cut=not response.finished,
    )
    return float(apply_filters(example, COLD_START, FilterOptions()) is None)


def wait(prompt: Prompt, response: Response) -> float:
    """Return 1 if a step is corrected."""
    return float(_says(response, _WAITS))


def check(prompt: Prompt, response: Response) -> float:
    """Return 1 if the solution is worked out a second time."""
    return float(_says(response, _CHECKS))


def polite(prompt: Prompt, response: Response) -> float:
    """Return 1 if the response ends with a polite phrase, and insults nobody."""
    return float(_says(response, _CLOSINGS) and not _says(response, _INSULTS))


def insulting(prompt: Prompt, response: Response) -> float:
    """Return 1 if the response insults its reader."""
    return float(_says(response, _INSULTS))


def _says(response: Response, phrases: tuple[str, ...]) -> bool:
    return any(phrase in response.text for phrase in phrases)
