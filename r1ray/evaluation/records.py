"""What evaluation keeps of a question: its samples as they were judged. One JSON object a question, so that a run that
was interrupted finds again what it has."""

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
    """The whole reward; None where it could not be scored."""
    num_turns: int
    num_calls: int
    num_errors: int
    """Calls that no tool could serve."""
    wait_s: float
    """Waited for the environment. Unit: seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One judged response."""

    text: str
    num_tokens: int
    is_truncated: bool
    """Whether the length limit ended it."""
    extracted: str | None
    """The answer that was found; None where there is none."""
    value: float | None
    """Accuracy in [0, 1]; None where the sample could not be scored (an error of the machine, a broken reference),
    which is never counted as wrong."""
    metrics: dict[str, float]
    """All named parts of the outcome: ``accuracy``, ``f1``, ``instructions_strict``."""
    detail: str
    """Label and reason, for people."""
    fault: Literal["reference", "machine"] | None = None
    """Why ``value`` is None: the question's own reference is broken, or a part of the system failed."""
    score: float | None = None
    """A reward model's, of the whole output; any number, higher is better."""
    world: InWorld | None = None
    """None where nothing answered the policy."""
    dialogues: tuple[SampledDialogue, ...] = ()
    """Dialogues of a trajectory in an environment whose texts were read: one for each branch."""

    @property
    def is_right(self) -> bool:
        return self.value is not None and self.value >= 1

    @property
    def label(self) -> str:
        """The word that ``detail`` begins with."""
        return self.detail.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question with its samples."""

    id: str
    groups: dict[str, str]
    """What metrics are grouped by: ``{"subject": "law"}``."""
    num_prompt_tokens: int
    samples: tuple[Sample, ...]
    classes: tuple[int | None, ...] | None
    """Of the samples' answers, as :func:`r1ray.algo.consensus.answer_classes` has them; None where answers to
    this kind of question cannot vote."""


NO_ANSWER = "no_answer"
"""The label of a response in which an answer was looked for in vain."""


def looks_for_answers(questions: Iterable[Answered]) -> bool:
    """Return whether questions are judged by an answer that is found in the text. They are not where a right sample has
    none, or where no sample has one and none is said to lack it: a reward of the user's that reads the whole text. Then
    shares of samples without an answer, and votes, say nothing."""
    samples = [sample for question in questions for sample in question.samples]
    if any(sample.is_right and sample.extracted is None for sample in samples):
        return False
    return any(sample.extracted is not None or sample.label == NO_ANSWER for sample in samples)


def accuracy_of(outcome: Scored) -> float:
    """Of a judged response: its accuracy, whatever weight that has; the whole reward where nothing is called so."""
    return accuracy(outcome.parts, outcome.total)


def to_json(question: Answered) -> dict[str, Any]:
    """Plain data; written with :mod:`json` and read again it is the same question to the last digit."""
    return asdict(question)


def from_json(row: dict[str, Any]) -> Answered:
    """The question of :func:`to_json`. Raises KeyError or TypeError for other rows."""
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
