"""IFEval's rules: for each, texts that follow it and texts that do not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from r1ray.checks import Instructions, Rule
from r1ray.reward.instructions import RULES, count_sentences, follows, instructions_score, rules_problem, variants
from tests.growth import assert_linear

LONG_ITALIAN = "Questa risposta parla della pioggia che cade sulle strade della città durante tutto il pomeriggio."
LONG_FRENCH = "Cette réponse parle de la pluie qui tombe sur les rues de la ville pendant tout l'après-midi."
LONG_ENGLISH = "this answer is about the rain that falls on the streets of the city for the whole afternoon."

CASES: list[tuple[str, dict[str, Any], str, str]] = [
    ("keywords:existence", {"keywords": ["rain", "C++"]}, "Rain in c++.", "Rain in C."),
    ("keywords:frequency", {"keyword": "rain", "frequency": 2, "relation": "at least"}, "rain, Rain", "rain"),
    ("keywords:frequency", {"keyword": "rain", "frequency": 2, "relation": "less than"}, "rain", "rain, Rain"),
    ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "category", "a Cat."),
    ("keywords:letter_frequency", {"letter": "e", "let_frequency": 2, "let_relation": "at least"}, "Eel", "el"),
    ("language:response_language", {"language": "it"}, LONG_ITALIAN, LONG_FRENCH),
    ("language:response_language", {"language": "hi"}, "यह उत्तर हिन्दी में लिखा गया है और बारिश के बारे में है।", LONG_ENGLISH),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "at least"}, "One. Two.", "Dr. One."),
    ("length_constraints:number_sentences", {"num_sentences": 2, "relation": "less than"}, "3.5 only.", "One. Two."),
    ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a\n***\n***\nb"),
    ("length_constraints:number_words", {"num_words": 3, "relation": "at least"}, "one two three", "one two"),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
        'First this.\n\n"Then, that.',
        "First this.\n\nThat then.",
    ),
    ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name], [city]", "[name], [[city"),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\np. s. More", "PS More"),
    ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "P.P.S. More", "P.S. More"),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n  - b\n**c**", "* a"),
    ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
    ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and *b*", "*a* and **"),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "Section", "num_sections": 2},
        "Section 1\na\nSection 2\nb",
        "Section 1\na",
    ),
    ("detectable_format:json_format", {}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ("detectable_format:title", {}, "<<Rain>>\ntext", "<< >>\ntext"),
    ("combination:two_responses", {}, "a******b", "a******a"),
    ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", "It. Say it."),
    ("startend:end_checker", {"end_phrase": "That is all."}, 'Rain. "That is all."', "That is all. Bye."),
    ("startend:quotation", {}, '"all of it"', '"'),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "less than"},
        "A WELL-KNOWN"[2:] + " fact",
        "NASA and USA",
    ),
    ("change_case:english_capital", {}, LONG_ENGLISH.upper(), LONG_ENGLISH),
    ("change_case:english_lowercase", {}, LONG_ENGLISH, LONG_ITALIAN.lower()),
    ("punctuation:no_comma", {}, "none here", "one, here"),
]


@pytest.mark.parametrize(("name", "arguments", "good", "bad"), CASES)
def test_a_rule_is_followed_or_not(name: str, arguments: dict[str, Any], good: str, bad: str) -> None:
    rule = Rule(name, json.dumps(arguments))
    assert rules_problem(Instructions((rule,))) is None
    assert follows(rule, good)
    assert not follows(rule, bad)
    assert not follows(rule, "  "), "an empty response follows nothing"


def test_all_published_rules_are_there() -> None:
    assert len(RULES) == 25
    assert {name for name, *_ in CASES} == set(RULES)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("One", 1),
        ("One. Two! Three?", 3),
        ("It costs 3.50 in the U.S. today. Really?", 2),
        ("Mr. Lee met Dr. Park.", 1),
        ('He said "no." Then he left.', 2),
        ("一句。两句!", 2),
        ("Well... yes.", 2),
    ],
)
def test_sentences_are_counted(text: str, count: int) -> None:
    assert count_sentences(text) == count


def test_strict_and_loose_are_told_apart() -> None:
    rules = (Rule("startend:quotation", "{}"), Rule("punctuation:no_comma", "{}"))
    score = instructions_score(Instructions(rules), '<think>,</think>Here it is:\n"rain"')
    assert (score.value, score.label, score.detail) == (0.0, "wrong", "not followed: startend:quotation")
    assert score.metrics == {
        "prompt_strict": 0.0,
        "prompt_loose": 1.0,
        "instructions": 2.0,
        "instructions_strict": 1.0,
        "instructions_loose": 2.0,
    }


def test_the_loose_variants_are_the_published_eight() -> None:
    assert variants("a\n*b*\nc") == ["a\n*b*\nc", "*b*\nc", "a\n*b*", "*b*", "a\nb\nc", "b\nc", "a\nb", "b"]


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (Rule("poetry:rhyme", "{}"), "there is no instruction 'poetry:rhyme'"),
        (Rule("detectable_format:title", '{"size": 3}'), "unexpected keyword argument 'size'"),
        (Rule("length_constraints:number_words", '{"num_words": 3}'), "missing a required argument: 'relation'"),
        (Rule("length_constraints:number_words", '{"num_words": 3, "relation": "about"}'), "the relation 'about'"),
    ],
)
def test_a_rule_that_cannot_be_checked_is_a_problem_of_the_row(rule: Rule, problem: str) -> None:
    found = rules_problem(Instructions((rule,)))
    assert found is not None and problem in found


@pytest.mark.parametrize(("unit", "end"), [(".", "a"), ("\n", "x"), ("[", ""), ("<<", ""), ("*", "*"), ("* ", "")])
def test_hostile_text_takes_linear_time(unit: str, end: str) -> None:
    def work(text: str) -> None:
        for name, arguments, *_ in CASES:
            if not name.startswith(("language", "change_case")):
                follows(Rule(name, json.dumps(arguments)), text)

    assert_linear(work, lambda size: unit * size + end, 200_000 // len(unit))
