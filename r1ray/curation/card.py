"""Curated data set on disk: Parquet parts, and a description for people and for programs.

folder/data/part-00000.parquet     the rows
folder/README.md                   the data card, in Hugging Face's format
folder/card.json                   the same numbers; written last, so a folder that has it is complete
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from huggingface_hub import DatasetCardData

from r1ray.curation.decontamination import ContaminationReport
from r1ray.curation.duplicates import DuplicateReport
from r1ray.curation.mixture import MixtureReport
from r1ray.curation.rows import DatasetRow, content_digest, row_digest, write_parts
from r1ray.runtime.files import ASIDE, write_text

DATA, README, CARD = "data", "README.md", "card.json"
COLUMNS: Final = ("source", "domain", "language", "licence", "stage")
"""Columns by which rows are counted."""
QUANTILES: Final = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
_SIZES: Final = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """Counts of the rows of a source whose answers were to get a chain of thought."""

    num_rows: int
    num_prompted: int
    """Rows that got a chain of thought."""
    num_own: int
    """Rows that already had one, and are unchanged."""
    num_trivial: int
    """Rows without a chain of thought because their requests are too simple."""
    num_not_drawn: int
    """Rows without a chain of thought because they were not drawn (if the share of rows that get one is below 1)."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows left out because their chain of thought is not fit to learn from, by reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curation:
    """History of the rows before they were written, for the card."""

    num_examined: int = 0
    """Number of examples examined by the filters."""
    removed: Mapping[str, int] = field(default_factory=dict)
    """Number of examples removed by each filter, in the order in which the filters were applied."""
    duplicates: DuplicateReport | None = None
    contamination: ContaminationReport | None = None
    mixture: MixtureReport | None = None
    thinking: Mapping[str, Thinking] = field(default_factory=dict)
    """Counts by source."""
    seeds: Mapping[str, int] = field(default_factory=dict)
    """Seeds by the step that used them: ``{"mixture": 7}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Contents of a data set."""

    digest: str
    """Digest of the rows: see :func:`r1ray.curation.rows.content_digest`."""
    num_rows: int
    num_prompts: int
    """Number of distinct prompts."""
    num_tokens: int
    parts: tuple[str, ...]
    """Paths of the parts in the folder."""
    counts: dict[str, dict[str, int]]
    """Numbers of rows by value, most frequent first, for each of ``COLUMNS``."""
    length_quantiles: dict[str, int]
    """Quantiles of the tokens of a row: ``{"0.5": 812}``."""
    length_histogram: dict[str, int]
    """Rows by tokens, in powers of two: ``{"512-1023": 40}``."""


class _Tally:
    """Counts of rows, collected as they are written."""

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._lengths: list[int] = []
        self._prompts: set[str] = set()
        self._counts: dict[str, Counter[str]] = {column: Counter() for column in COLUMNS}

    def look(self, row: DatasetRow) -> None:
        self._digests.append(row_digest(row))
        self._lengths.append(row.num_tokens)
        self._prompts.add(row.prompt_id)
        for column, counter in self._counts.items():
            counter[getattr(row, column)] += 1

    def manifest(self, parts: tuple[str, ...]) -> Manifest:
        ordered = {
            column: dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
            for column, counter in self._counts.items()
        }
        return Manifest(
            digest=content_digest(self._digests),
            num_rows=len(self._lengths),
            num_prompts=len(self._prompts),
            num_tokens=sum(self._lengths),
            parts=parts,
            counts=ordered,
            length_quantiles=quantiles(self._lengths),
            length_histogram=histogram(self._lengths),
        )


def write_dataset(
    rows: Iterable[DatasetRow],
    folder: Path,
    *,
    title: str,
    curation: Curation | None = None,
    rows_per_part: int = 1_000_000,
) -> Manifest:
    """Write a data set, and replace the previous contents of the folder. The rows are read once and never held all at
    once.

    Raises:
        ValueError: a row that the learner could not read.
    """
    curation = curation or Curation()
    plain = {name: replace(each, left_out=dict(each.left_out)) for name, each in curation.thinking.items()}
    curation = replace(curation, removed=dict(curation.removed), seeds=dict(curation.seeds), thinking=plain)
    # asdict breaks a Counter
    (folder / CARD).unlink(missing_ok=True)
    for old in [*(folder / DATA).glob("part-*.parquet"), *(folder / DATA).glob(f"{ASIDE}*")]:
        old.unlink()
    tally = _Tally()
    parts = write_parts(rows, folder / DATA, rows_per_part=rows_per_part, look=tally.look)
    manifest = tally.manifest(tuple(f"{DATA}/{part.name}" for part in parts))
    write_text(folder / README, render_card(title, manifest, curation))
    card = {"title": title, "manifest": asdict(manifest), "curation": asdict(curation)}
    write_text(folder / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    return manifest


def quantiles(lengths: list[int]) -> dict[str, int]:
    """Return quantiles of lengths; each is a length that occurs, without interpolation.

    >>> quantiles([1, 2, 3, 4])["0.5"]
    2
    """
    if not lengths:
        return {}
    found = np.quantile(lengths, QUANTILES, method="inverted_cdf")
    return {f"{share:g}": int(length) for share, length in zip(QUANTILES, found, strict=True)}


def histogram(lengths: Iterable[int]) -> dict[str, int]:
    """Return the number of lengths in each range between powers of two, up to the longest.

    >>> histogram([1, 5, 6])
    {'1': 1, '2-3': 0, '4-7': 2}
    """
    bins = Counter(length.bit_length() for length in lengths)
    return {_range(bits): bins[bits] for bits in range(min(bins), max(bins) + 1)} if bins else {}


def _range(bits: int) -> str:
    return str(bits) if bits < 2 else f"{1 << (bits - 1)}-{(1 << bits) - 1}"


def render_card(title: str, manifest: Manifest, curation: Curation) -> str:
    """Return the data card: YAML metadata, then Markdown."""
    header = DatasetCardData(
        language=sorted(manifest.counts["language"]),
        license=sorted(licence.lower() for licence in manifest.counts["licence"]),
        pretty_name=title,
        size_categories=[_size(manifest.num_rows)],
        task_categories=["text-generation"],
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": f"{DATA}/part-*.parquet"}]}],
    )
    return f"---\n{header.to_yaml()}\n---\n\n" + "\n".join(_lines(title, manifest, curation))


def _size(num_rows: int) -> str:
    """Return Hugging Face's size category.

    >>> _size(999), _size(1000), _size(10**10)
    ('n<1K', '1K<n<10K', 'n>1B')
    """
    power = max(math.floor(math.log10(max(num_rows, 1))) - 2, 0)
    if power == 0:
        return "n<1K"
    return f"{_SIZES[power - 1]}<n<{_SIZES[power]}" if power < len(_SIZES) else f"n>{_SIZES[-1]}"


def _lines(title: str, manifest: Manifest, curation: Curation) -> Iterator[str]:
    yield f"# {title}\n"
    yield (
        f"{manifest.num_rows} dialogues of {manifest.num_prompts} prompts, {manifest.num_tokens} tokens of answers.  \n"
        f"Content digest (SHA-256 over the rows, in any order): `{manifest.digest}`\n"
    )
    for column, counts in manifest.counts.items():
        yield from _table(f"By {column}", (column, "rows"), counts.items())
    yield from _table("Tokens, quantiles", ("share of rows", "tokens up to"), manifest.length_quantiles.items())
    yield from _table("Tokens, histogram", ("tokens", "rows"), manifest.length_histogram.items())
    yield from _table("Filters", ("filter", "removed", "kept"), _filter_rows(curation))
    if (found := curation.duplicates) is not None:
        yield "## Near-duplicates\n"
        yield (
            f"{found.num_removed} of {found.num_texts} texts were removed: an earlier one has a Jaccard similarity of "
            f"{found.threshold:g} or more in {found.n}-grams of words.\n"
        )
    if (report := curation.contamination) is not None:
        yield "## Contamination\n"
        yield (
            f"{report.num_found} of {report.num_texts} texts hold {report.n} words in a row of a benchmark's question, "
            "or all of a shorter one.\n"
        )
        rows = [
            (b, num, report.num_too_short[b], report.num_texts_by_benchmark[b])
            for b, num in report.num_questions.items()
        ]
        yield from _table("", ("benchmark", "questions", "too short to look for", "texts that hold one"), rows)
    found_thoughts = [
        (
            name,
            t.num_rows,
            t.num_prompted,
            t.num_own,
            t.num_trivial,
            t.num_not_drawn,
            sum(t.left_out.values()),
            _reasons(t),
        )
        for name, t in curation.thinking.items()
    ]
    columns = ("source", "rows", "prompted", "had one", "none: trivial", "none: not drawn", "left out", "why")
    yield from _table("Chains of thought before given answers", columns, found_thoughts)
    if (mixture := curation.mixture) is not None:
        taken = [(s.name, f"{s.ratio:.4g}", s.num_available, s.num_taken, s.num_distinct) for s in mixture.sources]
        yield from _table("Mixture", ("source", "ratio", "available", "taken", "distinct"), taken)
    yield from _table("Seeds", ("seed of", "value"), curation.seeds.items())


def _reasons(thinking: Thinking) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in thinking.left_out.items())


def _filter_rows(curation: Curation) -> Iterator[tuple[str, int, int]]:
    kept = curation.num_examined
    for name, removed in curation.removed.items():
        kept -= removed
        yield name, removed, kept


def _table(heading: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """Yield a table; nothing if there are no rows."""
    cells = [" | ".join(str(cell).replace("|", "\\|") for cell in row) for row in rows]
    if not cells:
        return
    if heading:
        yield f"## {heading}\n"
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {row} |" for row in cells)
    yield ""
