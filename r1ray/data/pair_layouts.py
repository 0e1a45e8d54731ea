"""The layouts of preferences. Each line of :data:`PAIRS` is a layout, and README.md has a line for each.

Columns are named as in the data set's card; ``a.b`` is the key ``b`` of the column ``a``. Besides its own columns,
every layout reads ``system`` or ``system_prompt``, and ``tools``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from r1ray.data.dialogues import JOINED, Layout
from r1ray.data.pairs import PairLayout, is_number
from r1ray.data.ranked import ComparisonLayout, RankedLayout


def sign(value: Any) -> int:
    """Return the side of a preference on a scale around 0."""
    return int(value > 0) - int(value < 0)


def index(value: Any) -> int:
    """Return the side of an index, 0 or 1."""
    return {0: -1, 1: 1}[value]


def first_is_better(value: Any) -> int:
    """Return the side of a number that is 1 for the first answer and 0 for the second."""
    return -index(value)


def model(value: Any) -> int:
    """Return the side of a model's name in Chatbot Arena."""
    return {"model_a": -1, "model_b": 1, "tie": 0, "tie (bothbad)": 0, "both_bad": 0}[value]


def rank(answer: Mapping[str, Any]) -> float | None:
    """Return the quality of an answer by its rank. Rank 1 is the best."""
    return -float(answer["rank"]) if is_number(answer.get("rank")) else None


def helpfulness(answer: Mapping[str, Any]) -> float | None:
    """Return HelpSteer's rating of the overall helpfulness of an answer."""
    return float(answer["helpfulness"]) if is_number(answer.get("helpfulness")) else None


def mean_rating(answer: Mapping[str, Any]) -> float | None:
    """Return the mean of UltraFeedback's ratings of an answer. Some values of its ``overall_score`` are known to be
    wrong."""
    aspects = answer.get("annotations")
    given = [aspect.get("Rating") for aspect in aspects.values() if aspect] if isinstance(aspects, Mapping) else []
    ratings = [float(rating) for rating in given if str(rating).replace(".", "", 1).isdigit()]
    return sum(ratings) / len(ratings) if ratings else None


PAIRS: tuple[Layout, ...] = (
    PairLayout(
        title="Math-Step-DPO",
        question="prompt",
        chosen="full_chosen",
        rejected="full_rejected",
        marks=("initial_reason_steps",),
    ),
    PairLayout(title="prompt and two answers", question="prompt"),
    PairLayout(
        title="prompt and two responses", question="prompt", chosen="chosen_response", rejected="rejected_response"
    ),
    PairLayout(
        title="argilla, preferences", question="instruction", chosen="chosen_response", rejected="rejected_response"
    ),
    PairLayout(title="LLaMA-Factory, ShareGPT form", question="conversations"),
    PairLayout(title="UltraInteract", question="trajectory"),
    PairLayout(title="LLaMA-Factory, Alpaca form", question="instruction", context="input"),
    PairLayout(title="orca_dpo_pairs", question="question"),
    PairLayout(title="distilabel orca_dpo_pairs", question="input"),
    PairLayout(title="stack-exchange-paired", question="question", chosen="response_j", rejected="response_k"),
    PairLayout(title="whole conversations"),
    ComparisonLayout(
        title="PKU-SafeRLHF",
        question="prompt",
        answers=("response_0", "response_1"),
        verdict="better_response_id",
        means=index,
    ),
    ComparisonLayout(
        title="HelpSteer3",
        question="context",
        answers=("response1", "response2"),
        verdict="overall_preference",
        means=sign,
    ),
    ComparisonLayout(
        title="HelpSteer2, preferences",
        question="prompt",
        answers=("response_1", "response_2"),
        verdict="preference_strength",
        means=sign,
    ),
    ComparisonLayout(
        title="SHP",
        question="history",
        answers=("human_ref_A", "human_ref_B"),
        verdict="labels",
        means=first_is_better,
    ),
    ComparisonLayout(
        title="WebGPT comparisons",
        question="question.full_text",
        answers=("answer_0", "answer_1"),
        verdict="score_1",
        means=sign,
    ),
    ComparisonLayout(
        title="Chatbot Arena", answers=("conversation_a", "conversation_b"), verdict="winner", means=model
    ),
    RankedLayout(title="Nectar", question="prompt", answers="answers", text="answer", goodness=rank),
    RankedLayout(
        title="UltraFeedback", question="instruction", answers="completions", text="response", goodness=mean_rating
    ),
    RankedLayout(
        title="HelpSteer, HelpSteer2",
        question="prompt",
        answers=JOINED,
        text="response",
        goodness=helpfulness,
        joins="prompt",
        marks=("helpfulness",),
    ),
)
"""Layouts of preferences. The first one that matches a file's columns counts."""
