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
from r1ray.errors import UserError
from r1ray.evaluation.records import Answered, Sample
from r1ray.stages.collect.questions import Question, text_of


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
    ) -> None:
        """
        Args:
            stage: that the rows are said to be of.
            benchmarks: questions that must not be in the data.
        """
        self._settings, self._stage, self._filters, self._options = settings, stage, filters, options
        self._benchmarks = benchmarks

    def select(self, questions: Sequence[Question], answered: Mapping[int, Answered]) -> Selection:
        """Choose among the samples of all questions: of each prompt the shortest, in a fixed order, so that the same
        samples make the same rows."""
        found = Selection(contamination=self._benchmarks.report() if self._benchmarks is not None else None)
        by_prompt: dict[str, list[DatasetRow]] = {}
        for number in sorted(answered):
            question, samples = questions[number], answered[number].samples
            found.num_examined += len(samples)
            if self._is_contaminated(question.raw, found.contamination):
                found.removed["contaminated"] += len(samples)
                continue
            rows = self._fit_samples(question, samples, found.removed)
            by_prompt.setdefault(question.raw.id, []).extend(rows)
        self._choose(by_prompt, found)
        return found

    def _is_contaminated(self, raw: RawPrompt, report: ContaminationReport | None) -> bool:
        if self._benchmarks is None or report is None:
            return False
        overlaps = self._benchmarks.find(text_of(raw))
        report.record(raw.id, overlaps)
        return bool(overlaps)

    def _choose(self, by_prompt: Mapping[str, list[DatasetRow]], found: Selection) -> None:
        known = NearDuplicates(self._settings.similarity) if self._settings.similarity < 1 else None
        texts: set[str] = set()
        for rows in by_prompt.values():
            num_chosen = 0
            for row in sorted(rows, key=lambda row: (row.num_tokens, row.id)):
                text = row.messages[-1]["content"]
                if text in texts or (known is not None and known.seen(row.id, text) is not None):
                    found.removed["duplicate"] += 1
                elif num_chosen == self._settings.keep:
                    found.removed["enough_of_the_prompt"] += 1
                else:
                    texts.add(text)
                    num_chosen += 1
                    found.rows.append(row)
        found.duplicates = known.report() if known is not None else None

    def _fit_samples(self, question: Question, samples: Sequence[Sample], removed: Counter[str]) -> list[DatasetRow]:
        """Return the samples of one question that are right and readable; the others are counted in ``removed``."""
        rows = []
        for index, sample in enumerate(samples):
            reasoning, summary = taken_apart(sample.text)
            fault = self._fault(question.raw, sample, reasoning, summary)
            if fault is not None:
                removed[fault] += 1
            else:
                rows.append(self._row(question, index, sample, reasoning, summary))
        return rows

    def _fault(self, raw: RawPrompt, sample: Sample, reasoning: str, summary: str) -> str | None:
        """Return why a sample is not fit to learn from; None where it is."""
        if _has_rule(raw) and (sample.value is None or sample.value < self._settings.min_value):
            return "unscorable" if sample.value is None else "wrong"
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
        messages = [{"role": "user", "content": raw.question}] if isinstance(raw.question, str) else raw.question
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
    return not isinstance(raw.check, FormatOnly)
