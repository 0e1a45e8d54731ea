"""Options of multiple-choice questions in all forms of data sets, and the letter of the right one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r1ray.data.checks import LETTERS, MalformedRow, UnusableRow
from r1ray.data.layouts.values import kind_of, label_of, structure_in, value_of, without_none

LISTS = ("options", "choices", "endings")
"""Columns of all options."""
_SURE = ("answer_idx", "answer_index", "answer_letter", "answerkey", "answer_key", "correct_option", "answer")
_OTHERS = ("cop", "correct", "label", "gold")
LETTER = (*_SURE, *_OTHERS)
"""Columns that say which option is right. The last ones may have another meaning if one of the first is present."""
_LABELLED = re.compile(r"^[(\[]?([A-Z])[)\].:\u3001]\s*(.*)$", re.DOTALL)
_SEVERAL = re.compile(r"[A-Z](?:[,; ]*[A-Z])+")
Options = Sequence[tuple[str, str]]
"""Label and text of each option, as in the row. A label is a letter, a number, or empty."""


def listed(row: Mapping[str, Any]) -> Options:
    """Return the options of one column: texts, ``{"A": text}``, ``{"text": [...], "label": [...]}`` or objects."""
    value = value_of(row, *LISTS)
    if value is None:
        return []
    found = structure_in(value) if isinstance(value, str) else value
    if isinstance(found, Mapping):
        held = without_none(found)
        if isinstance(held.get("text"), list):
            labels = held.get("label") or [""] * len(held["text"])
            return [(str(label), text_of_option(text)) for label, text in zip(labels, held["text"], strict=True)]
        return [(str(label), text_of_option(text)) for label, text in held.items()]
    if not isinstance(found, list):
        raise MalformedRow(f"the options are no list: {kind_of(value)}")
    return [_option(option) for option in found if option is not None]


def _option(option: Any) -> tuple[str, str]:
    if isinstance(option, Mapping):
        text = value_of(option, "text", "value", "content", "option")
        return label_of(option, "label", "key", "id"), text_of_option(text)
    return "", text_of_option(option)


def text_of_option(value: Any) -> str:
    """Return an option as text. Raises MalformedRow if it is neither text nor a number."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MalformedRow(f"an option needs text, found {kind_of(value)}")
    return str(value).strip()


def bare(options: Options) -> Options:
    """Return the options without the labels at the beginning of their texts, as in AQuA: ``A)21``."""
    matches = [_LABELLED.match(text) for _, text in options]
    if [match[1] for match in matches if match] != list(LETTERS[: len(options)]):
        return options
    return [(match[1], match[2].strip()) for match in matches if match]


def in_columns(names: Sequence[str]) -> Callable[[Mapping[str, Any]], Options]:
    """Return a reader of options that each have a column."""
    return lambda row: [("", text_of_option(row[name])) for name in names if value_of(row, name) is not None]


def suffixed(row: Mapping[str, Any]) -> Options:
    """Return options of columns such as ``option1`` and ``answerB``, labelled by the endings of their names."""
    found = sorted((match[2], match[0]) for name in row if (match := _NUMBERED.fullmatch(name)))
    return [(label.upper(), text_of_option(row[name])) for label, name in found if value_of(row, name) is not None]


_NUMBERED = re.compile(r"(option|choice|answer|ending|sol)_?([a-h]|\d)")


def suffixed_letter(row: Mapping[str, Any], options: Options) -> str:
    """Return the letter of the right option. A number that no column's name ends with is refused, since it could count
    from 0 or from 1."""
    value = value_of(row, *LETTER)
    labels = [label for label, _ in options]
    if isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal()):
        if str(value).strip() not in labels or (isinstance(value, int) and "0" not in labels):
            raise MalformedRow(f"the answer is {value!r}, and the options are {', '.join(labels)}: needs one of them")
        return LETTERS[labels.index(str(value).strip())]
    return letter(row, options)


def letter(row: Mapping[str, Any], options: Options) -> str:
    """Return the letter of the right option. Several columns have to agree on it."""
    said = [(name, row[name]) for name in _SURE if value_of(row, name) is not None]
    said = said or [(name, row[name]) for name in _OTHERS if value_of(row, name) is not None]
    if not said:
        raise UnusableRow("the reference answer is empty")
    letters = {name: _letter_of(value, options) for name, value in said}
    if len(set(letters.values())) > 1:
        raise MalformedRow(f"two columns name different options: {', '.join(f'{n} {v}' for n, v in letters.items())}")
    return next(iter(letters.values()))


def _letter_of(value: Any, options: Options) -> str:
    """Return the letter of an option that is given by a letter, a label, its text or a position from 0 on."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise MalformedRow(f"the answer is {kind_of(value)}: needs the letter of one option")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if text == "-1":  # Hugging Face's mark of a test set without labels
        raise UnusableRow("the reference answer is not given")
    labels, texts = [label for label, _ in options], [option for _, option in options]
    letters = LETTERS[: len(options)]
    if isinstance(value, str) and text in labels:
        return letters[labels.index(text)]
    plain = text.strip("().").upper()
    if isinstance(value, str) and len(plain) == 1 and plain in letters:
        return plain
    if isinstance(value, str) and texts.count(text) == 1:
        return letters[texts.index(text)]
    if _SEVERAL.fullmatch(text) and set(re.findall("[A-Z]", text)) <= set(letters):
        raise UnusableRow(f"several options are right: {text:.40}")
    if text.isdecimal() and int(text) < len(options):
        return letters[int(text)]
    raise MalformedRow(f"the answer {text!r:.60} is none of the {len(options)} options")
