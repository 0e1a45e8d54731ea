"""Prompt sensitivity: how far pass@1 moves with the words in which the same questions are asked (paper, section 5).

Means that are measured on some samples differ even where the prompt does not matter. So the spread stands beside the
one that chance makes: of the same samples, dealt out anew among the prompts of each question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from r1ray.evaluation.records import Answered
from r1ray.evaluation.resampling import Bootstrap, Interval, Metric, percentiles

Floats = npt.NDArray[np.float64]
NUM_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSpread:
    """pass@1 over the prompts in which the same questions were asked."""

    by_prompt: dict[str, Metric]
    """pass@1 of each prompt, its interval over questions."""
    mean: Metric
    """Mean over prompts."""
    spread: Metric
    """The highest less the lowest, over the same questions drawn again."""
    by_chance: float
    """Mean of the spread where the prompt does not matter."""
    p_value: float
    """Chance of so large a spread where the prompt does not matter."""
    num_questions: int
    num_left_out: int
    """Questions without a scored sample in some prompt."""

    @property
    def lowest(self) -> str:
        """The prompt with the lowest pass@1."""
        return min(self.by_prompt, key=lambda name: self.by_prompt[name].value)

    @property
    def highest(self) -> str:
        """The prompt with the highest pass@1."""
        return max(self.by_prompt, key=lambda name: self.by_prompt[name].value)


def prompt_spread(
    answers: Mapping[str, Sequence[Answered]], *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> PromptSpread:
    """Return the spread over prompts.

    Args:
        answers: of each prompt, to the same questions, by their ids.

    Raises ValueError where no question has a scored sample in every prompt.
    """
    scored = {
        name: {one.id: values for one in questions if (values := _values(one))} for name, questions in answers.items()
    }
    everywhere = sorted(set.intersection(*(set(each) for each in scored.values())))
    if not everywhere:
        raise ValueError("no question has a scored sample in every prompt.")
    draw = Bootstrap(seed, num_resamples)
    rows = {name: [by_id[each] for each in everywhere] for name, by_id in scored.items()}
    means_PQ = np.array([[np.mean(values) for values in row] for row in rows.values()])
    value = _spread(means_PQ.mean(axis=1))
    picks_RQ = draw.rng.integers(0, len(everywhere), size=(num_resamples, len(everywhere)))
    drawn_R = np.array([_spread(means_PQ[:, picks_Q].mean(axis=1)) for picks_Q in picks_RQ])
    # Drawing again adds noise, and noise adds to a largest difference: only how far it varies counts.
    interval = percentiles(value, np.clip(drawn_R - drawn_R.mean() + value, 0.0, 1.0))
    chance_R = _by_chance(list(rows.values()), draw.rng, num_resamples)
    total = {one.id for questions in answers.values() for one in questions}
    return PromptSpread(
        by_prompt={name: draw.mean(row) for name, row in rows.items()},
        mean=draw.mean(means_PQ.T.tolist()),
        spread=Metric(value, Interval(interval.low, interval.high)),
        by_chance=float(chance_R.mean()),
        p_value=float((1 + (chance_R >= value - 1e-12).sum()) / (num_resamples + 1)),
        num_questions=len(everywhere),
        num_left_out=len(total) - len(everywhere),
    )


def _values(question: Answered) -> list[float]:
    return [float(sample.is_right) for sample in question.samples if sample.value is not None]


def _spread(means_P: Floats) -> float:
    return float(means_P.max() - means_P.min())


def _by_chance(rows_P: Sequence[Sequence[Sequence[float]]], rng: np.random.Generator, num_resamples: int) -> Floats:
    """Spreads [R] of the samples of each question dealt out anew among its prompts, as many to each as it has."""
    num_prompts, num_questions = len(rows_P), len(rows_P[0])
    cells = [(q, p, value) for p, row in enumerate(rows_P) for q, values in enumerate(row) for value in values]
    cells.sort(key=lambda cell: cell[:2])
    question_N, prompt_N = (np.array([cell[i] for cell in cells]) for i in (0, 1))
    value_N = np.array([cell[2] for cell in cells])
    place_N = question_N * num_prompts + prompt_N
    size_QP = np.bincount(place_N, minlength=num_questions * num_prompts)
    spreads = []
    for _ in range(num_resamples):
        dealt_N = value_N[np.lexsort((rng.random(len(cells)), question_N))]
        means_QP = np.bincount(place_N, dealt_N, minlength=len(size_QP)) / size_QP
        spreads.append(_spread(means_QP.reshape(num_questions, num_prompts).mean(axis=0)))
    return np.array(spreads)
