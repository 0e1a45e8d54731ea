"""Every entry of the table: its published rows are read, and right responses are paid, wrong ones not."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pytest

from r1ray.checks import Choice
from r1ray.config import RewardConfig, RewardPart, SandboxConfig, VerifierConfig
from r1ray.data.layouts import LAYOUTS, RawPrompt, recognise
from r1ray.data.layouts.layout import Row
from r1ray.reward.check_problems import problem_finder
from r1ray.reward.scorer import RewardScorer
from r1ray.types import Prompt, Response, Scored
from tests.data.layouts import rows_choices, rows_code, rows_frameworks, rows_math
from tests.data.layouts.published import Published

PUBLISHED = (*rows_math.ROWS, *rows_choices.ROWS, *rows_code.ROWS, *rows_frameworks.ROWS)
CONFIG = RewardConfig(parts={"accuracy": RewardPart()}, verifier=VerifierConfig(num_processes=1))
SANDBOX = SandboxConfig(num_slots=1)


@pytest.fixture(scope="module")
def scorer() -> Iterator[RewardScorer]:
    made = RewardScorer(CONFIG, SANDBOX, programs=None)
    yield made
    made.close()


def read(entry: Published, row: Row) -> RawPrompt:
    layout = recognise(row)
    assert layout is not None and layout.name.startswith(entry.layout), layout
    return layout.read(row, 0)


def shown(raw: RawPrompt) -> str:
    return raw.question if isinstance(raw.question, str) else raw.question[-1]["content"]


def filled(response: str, raw: RawPrompt) -> str:
    """The response with the letter of the option that it names."""
    found = re.search(r"\{(.*?)\}", response)
    if found is None or not isinstance(raw.check, Choice):
        return response
    line = next(line for line in shown(raw).split("\n") if line.endswith(f". {found[1]}"))
    return response.replace(found[0], line[0])


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_a_right_response_is_paid_and_a_wrong_one_is_not(scorer: RewardScorer, entry: Published) -> None:
    async def value(raw: RawPrompt, text: str) -> float | str:
        prompt = Prompt(id=raw.id, text=shown(raw), check=raw.check, domain=raw.domain, language=raw.language)
        outcome, _ = await scorer.outcome(prompt, Response(filled(text, raw), finished=True))
        return outcome.total if isinstance(outcome, Scored) else str(outcome)

    async def values() -> list[tuple[float | str, float | str]]:
        raws = [read(entry, row) for row in entry.rows]
        responses = zip(raws, entry.right, entry.wrong, strict=True)
        return [(await value(raw, right), await value(raw, wrong)) for raw, right, wrong in responses]

    assert asyncio.run(values()) == [(1.0, 0.0), (1.0, 0.0)]


@pytest.mark.parametrize("entry", PUBLISHED, ids=lambda entry: entry.name)
def test_the_question_is_whole_and_the_reference_usable(entry: Published) -> None:
    raws = [read(entry, row) for row in entry.rows]
    for part in entry.shows:
        assert part in shown(raws[0])
    for raw in raws:
        assert shown(raw).strip() and raw.id and raw.domain and raw.language == "en"
        assert problem_finder(CONFIG)(raw.check, raw.language) is None


def as_parquet(rows: Sequence[Row]) -> list[Row]:
    """Return rows as a file has them that holds both: each has the columns, and the fields of objects, of the other."""
    names = dict.fromkeys(name for row in rows for name in row)
    found: list[Row] = pa.table({name: [row.get(name) for row in rows] for name in names}).to_pylist()
    return found


def test_rows_mean_the_same_where_parquet_gave_each_the_columns_of_both() -> None:
    num_compared = 0
    for entry in PUBLISHED:
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowTypeError):  # a column of two types is in no such file
            found = as_parquet(entry.rows)
            assert [read(entry, row).check for row in found] == [read(entry, row).check for row in entry.rows], entry
            num_compared += 1
    assert num_compared > 30


def test_every_entry_has_published_rows_whose_source_is_named() -> None:
    assert {recognise(entry.rows[0]) for entry in PUBLISHED} == set(LAYOUTS)
    assert all(entry.source for entry in PUBLISHED)


def test_no_two_entries_have_one_name() -> None:
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)


def test_columns_that_are_of_no_layout_are_named_with_the_key_that_maps_them() -> None:
    from r1ray.data.layouts import unknown_columns

    assert recognise(["q", "label_text"]) is None
    assert "found the columns label_text, q; needs" in unknown_columns(["q", "label_text"])
    assert "data.columns" in unknown_columns(["q"])
