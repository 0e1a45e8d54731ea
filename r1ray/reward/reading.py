"""Reading comprehension: exact match and F1 by the normalisation and span alignment of DROP (Dua et al. 2019).

response --short_answer--> text --spans--> normalised spans and bags of words --best of the gold answers--> Score
"""

from __future__ import annotations

import re
import string
from collections.abc import Sequence

from r1ray.checks import Reading
from r1ray.data.answer_forms import DEFAULT_FORMS, HASHES
from r1ray.reward.extract import MAX_ANSWER_CHARS, after_think, answer_section, final_answer
from r1ray.types import Score

MAX_SPANS = 32
MAX_SHORT_ANSWER = 300
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ANSWER_LINE = re.compile(
    r"^[\s*_#>]{0,8}(?:(?i:(?:final )?answer)|答案)[ *_]{0,4}[:\uff1a是][*_]{0,2}([^\n]*)$", re.MULTILINE
)


def reading_score(check: Reading, text: str, *, forms: frozenset[str] = DEFAULT_FORMS) -> Score:
    """Return a score of 1 if the answer is exactly a gold one. Metrics: ``exact_match`` and ``f1``, each the best over
    gold answers."""
    answer = short_answer(text, forms=forms)
    if answer is None:
        return Score(0.0, "no_answer", None, "no answer after the reasoning", {"exact_match": 0.0, "f1": 0.0})
    predicted = [span for span in re.split(r"[|\n]", answer) if span.strip()][:MAX_SPANS]
    scores = [score_spans(predicted, gold) for gold in check.answers]
    exact, f1 = max(exact for exact, _ in scores), max(f1 for _, f1 in scores)
    return Score(exact, "correct" if exact else "wrong", answer, "", {"exact_match": exact, "f1": f1})


def short_answer(text: str, *, forms: frozenset[str] = DEFAULT_FORMS) -> str | None:
    r"""Return the answer of a response: ``\boxed{}`` or ``<answer>``, else its last ``Answer:`` line, else the whole
    text if it is one short line.

    >>> short_answer("<think>7-3</think>The score was 7 to 3.\nAnswer: 4")
    '4'
    """
    final = after_think(text)
    section = answer_section(final)
    lines = _ANSWER_LINE.findall(final if section is None else section)
    boxed = final_answer(text, forms=DEFAULT_FORMS | (forms & {HASHES}))
    if lines and (boxed is None or boxed == section):  # a section may hold a sentence and a line
        found = lines[-1]
    elif boxed is not None:
        found = boxed
    else:
        found = final if "\n" not in final.strip() and len(final) <= MAX_SHORT_ANSWER else ""
    return found.strip(' \t\n*_`"')[:MAX_ANSWER_CHARS] or None


def score_spans(predicted: Sequence[str], gold: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 of predicted spans against the spans of one gold answer.

    Exact match means the same normalised spans in any order. For F1, spans are paired so that the sum of their F1 is
    largest, and the mean is over as many pairs as the longer side has spans. A pair whose gold span has numbers counts
    only if both share a number.

    >>> score_spans(["the Patriots"], ["Patriots"])
    (1.0, 1.0)
    >>> score_spans(["Brady"], ["Brady", "Moss"])
    (0.0, 0.5)
    """
    ours, theirs = [normalise(span) for span in predicted], [normalise(span) for span in gold]
    exact = float(set(ours) == set(theirs) and len(ours) == len(theirs))
    if not ours or not theirs:
        return exact, exact
    bags = [[set(span.split()) for span in spans] for spans in (ours, theirs)]
    table = [[_bag_f1(mine, truth) for mine in bags[0]] for truth in bags[1]]
    return exact, round(best_pairing(table) / max(len(ours), len(theirs)), 2)


def normalise(text: str) -> str:
    """Return a text in lower case, without punctuation and articles, with numbers as floats. Hyphens separate words.

    >>> normalise("The 4-yard pass!")
    '4.0 yard pass'
    """
    words = (_normalise_word(word) for word in re.split(r"[ \-]", text.lower()))
    return " ".join(word for word in words if word)


def _normalise_word(word: str) -> str:
    if not _is_number(word):
        word = "".join(character for character in word if character not in string.punctuation)
    if _is_number(word):
        return str(float(word))
    return " ".join(_ARTICLES.sub(" ", word).split())


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _bag_f1(mine: set[str], truth: set[str]) -> float:
    numbers = {word for word in truth if _is_number(word)}
    if numbers and not numbers & mine:
        return 0.0
    shared = len(mine & truth)
    return 2 * shared / (len(mine) + len(truth)) if shared else float(not mine and not truth)


def best_pairing(table: Sequence[Sequence[float]]) -> float:
    """Return the largest sum of entries with no two in a row or a column, by the Hungarian method in O(n^3).

    >>> best_pairing([[1.0, 0.9], [0.9, 0.0]])
    1.8
    """
    size = max(len(table), *(len(row) for row in table))
    cost = [[-row[j] if j < len(row) else 0.0 for j in range(size)] for row in table]
    cost += [[0.0] * size for _ in range(size - len(table))]
    of_row, of_column = [0.0] * (size + 1), [0.0] * (size + 1)  # potentials; index 0 is the free column
    row_at = [0] * (size + 1)
    for row in range(1, size + 1):
        row_at[0], column = row, 0
        slack, came_from, used = [float("inf")] * (size + 1), [0] * (size + 1), [False] * (size + 1)
        while row_at[column]:
            used[column] = True
            here, nearest, least = row_at[column], 0, float("inf")
            for j in range(1, size + 1):
                if used[j]:
                    continue
                reduced = cost[here - 1][j - 1] - of_row[here] - of_column[j]
                if reduced < slack[j]:
                    slack[j], came_from[j] = reduced, column
                if slack[j] < least:
                    least, nearest = slack[j], j
            for j in range(size + 1):
                if used[j]:
                    of_row[row_at[j]] += least
                    of_column[j] -= least
                else:
                    slack[j] -= least
            column = nearest
        while column:
            row_at[column], column = row_at[came_from[column]], came_from[column]
    return -sum(cost[row_at[j] - 1][j - 1] for j in range(1, size + 1))
