"""Instruction following: the 25 rules of IFEval (Zhou et al. 2023), strict and loose.

    response --after the reasoning--> text, and seven variants of it --every rule--> metrics

Each rule follows the published checker, in linear time for any text. Three use other libraries: sentences are counted
by punctuation and abbreviations instead of NLTK's punkt model, words in capitals are tokenized by a pattern instead of
NLTK's tokenizer, and languages are identified by py3langid instead of langdetect, which gives different answers to the
same text.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from r1ray.checks import Instructions, Rule
from r1ray.reward.extract import after_think, answer_section
from r1ray.types import Score

RuleFn = Callable[..., bool]
RELATIONS = ("less than", "at least")
OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
RULES: dict[str, RuleFn] = {}
"""Rules by their published ids. Each takes the text and the published arguments by name."""


def rule(name: str) -> Callable[[RuleFn], RuleFn]:
    """Register a function under a published id."""

    def register(function: RuleFn) -> RuleFn:
        RULES[name] = function
        return function

    return register


def instructions_score(check: Instructions, text: str) -> Score:
    """Return a score of 1 if every rule holds strictly. Metrics: ``prompt_strict``, ``prompt_loose``, and the counts
    ``instructions``, ``instructions_strict``, ``instructions_loose``, which add up over prompts."""
    final = after_think(text)
    section = answer_section(final)
    final = (final if section is None else section).strip()
    strict = [follows(rule, final) for rule in check.rules]
    loose = [any(follows(rule, variant) for variant in variants(final)) for rule in check.rules]
    metrics = {
        "prompt_strict": float(all(strict)),
        "prompt_loose": float(all(loose)),
        "instructions": float(len(strict)),
        "instructions_strict": float(sum(strict)),
        "instructions_loose": float(sum(loose)),
    }
    broken = [rule.id for rule, holds in zip(check.rules, strict, strict=True) if not holds]
    label = "no_answer" if not final else "wrong" if broken else "correct"
    return Score(metrics["prompt_strict"], label, final or None, f"not followed: {', '.join(broken)}", metrics)


def follows(rule: Rule, text: str) -> bool:
    """Return whether a text follows a rule. An empty text follows none."""
    return bool(text.strip()) and RULES[rule.id](text, **json.loads(rule.arguments))


def variants(text: str) -> list[str]:
    """Return the texts of the loose check: the text unchanged and without its first, its last or both lines, each with
    and without asterisks."""
    lines = text.split("\n")
    cut = [text, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    return list(dict.fromkeys(cut + [each.replace("*", "") for each in cut]))


def rules_problem(check: Instructions) -> str | None:
    """Return the reason why a prompt's rules cannot be checked; None if they can."""
    for rule in check.rules:
        function = RULES.get(rule.id)
        if function is None:
            return f"there is no instruction {rule.id!r:.60}"
        arguments = json.loads(rule.arguments)
        try:
            inspect.signature(function).bind("", **arguments)
        except TypeError as error:
            return f"{rule.id}: {error}"
        relation = next((value for name, value in arguments.items() if name.endswith("relation")), RELATIONS[0])
        if relation not in RELATIONS:
            return f"{rule.id}: the relation {relation!r:.40} is none of {', '.join(RELATIONS)}"
    return None


def _holds(count: int, relation: str, bound: float) -> bool:
    return count < bound if relation == RELATIONS[0] else count >= bound


# ---------------------------------------------------------------------- keywords


def _occurrences(keyword: str, text: str) -> int:
    return len(re.findall(re.escape(keyword), text, re.IGNORECASE)) if keyword else 0


@rule("keywords:existence")
def has_keywords(text: str, *, keywords: Sequence[str]) -> bool:
    """Return whether every keyword occurs, in any case."""
    return all(_occurrences(keyword, text) for keyword in keywords)


@rule("keywords:frequency")
def has_keyword_often(text: str, *, keyword: str, frequency: float, relation: str) -> bool:
    """Return whether a keyword occurs as often as required."""
    return _holds(_occurrences(keyword.strip(), text), relation, frequency)


@rule("keywords:forbidden_words")
def has_no_forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> bool:
    """Return whether none of the words occurs as a word."""
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words)


@rule("keywords:letter_frequency")
def has_letter_often(text: str, *, letter: str, let_frequency: float, let_relation: str) -> bool:
    """Return whether a letter occurs as often as required, in any case."""
    return _holds(text.lower().count(letter.strip().lower()), let_relation, let_frequency)


# ---------------------------------------------------------------------- language and case


@functools.cache
def _identifier() -> Any:
    import py3langid  # loads a model, which only these rules need

    return py3langid


def _language_of(text: str) -> str | None:
    """Return the language of a text; None if it has no letter."""
    return str(_identifier().classify(text)[0]) if any(map(str.isalpha, text)) else None


@rule("language:response_language")
def is_in_language(text: str, *, language: str) -> bool:
    """Return whether the text is in a language. A text without a letter is in any."""
    return _language_of(text) in (None, language)


@rule("change_case:english_capital")
def is_english_capitals(text: str) -> bool:
    """Return whether the text is English in capital letters only."""
    return text.isupper() and _language_of(text.lower()) in (None, "en")


@rule("change_case:english_lowercase")
def is_english_lowercase(text: str) -> bool:
    """Return whether the text is English without a capital letter."""
    return text.islower() and _language_of(text) in (None, "en")


_TOKEN = re.compile(r"\w+(?:[-'.&/]\w+)*")


@rule("change_case:capital_word_frequency")
def has_capital_words(text: str, *, capital_frequency: float, capital_relation: str) -> bool:
    """Return whether as many words as required are in capitals. A hyphenated word is one word."""
    return _holds(sum(word.isupper() for word in _TOKEN.findall(text)), capital_relation, capital_frequency)


# ---------------------------------------------------------------------- length

_ABBREVIATION = re.compile(r"(?:\b(?:Mr|Mrs|Ms|Dr|St|Prof|Jr|Sr|vs|etc|Inc|Ltd|Co|No|e\.g|i\.e)|\b[A-Za-z])\.$")
_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"'\u201d\u2019)\]*_]*+(?=\s|$)|[\u3002\uff01\uff1f\u0964]++")


def count_sentences(text: str) -> int:
    """Return the number of sentences by the punctuation that ends them. A rest without any counts, too.

    >>> count_sentences("Dr. Lee paid 3.50. Really? Yes")
    3
    """
    text = text.strip()
    count, start = 0, 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text, max(start, end.end() - 8), end.end()) and end.end() < len(text):
            continue
        count += any(map(str.isalnum, text[start : end.start()]))
        start = end.end()
    return count + any(map(str.isalnum, text[start:]))


@rule("length_constraints:number_sentences")
def has_sentences(text: str, *, num_sentences: float, relation: str) -> bool:
    """Return whether the text has as many sentences as required."""
    return _holds(count_sentences(text), relation, num_sentences)


@rule("length_constraints:number_words")
def has_words(text: str, *, num_words: float, relation: str) -> bool:
    """Return whether the text has as many words as required."""
    return _holds(len(re.findall(r"\w+", text)), relation, num_words)


@rule("length_constraints:number_paragraphs")
def has_paragraphs(text: str, *, num_paragraphs: float) -> bool:
    """Return whether ``***`` separates exactly that many paragraphs. Only the first and last piece may be empty."""
    paragraphs = [bool(paragraph.strip()) for paragraph in text.split("***")]
    return all(paragraphs[1:-1]) and sum(paragraphs) == num_paragraphs


@rule("length_constraints:nth_paragraph_first_word")
def starts_paragraph_with(text: str, *, num_paragraphs: float, nth_paragraph: float, first_word: str) -> bool:
    """Return whether empty lines separate exactly that many paragraphs, of which the given one starts with a word."""
    paragraphs = text.split("\n\n")
    number = sum(bool(paragraph.strip()) for paragraph in paragraphs)
    if number != num_paragraphs or not 1 <= nth_paragraph <= number:
        return False
    words = paragraphs[int(nth_paragraph) - 1].split()
    return bool(words) and re.split(r"[.,?!'\"]", words[0].lstrip("'\""))[0].lower() == first_word.strip().lower()


# ---------------------------------------------------------------------- content and format


@rule("detectable_content:number_placeholders")
def has_placeholders(text: str, *, num_placeholders: float) -> bool:
    """Return whether the text has at least that many ``[placeholders]``."""
    count = 0
    for line in text.split("\n"):
        at = line.find("[")
        while at >= 0 and (end := line.find("]", at)) >= 0:
            count, at = count + 1, line.find("[", end)
    return count >= num_placeholders


@rule("detectable_content:postscript")
def has_postscript(text: str, *, postscript_marker: str) -> bool:
    """Return whether the text has the marker of a postscript, with or without a space inside."""
    marker = postscript_marker.strip()
    spelled = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}.get(marker, re.escape(marker.lower()))
    return re.search(spelled, text.lower()) is not None


@rule("detectable_format:number_bullet_lists")
def has_bullets(text: str, *, num_bullets: float) -> bool:
    """Return whether the text has exactly that many bullet points: lines that start with ``*`` or ``-``."""
    lines = [line.lstrip() for line in text.split("\n")]
    return num_bullets == sum(line[:1] == "-" or (line[:1] == "*" and line[1:2] != "*") for line in lines)


@rule("detectable_format:constrained_response")
def is_one_of_the_options(text: str) -> bool:
    """Return whether the text contains one of three given sentences."""
    return any(option in text for option in OPTIONS)


@rule("detectable_format:number_highlighted_sections")
def has_highlights(text: str, *, num_highlights: float) -> bool:
    """Return whether the text has at least that many non-empty ``*highlighted*`` or ``**highlighted**`` parts."""
    single = sum(bool(found.strip("*").strip()) for found in re.findall(r"\*[^\n*]*\*", text))
    double = sum(bool(found.strip()) for found in re.findall(r"\*\*([^\n*]*)\*\*", text))
    return single + double >= num_highlights


@rule("detectable_format:multiple_sections")
def has_sections(text: str, *, section_spliter: str, num_sections: float) -> bool:
    """Return whether the text has at least that many sections, each beginning with the splitter and a number."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d", text)) >= num_sections


@rule("detectable_format:json_format")
def is_json(text: str) -> bool:
    """Return whether the whole text is JSON, fenced or not."""
    plain = re.sub(r"^```(?:json|Json|JSON)?", "", text.strip()).removesuffix("```")
    try:
        json.loads(plain)
    except (ValueError, RecursionError):
        return False
    return True


@rule("detectable_format:title")
def has_title(text: str) -> bool:
    """Return whether the text has a ``<<title>>`` on one line that is not empty."""
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end and line[start:end].strip("<> \t"):
            return True
    return False


# ---------------------------------------------------------------------- combination, start and end, punctuation


@rule("combination:two_responses")
def has_two_responses(text: str) -> bool:
    """Return whether the text is two different responses with ``******`` between them."""
    parts = [part.strip() for part in text.split("******")]
    valid = [part for part in parts if part]
    return all(parts[1:-1]) and len(valid) == 2 and valid[0] != valid[1]


@rule("combination:repeat_prompt")
def repeats_the_prompt(text: str, *, prompt_to_repeat: str) -> bool:
    """Return whether the text begins with the prompt, word for word."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


@rule("startend:end_checker")
def ends_with(text: str, *, end_phrase: str) -> bool:
    """Return whether the text ends with a phrase."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


@rule("startend:quotation")
def is_quoted(text: str) -> bool:
    """Return whether the whole text is in double quotation marks."""
    plain = text.strip()
    return len(plain) > 1 and plain[0] == plain[-1] == '"'


@rule("punctuation:no_comma")
def has_no_comma(text: str) -> bool:
    """Return whether the text has no comma."""
    return "," not in text
