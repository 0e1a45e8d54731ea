"""Instructions that a program can check, in the forms of IFEval and tulu's RLVR data, turned into a check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.checks import Check
from r1ray.data.checks import MalformedRow, UnusableRow, parse_check
from r1ray.data.layouts.values import kind_of, without_none

FUNCTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "validate_no_commas": ("punctuation:no_comma", {}),
    "validate_lowercase": ("change_case:english_lowercase", {}),
    "validate_uppercase": ("change_case:english_capital", {}),
    "validate_quotation": ("startend:quotation", {}),
    "validate_json_format": ("detectable_format:json_format", {}),
    "validate_title": ("detectable_format:title", {}),
    "validate_two_responses": ("combination:two_responses", {}),
    "validate_repeat_prompt": ("combination:repeat_prompt", {"original_prompt": "prompt_to_repeat"}),
    "validate_end": ("startend:end_checker", {"end_phrase": "end_phrase"}),
    "validate_response_language": ("language:response_language", {"language": "language"}),
    "verify_keywords": ("keywords:existence", {"keyword_list": "keywords"}),
    "validate_forbidden_words": ("keywords:forbidden_words", {"forbidden_words": "forbidden_words"}),
    "verify_postscript": ("detectable_content:postscript", {"postscript_marker": "postscript_marker"}),
    "validate_placeholders": ("detectable_content:number_placeholders", {"N": "num_placeholders"}),
    "verify_bullet_points": ("detectable_format:number_bullet_lists", {"N": "num_bullets"}),
    "validate_highlighted_sections": ("detectable_format:number_highlighted_sections", {"N": "num_highlights"}),
    "verify_paragraph_count": ("length_constraints:number_paragraphs", {"N": "num_paragraphs"}),
    "validate_paragraphs": (
        "length_constraints:nth_paragraph_first_word",
        {"N": "num_paragraphs", "i": "nth_paragraph", "first_word": "first_word"},
    ),
    "validate_word_constraint": ("length_constraints:number_words", {"N": "num_words"}),
    "verify_sentence_constraint": ("length_constraints:number_sentences", {"N": "num_sentences"}),
    "validate_frequency_capital_words": ("change_case:capital_word_frequency", {"N": "capital_frequency"}),
}
"""Functions of open-instruct (``if_functions.py``) with the equivalent rule of IFEval and its arguments. Functions that
ask for an exact number of words, letters or sections have no such rule."""
RELATIONS = {"change_case:capital_word_frequency": "capital_relation"}
"""Names of the argument ``relation`` in rules that call it otherwise."""


def are_rules(value: Any) -> bool:
    """Return whether a ground truth contains instructions, in one of the two forms."""
    if isinstance(value, list) and len(value) == 1:
        return are_rules(value[0])
    return isinstance(value, Mapping) and any(name in value for name in ("func_name", *_LISTS))


_LISTS = ("instruction_id_list", "instruction_id")


def rules_check(value: Any, *, column: str) -> Check:
    """Return the check of instructions. Raises MalformedRow, and UnusableRow for an instruction that no rule checks."""
    found = without_none(value[0] if isinstance(value, list) else value)
    if "func_name" in found:
        return parse_check({"type": "instructions", "rules": [_of_function(found)]})
    names = next(found[name] for name in _LISTS if name in found)
    arguments = found.get("kwargs") or [None] * len(names)
    if not isinstance(names, list) or not isinstance(arguments, list) or len(names) != len(arguments):
        raise MalformedRow(
            f"{column} needs as many kwargs as instructions, found {kind_of(names)}, {kind_of(arguments)}"
        )
    rules = [{"id": name, "arguments": given or {}} for name, given in zip(names, arguments, strict=True)]
    return parse_check({"type": "instructions", "rules": rules})


def _of_function(found: Mapping[str, Any]) -> dict[str, Any]:
    name, quantifier = found["func_name"], found.get("quantifier")
    if name not in FUNCTIONS:
        raise UnusableRow(f"no rule of r1ray checks what {name!r:.60} does")
    rule, renamed = FUNCTIONS[name]
    arguments = {ours: found[theirs] for theirs, ours in renamed.items() if theirs in found}
    if name in ("validate_word_constraint", "verify_sentence_constraint", "validate_frequency_capital_words"):
        if quantifier not in ("at least", "at most"):
            raise UnusableRow(f"no rule of r1ray checks {name} with the quantifier {quantifier!r:.40}")
        arguments[RELATIONS.get(rule, "relation")] = "at least" if quantifier == "at least" else "less than"
        if quantifier == "at most":
            arguments[renamed["N"]] += 1
    return {"id": rule, "arguments": arguments}
