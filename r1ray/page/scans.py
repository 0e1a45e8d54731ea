"""Scans of everything that the index does not have: a text, phrases of re-evaluation, differences of tokens.

Each opens every file once and says after each how far it is. What it found is kept, so that the pages of the same
question take no time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from r1ray.page.folders import RolloutFile
from r1ray.page.query import Query
from r1ray.telemetry.reflection import find_in_each

KEPT = 16
"""Scans: 200,000 rows are 1.6 MB each."""
TEXTS = ("prompt_text", "response_text")
UPDATES = "learner_updates"
ENGINE, LEARNER = (f"segments.list.element.{name}" for name in ("logprobs", "learner_logprobs"))


class Scans:
    """The scans of one set of files."""

    def __init__(self, files: Sequence[RolloutFile], num_rows: Sequence[int]) -> None:
        self._files, self._num_rows = files, num_rows
        self._kept: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()

    def run(self, what: str, text: str = "") -> Iterator[dict[str, int]]:
        """Yield the progress of a scan: files that are done, of how many, and rows that were found.

        Args:
            what: ``text``, ``phrases`` or ``mismatch``.
            text: that is looked for.
        """
        if (what, text) in self._kept:
            self._kept.move_to_end((what, text))
            return
        found, num_found = [], 0
        for number, (file, num_rows) in enumerate(zip(self._files, self._num_rows, strict=True), 1):
            values = _scan_file(file, num_rows, what, text)
            found.append(values)
            num_found += int(np.count_nonzero(values == values if what == "mismatch" else values))
            yield {"done": number, "of": len(self._files), "found": num_found}
        self._kept[what, text] = np.concatenate([np.zeros(0), *found])
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def values(self, what: str, text: str = "") -> np.ndarray:
        """Return what a scan found, [N] float64: 1 and 0, or the largest difference of a row, NaN where there is none.
        It is made where it is not there yet."""
        for _ in self.run(what, text):
            pass
        return self._kept[what, text]

    def known(self, what: str, text: str = "") -> np.ndarray | None:
        """Return what a scan found, None where it was not made."""
        return self._kept.get((what, text))


def scans_of(query: Query) -> list[tuple[str, str]]:
    """Return the scans that a query needs."""
    found = [("text", query.text.lower())] if query.text else []
    found += [(query.ready, "")] if query.ready in ("mismatch", "phrases") else []
    return found + ([("mismatch", "")] if query.sort == "mismatch" and query.ready != "mismatch" else [])


def _scan_file(file: RolloutFile, num_rows: int, what: str, text: str) -> np.ndarray:
    empty = np.full(num_rows, np.nan if what == "mismatch" else 0.0)
    try:
        with pq.ParquetFile(file.path) as opened:
            found = _largest_differences(opened) if what == "mismatch" else _texts_like(opened, what, text)
    except (OSError, pa.ArrowInvalid):  # a run that goes on has removed it
        return empty
    return found if len(found) == num_rows else empty


def _texts_like(file: pq.ParquetFile, what: str, text: str) -> np.ndarray:
    if what == "phrases":
        texts = file.read(columns=["response_text"])["response_text"].to_pylist()
        return np.array([bool(each) for each in find_in_each([each or "" for each in texts])], dtype=np.float64)
    found = np.zeros(file.metadata.num_rows, dtype=bool)
    columns = [name for name in TEXTS if name in file.schema_arrow.names]
    for column in file.read(columns=columns).columns:
        lowered = pc.utf8_lower(column)
        found |= pc.fill_null(pc.match_substring(lowered, text), False).to_numpy().astype(bool)
    return found.astype(np.float64)


def _largest_differences(file: pq.ParquetFile) -> np.ndarray:
    """Return the largest difference of learner and engine on a token of each row, [N]; NaN where the step had made
    updates before it."""
    largest = np.full(file.metadata.num_rows, np.nan)
    if not _has_values(file, LEARNER):
        return largest
    begin = 0
    for batch in file.iter_batches(4096, columns=[f"{name}.list.element" for name in (ENGINE, LEARNER)]):
        rows, differences = _differences(batch["segments"])
        np.fmax.at(largest, begin + rows, differences)
        begin += len(batch)
    if UPDATES in file.schema_arrow.names:
        updates = pc.fill_null(file.read(columns=[UPDATES])[UPDATES], 0).to_numpy()
        largest[updates > 0] = np.nan
    return largest


def _differences(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Return the row and the difference of each token that both have, of a column of segments."""
    segments, rows = column.flatten(), pc.list_parent_indices(column).to_numpy()
    engine, learner = (pc.struct_field(segments, name) for name in ("logprobs", "learner_logprobs"))
    lengths = pc.fill_null(pc.list_value_length(learner), 0).to_numpy()
    both = pc.fill_null(pc.equal(pc.list_value_length(engine), pc.list_value_length(learner)), False)
    left, right = (pc.list_flatten(pc.filter(each, both)).to_numpy(zero_copy_only=False) for each in (engine, learner))
    chosen = both.to_numpy(zero_copy_only=False).astype(bool)
    with np.errstate(invalid="ignore"):
        return np.repeat(rows[chosen], lengths[chosen]), np.abs(left.astype(np.float64) - right)


def _has_values(file: pq.ParquetFile, path: str) -> bool:
    """Return whether a list column has an item in any row; files from before it have none."""
    names = [file.schema.column(number).path for number in range(len(file.schema.names))]
    at = next((number for number, name in enumerate(names) if name.startswith(f"{path}.")), None)
    if at is None:
        return False
    groups = [file.metadata.row_group(group).column(at) for group in range(file.metadata.num_row_groups)]
    return any(each.statistics is None or each.statistics.has_min_max for each in groups)
