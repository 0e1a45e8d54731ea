"""The samples of a collection that are fit to learn from: right, readable, new, and of questions that no benchmark has.

samples by question --contaminated? wrong? filtered?--> rows --duplicates? enough of the prompt?--> Selection
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from r1ray.checks import FormatOnly
from r1ray.config import CollectConfig
from r1ray.curation import filters
from r1ray.curation.decontamination import Contamination, ContaminationReport
from r1ray.curation.duplicates import DuplicateReport, NearDuplicates
from r1ray.curation.filters import Example, FilterOptions, apply_filters
from r1ray.curation.rows import DatasetRow
from r1ray.curation.writing import PLAIN, keeps_apart, taken_apart, written
from r1ray.data.layouts import RawPrompt
from r1ray.data.template import messages_in
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample
from r1ray.stages.collect.questions import Question, text_of
from r1ray.stages.collect.trajectories import Trajectories, example_of


@dataclass(slots=True)
class Selection:
    """The rows that were chosen, and what became of the other samples."""

    rows: list[DatasetRow] = field(default_factory=list)
    removed: Counter[str] = field(default_factory=Counter)
    num_examined: int = 0
    duplicates: DuplicateReport | None = None
    """None where only equal responses are left out."""
    contamination: ContaminationReport | None = None
    """None without ``collect.decontaminate``."""


def filters_of(settings: CollectConfig) -> tuple[filters.Filter, ...]:
    """Return the filters of ``collect.filters``. Raises UserError."""
    names = settings.filters
    if names is None:
        return filters.REJECTION_SAMPLING if settings.ways == [PLAIN] else filters.COLD_START
    known = {each.__name__: each for each in (*filters.COLD_START, *filters.REJECTION_SAMPLING)}
    for name in names:
        if name not in known:
            raise UserError(f"collect.filters: {name} is none; needs some of {', '.join(known)}.")
    return tuple(known[name] for name in names)


def options_of(settings: CollectConfig) -> FilterOptions:
    """Return the options of the filters. Raises UserError."""
    try:
        return FilterOptions(**settings.options)
    except (TypeError, ValueError) as error:
        raise UserError(f"collect.options={settings.options}: {error}.") from error


@dataclass(frozen=True, slots=True)
class _Fit:
    """A sample that may be chosen, with its rows: one, or of a trajectory one for each branch."""

    rows: tuple[DatasetRow, ...]
    text: str
    """The text by which it is compared with others."""

    @property
    def order(self) -> tuple[int, str]:
        return sum(row.num_tokens for row in self.rows), self.rows[0].id


class Selector:
    """Chooses among samples, by the settings of one collection."""

    def __init__(
        self,
        settings: CollectConfig,
        *,
        stage: str,
        filters: Sequence[filters.Filter],
        options: FilterOptions,
        benchmarks: Contamination | None,
        trajectories: Trajectories,
    ) -> None:
        """
        Args:
            stage: that the rows are said to be of.
            benchmarks: questions that must not be in the data.
            trajectories: makes rows of samples in environments.
        """
        self._trajectories = trajectories
        self._settings, self._stage, self._filters, self._options = settings, stage, filters, options
        self._benchmarks = benchmarks

    def select(self, questions: Sequence[Question], answered: Mapping[int, Answered]) -> Selection:
        """Choose among the samples of all questions: of each prompt the shortest, in a fixed order, so that the same
        samples make the same rows."""
        found = Selection(contamination=self._benchmarks.report() if self._benchmarks is not None else None)
        by_prompt: dict[str, list[_Fit]] = {}
        for number in sorted(answered):
            question, samples = questions[number], answered[number].samples
            found.num_examined += len(samples)
            if self._is_contaminated(question.raw, found.contamination):
                found.removed["contaminated"] += len(samples)
                continue
            fit = self._fit_samples(question, samples, found.removed)
            by_prompt.setdefault(question.raw.id, []).extend(fit)
        self._choose(by_prompt, found)
        return found

    def _is_contaminated(self, raw: RawPrompt, report: ContaminationReport | None) -> bool:
        if self._benchmarks is None or report is None:
            return False
        overlaps = self._benchmarks.find(text_of(raw))
        report.record(raw.id, overlaps)
        return bool(overlaps)

    def _choose(self, by_prompt: Mapping[str, list[_Fit]], found: Selection) -> None:
        known = NearDuplicates(self._settings.similarity) if self._settings.similarity < 1 else None
        texts: set[str] = set()
        for fit in by_prompt.values():
            num_chosen = 0
            for each in sorted(fit, key=lambda each: each.order):
                if each.text in texts or (known is not None and known.seen(each.rows[0].id, each.text) is not None):
                    found.removed["duplicate"] += 1
                elif num_chosen == self._settings.keep:
                    found.removed["enough_of_the_prompt"] += 1
                else:
                    texts.add(each.text)
                    num_chosen += 1
                    found.rows += each.rows
        found.duplicates = known.report() if known is not None else None

    def _fit_samples(self, question: Question, samples: Sequence[Sample], removed: Counter[str]) -> list[_Fit]:
        """Return the samples of one question that are right and readable; the others are counted in ``removed``."""
        made = []
        for index, sample in enumerate(samples):
            make = self._trajectory if question.raw.environment else self._answer
            fit = make(question, index, sample)
            if isinstance(fit, str):
                removed[fit] += 1
            else:
                made.append(fit)
        return made

    def _answer(self, question: Question, index: int, sample: Sample) -> _Fit | str:
        """Return a sample as a row, or why it is not fit to learn from."""
        reasoning, summary = taken_apart(sample.text)
        fault = self._fault(question.raw, sample, reasoning, summary)
        if fault is not None:
            return fault
        row = self._row(question, index, sample, reasoning, summary)
        return _Fit((row,), row.messages[-1]["content"])

    def _trajectory(self, question: Question, index: int, sample: Sample) -> _Fit | str:
        """Call :meth:`_answer` of a trajectory in an environment."""
        if (fault := self._worth(question.raw, sample)) is not None:
            return fault
        rejection = apply_filters(example_of(question.raw, sample), self._filters, self._options)
        if rejection is not None:
            return rejection.filter
        rows, fault = self._trajectories.rows(question, index, sample)
        return fault or _Fit(rows, f"{text_of(question.raw)}\n{sample.text}")

    def _worth(self, raw: RawPrompt, sample: Sample) -> str | None:
        """Return why a sample is not worth learning from, by its reward; None where it is, or nothing judges it."""
        if _has_rule(raw) and (sample.value is None or sample.value < self._settings.min_value):
            return "unscorable" if sample.value is None else "wrong"
        return None

    def _fault(self, raw: RawPrompt, sample: Sample, reasoning: str, summary: str) -> str | None:
        """Return why a sample is not fit to learn from; None where it is."""
        if (fault := self._worth(raw, sample)) is not None:
            return fault
        example = Example(
            prompt=text_of(raw),
            reasoning=reasoning,
            summary=summary,
            language=raw.language,
            response=sample.text,
            is_cut=sample.is_truncated,
            num_tokens=sample.num_tokens,
        )
        rejection = apply_filters(example, self._filters, self._options)
        if rejection is not None:
            return rejection.filter
        return None if keeps_apart(reasoning, summary, pattern=self._settings.pattern) else "broken_pattern"

    def _row(self, question: Question, index: int, sample: Sample, reasoning: str, summary: str) -> DatasetRow:
        raw = question.raw
        messages = messages_in(raw.question)
        answer = written(reasoning, summary, pattern=self._settings.pattern)
        return DatasetRow(
            id=f"{raw.id}/{question.way}/{index}",
            messages=(*messages, {"role": "assistant", "content": answer}),
            source=question.way,
            domain=raw.domain,
            language=raw.language,
            licence=self._settings.licence,
            stage=self._stage,
            reward=sample.value if _has_rule(raw) else None,
            num_tokens=sample.num_tokens,
            prompt_id=raw.id,
        )


def _has_rule(raw: RawPrompt) -> bool:
    return bool(raw.environment) or not isinstance(raw.check, FormatOnly)
