"""Records of evaluation: the judged samples of a question, one JSON object for each question, so that an interrupted
run can continue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from r1ray.algo.compose import accuracy
from r1ray.evaluation.dialogues import SampledDialogue
from r1ray.types import Scored

ACCURACY = "accuracy"


@dataclass(frozen=True, slots=True, kw_only=True)
class InWorld:
    """The trajectory of a response in its environment."""

    reward: float | None
    """The whole reward; None if it could not be scored."""
    num_turns: int
    num_calls: int
    num_errors: int
    """Calls that no tool could serve."""
    wait_s: float
    """Time spent waiting for the environment. Unit: seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One judged response."""

    text: str
    num_tokens: int
    is_truncated: bool
    """True if the length limit ended it."""
    extracted: str | None
    """The answer found in it; None if there is none."""
    value: float | None
    """Accuracy in [0, 1]; None if the sample could not be scored (an error of the machine, a broken reference), which
    never counts as wrong."""
    metrics: dict[str, float]
    """All named parts of the outcome: ``accuracy``, ``f1``, ``instructions_strict``."""
    detail: str
    """Label and reason, for people."""
    fault: Literal["reference", "machine"] | None = None
    """Reason why ``value`` is None: the question's own reference is broken, or a part of the system failed."""
    score: float | None = None
    """A reward model's score of the whole output; any number, higher is better."""
    world: InWorld | None = None
    """None if there was no environment."""
    dialogues: tuple[SampledDialogue, ...] = ()
    """Dialogues of a trajectory in an environment whose texts were read: one for each branch."""

    @property
    def is_right(self) -> bool:
        return self.value is not None and self.value >= 1

    @property
    def label(self) -> str:
        """First word of ``detail``."""
        return self.detail.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question with its samples."""

    id: str
    groups: dict[str, str]
    """Groups for grouped metrics: ``{"subject": "law"}``."""
    num_prompt_tokens: int
    samples: tuple[Sample, ...]
    classes: tuple[int | None, ...] | None
    """Classes of the samples' answers, as returned by :func:`r1ray.algo.consensus.answer_classes`; None if answers to
    this kind of question cannot vote."""


NO_ANSWER = "no_answer"
"""Label of a response in which no answer was found."""


def looks_for_answers(questions: Iterable[Answered]) -> bool:
    """Return whether questions are judged by an answer found in the text. They are not if a right sample has no answer,
    or if no sample has an answer and none is labelled as lacking one: then a reward of the user's reads the whole text,
    and votes and shares of samples without an answer are meaningless."""
    samples = [sample for question in questions for sample in question.samples]
    if any(sample.is_right and sample.extracted is None for sample in samples):
        return False
    return any(sample.extracted is not None or sample.label == NO_ANSWER for sample in samples)


def accuracy_of(outcome: Scored) -> float:
    """Return the accuracy of a judged response, whatever its weight; the whole reward if no part has that name."""
    return accuracy(outcome.parts, outcome.total)


def to_json(question: Answered) -> dict[str, Any]:
    """Return the question as plain data; after writing and reading it with :mod:`json` it is identical to the last
    digit."""
    return asdict(question)


def from_json(row: dict[str, Any]) -> Answered:
    """Return the question that :func:`to_json` stored. Raises KeyError or TypeError for other rows."""
    classes = row["classes"]
    made = {
        "samples": tuple(_sample(sample) for sample in row["samples"]),
        "classes": None if classes is None else tuple(classes),
    }
    return Answered(**{**row, **made})


def _sample(row: dict[str, Any]) -> Sample:
    world = row.get("world")
    dialogues = tuple(SampledDialogue(**each) for each in row.get("dialogues", ()))
    return Sample(**{**row, "world": None if world is None else InWorld(**world), "dialogues": dialogues})
