"""All rollouts of runs, a page at a time: what the server answers with.

query --prepare--> progress of the scans that it needs --page_of--> 25 rows with the beginnings of their texts
                                                       --group---> one group with everything
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from r1ray.errors import UserError
from r1ray.page.curves import number_of, rounded
from r1ray.page.index import LIGHT, read_rows
from r1ray.page.marks import SUSPICIONS
from r1ray.page.query import CHOSEN, PAGE, RANGES, Query, in_order, rows_like
from r1ray.page.report import Runs
from r1ray.page.scans import Scans, scans_of
from r1ray.page.trajectories import group_of

SNIPPET = 200
"""Characters of a text in a list."""
TEXTS = ("prompt_text", "response_text")


class Served:
    """The rollouts of runs, for one server."""

    def __init__(self, runs: Runs) -> None:
        self.runs, self._index = runs, runs.index
        self._file = self._index["file"].to_numpy()
        num_rows = np.bincount(self._file, minlength=len(runs.files)).tolist()
        self._scans = Scans(runs.files, num_rows)
        self._is_suspected = runs.suspicions > 0

    def choices(self) -> dict[str, list[Any]]:
        """Return the values of each column of which one can be chosen."""
        return {
            name: sorted(value for value in self._index[name].unique().to_pylist() if value) for name in CHOSEN[1:]
        } | {"part": sorted(self._index["part"].unique().to_pylist())}

    def prepare(self, query: Query) -> Iterator[dict[str, int]]:
        """Yield the progress of the scans that a query needs."""
        for what, text in scans_of(query):
            yield from self._scans.run(what, text)

    def page_of(self, query: Query) -> dict[str, Any]:
        """Return a page of the rows that a query wants, and how many there are."""
        rows = self._rows(query)
        reasons = Counter(why for why in self._index["dropped_reason"].take(rows).to_pylist() if why)
        shown = rows[query.offset : query.offset + PAGE]
        return {"total": len(rows), "reasons": dict(reasons.most_common()), "rows": [*self._shown(shown)]}

    def group(self, row: int) -> dict[str, Any]:
        """Return the group of a row of the index. Raises UserError where there is none."""
        if not 0 <= row < len(self._index):
            raise UserError("no such rollout")
        number, name = int(self._file[row]), self._index["group_id"][row].as_py()
        begin, end = np.searchsorted(self._file, [number, number + 1])
        names = self._index["group_id"].slice(begin, end - begin).to_pylist()
        at = [begin + place for place, each in enumerate(names) if each == name]
        file = self.runs.files[number]
        rows = read_rows(file.path, [int(place - begin) for place in at])
        if len(rows) != len(at):
            raise UserError("the run has removed this rollout: reload the page")
        marks = [SUSPICIONS[self.runs.suspicions[place]] for place in at]
        return group_of(
            [rows[each] for each in sorted(rows)], part=file.part, kind=file.kind, suspicions=marks, max_chars=None
        )

    def _rows(self, query: Query) -> np.ndarray:
        wanted = rows_like(self._index, query)
        if query.ready == "suspected":
            wanted &= self._is_suspected
        for what, text in scans_of(query):
            found = self._scans.values(what, text)
            if what != "mismatch" or query.ready == "mismatch":
                wanted &= np.isfinite(found) if what == "mismatch" else found.astype(bool)
        rows = np.flatnonzero(wanted)
        sort = query.sort or ("mismatch" if query.ready == "mismatch" else "")
        return in_order(rows, self._values(sort), is_descending=query.is_descending) if sort else rows

    def _values(self, sort: str) -> np.ndarray:
        if sort == "mismatch":
            return self._scans.values("mismatch")
        return np.asarray(self._index[RANGES[sort]].to_numpy(zero_copy_only=False), dtype=np.float64)

    def _shown(self, rows: np.ndarray) -> Iterator[dict[str, Any]]:
        """Yield rows of the list, with the beginnings of their texts from the files."""
        light = self._index.take(rows).to_pylist()
        texts: dict[int, dict[int, dict[str, Any]]] = {}
        for number in sorted({each["file"] for each in light}):
            places = [each["row"] for each in light if each["file"] == number]
            texts[number] = read_rows(self.runs.files[number].path, places, columns=TEXTS)
        for at, each in zip(rows.tolist(), light, strict=True):
            text = texts[each["file"]].get(each["row"], {})
            yield {name: each[name] for name in (*LIGHT.names, "part", "kind")} | {
                "id": at,
                "reward": rounded(number_of(each["reward"])),
                "length": each["num_policy_tokens"],
                "prompt": (text.get("prompt_text") or "")[:SNIPPET],
                "text": (text.get("response_text") or "")[:SNIPPET],
                "suspicion": SUSPICIONS[self.runs.suspicions[at]],
                "mismatch": self._known("mismatch", at),
            }

    def _known(self, what: str, at: int) -> float | None:
        values = self._scans.known(what)
        return None if values is None else rounded(number_of(float(values[at])))
