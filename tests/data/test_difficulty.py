"""Which prompts come in a pass, in what order, and that a run goes on in the same order."""

from __future__ import annotations

import functools
import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.config.difficulty import DifficultyConfig
from r1ray.data.difficulty import Curriculum, Passes, curriculum_of
from r1ray.data.position import Position
from r1ray.data.prompt_rows import spool_prompts
from r1ray.data.prompts import PromptCursor, PromptTable
from r1ray.errors import UserError
from r1ray.types import Scored, ScoredGroup, ScoredTrajectory

NONE = math.nan


@functools.cache
def group(*values: float, part: str = "accuracy") -> ScoredGroup:
    """A group whose responses have these values of a part."""
    trajectories = tuple(
        ScoredTrajectory(
            index=index,
            outcome=Scored(value, {part: value}),
            extracted=None,
            num_prompt_tokens=1,
            num_policy_tokens=1,
            num_context_tokens=0,
            num_row_tokens=2,
            num_turns=1,
            num_branches=1,
            status="finished",
            oldest_version=0,
            newest_version=0,
        )
        for index, value in enumerate(values)
    )
    return ScoredGroup(
        group_id="0/0", trajectories=trajectories, removed=(), worker=0, incarnation="a", generate_s=0.0, reward_s=0.0
    )


def curriculum(values: Sequence[float], **keys: Any) -> Curriculum:
    return Curriculum(DifficultyConfig(**keys), np.array(values, dtype=np.float64))


def table(tmp_path: Path, rows: Sequence[dict[str, Any]], column: str | None = "level") -> PromptTable:
    path = tmp_path / "rows.jsonl"
    own = [{"prompt": "q", "check": {"type": "math", "answer": "1"}, "id": f"r{i}"} | r for i, r in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in own))
    spool_prompts(str(path), tmp_path / "spool.arrow", key="data.train", difficulty=column)
    return PromptTable(tmp_path / "spool.arrow", render=str)


def one_pass(passes: Passes, start: int, length: int) -> list[int]:
    return [passes.row(use) for use in range(start, start + length)]


# ---------------------------------------------------------------------- a column or a file


def test_rows_outside_the_bounds_and_without_a_value_are_left_out() -> None:
    assert curriculum([0.0, 3.0, NONE, 5.0, 9.0], column="level", min=3, max=5).rows.tolist() == [1, 3]
    assert curriculum([1.0, NONE], column="level").rows.tolist() == [0, 1], "without a bound nobody is left out"


def test_bounds_that_no_prompt_is_within_are_refused() -> None:
    with pytest.raises(UserError, match=r"none of 2 prompts has a level from 3 to any; needs other bounds"):
        curriculum([1.0, NONE], column="level", min=3)


@pytest.mark.parametrize(
    ("measures", "order", "expected"),
    [
        ("difficulty", "easy_first", [1, 3, 0, 2]),
        ("difficulty", "hard_first", [0, 3, 1, 2]),
        ("pass_rate", "easy_first", [0, 3, 1, 2]),
        ("pass_rate", "hard_first", [1, 3, 0, 2]),
    ],
)
def test_a_pass_is_in_the_order_of_the_column(measures: str, order: str, expected: list[int]) -> None:
    of = curriculum([0.9, 0.1, NONE, 0.5], column="level", measures=measures, order=order)
    for number in range(3):
        assert one_pass(Passes(of.rows, seed=number, stream=(), curriculum=of), 4 * number, 4) == expected


def test_equally_hard_prompts_come_in_another_order_in_each_pass() -> None:
    of = curriculum([1.0] * 30, column="level", order="easy_first")
    passes = Passes(of.rows, seed=0, stream=(), curriculum=of)
    first, second = one_pass(passes, 0, 30), one_pass(passes, 30, 30)
    assert sorted(first) == sorted(second) and first != second


def test_the_column_comes_from_the_data_or_by_id_from_a_file(tmp_path: Path) -> None:
    loaded = table(tmp_path, [{"level": 3}, {"level": None}, {"level": 1.5}])
    of_data = curriculum_of(DifficultyConfig(column="level", min=0), loaded)
    (tmp_path / "rates.jsonl").write_text('{"id": "r2", "rate": 0.25}\n{"id": "r0", "rate": null}\n{"id": 7}\n')
    file = DifficultyConfig(column="rate", file=str(tmp_path / "rates.jsonl"), measures="pass_rate", max=0.5)
    of_file = curriculum_of(file, loaded)
    assert of_data is not None and of_data.rows.tolist() == [0, 2]
    assert of_file is not None and of_file.rows.tolist() == [2]
    assert curriculum_of(DifficultyConfig(), loaded) is None


@pytest.mark.parametrize("value", ["hard", "0.5", True, [1], math.inf])
def test_what_is_no_number_is_refused_with_its_row(tmp_path: Path, value: object) -> None:
    with pytest.raises(UserError, match=r"row 2: data\.difficulty\.column=level: needs a number, found"):
        table(tmp_path, [{"level": 1}, {"level": value}])


def test_a_column_that_nobody_has_and_a_pass_rate_above_one_are_refused(tmp_path: Path) -> None:
    loaded = table(tmp_path, [{"level": 3}])
    with pytest.raises(UserError, match=r"column=level: found a pass rate of 3; needs shares from 0 to 1"):
        curriculum_of(DifficultyConfig(column="level", measures="pass_rate"), loaded)
    (tmp_path / "rates.jsonl").write_text('{"id": "r0", "rate": "x"}\n')
    with pytest.raises(UserError, match=r"data\.difficulty\.file=.*: row 1: .*needs a number, found 'x'"):
        curriculum_of(DifficultyConfig(column="rate", file=str(tmp_path / "rates.jsonl")), loaded)
    with pytest.raises(UserError, match=r"column=hardness: no prompt of data\.train has a number there"):
        curriculum_of(DifficultyConfig(column="hardness"), table(tmp_path, [{"level": 3}], "hardness"))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"min": 1}, r"data\.difficulty\.min=1: needs data\.difficulty\.column=NAME"),
        ({"order": "easy_first"}, r"order=easy_first: needs data\.difficulty\.column=NAME"),
        ({"file": "f"}, r"file=f: needs data\.difficulty\.column=NAME"),
        ({"measures": "pass_rate"}, r"measures=pass_rate: needs data\.difficulty\.column=NAME"),
        ({"column": "c", "min": 2, "max": 1}, r"data\.difficulty\.min=2: needs at most data\.difficulty\.max=1"),
        ({"order": "easy"}, r"needs one of shuffled, easy_first, hard_first"),
        ({"band": [0.8, 0.2]}, r"the lower first"),
        ({"band": [0.2, 1.2]}, r"from 0 to 1"),
        ({"band": 0.5}, r"band=0\.5: needs two pass rates, as in \[0\.2, 0\.8\]"),
        ({"band": [True, 1]}, r"needs two pass rates"),
        ({"band": [math.nan, 1]}, r"needs two pass rates from 0 to 1"),
    ],
)
def test_keys_that_make_no_sense_are_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DifficultyConfig(**keys)


# ---------------------------------------------------------------------- the band and retirement


def test_a_prompt_outside_the_band_comes_in_one_of_some_passes() -> None:
    of = curriculum([NONE] * 3, band=[0.2, 0.8], revisit_passes=3)
    of.observe(0, group(1, 1))
    of.observe(1, group(1, 0))
    chosen = [of.choose(of.rows, number).tolist() for number in range(6)]
    assert all(row[1] and row[2] for row in chosen), "in the band, and unknown"
    assert [row[0] for row in chosen] == [True, False, False, True, False, False]


def test_a_prompt_that_is_solved_often_enough_in_a_row_does_not_come_again() -> None:
    of = curriculum([NONE] * 2, retire_after=2)
    for values in ((1, 1), (1, 0), (1, 1)):
        of.observe(0, group(*values))
        assert of.choose(of.rows, 1).tolist() == [True, True]
    of.observe(0, group(1, 1))
    assert of.choose(of.rows, 1).tolist() == [False, True]
    assert of.metrics() == {"difficulty/measured": 0.5, "difficulty/retired": 1.0}


def test_pass_rates_of_the_column_are_where_the_band_begins() -> None:
    of = curriculum([1.0, 0.5, 0.0], column="rate", measures="pass_rate", band=[0.2, 0.8], revisit_passes=100)
    assert of.choose(of.rows, 3).tolist() == [False, True, False]
    assert of.metrics()["difficulty/in_band"] == pytest.approx(1 / 3)
    of.observe(2, group(0.5, 0.5))
    assert of.choose(of.rows, 3).tolist() == [False, True, True], "a part that gives partial credit counts as it is"
    assert of.metrics()["difficulty/in_band"] == pytest.approx(2 / 3)


def test_where_nothing_would_be_left_all_prompts_come() -> None:
    of = curriculum([NONE] * 2, retire_after=1)
    of.observe(0, group(1))
    of.observe(1, group(1))
    assert of.choose(of.rows, 1).tolist() == [True, True]
    far = curriculum([NONE] * 2, band=[0.4, 0.6], revisit_passes=9, retire_after=1)
    far.observe(0, group(0))
    far.observe(1, group(1))
    assert far.choose(far.rows, 1).tolist() == [True, False], "but for the one that is retired"


def test_a_group_without_the_part_says_nothing() -> None:
    of = curriculum([NONE], retire_after=1)
    of.observe(0, group(1, part="format"))
    of.observe(0, group())
    assert of.metrics() == {"difficulty/measured": 0.0, "difficulty/retired": 0.0}


# ---------------------------------------------------------------------- any history, any resume


HISTORY = st.lists(st.sampled_from([(0, 0), (1, 0), (1, 1)]), min_size=200, max_size=200)
KEYS = st.fixed_dictionaries(
    {
        "band": st.sampled_from([None, [0.2, 0.8]]),
        "revisit_passes": st.integers(2, 5),
        "retire_after": st.integers(0, 2),
        "order": st.sampled_from(["shuffled", "easy_first"]),
        "column": st.just("level"),
    }
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> PromptTable:
    rows = [{"level": i % 4, "domain": "math" if i % 3 else "code"} for i in range(12)]
    return table(tmp_path_factory.mktemp("mixed"), rows)


def cursor(loaded: PromptTable, keys: dict[str, Any], *, seed: int, mixture: dict[str, float] | None) -> PromptCursor:
    of = curriculum_of(DifficultyConfig(**keys), loaded)
    return PromptCursor(loaded, seed=seed, position=Position(), mixture=mixture, curriculum=of)


MIXTURES = st.sampled_from([None, {"math": 2.0, "code": 1.0}])


@settings(max_examples=25, deadline=None)
@given(history=HISTORY, keys=KEYS, seed=st.integers(0, 9))
def test_no_prompt_is_lost_but_those_that_are_retired(
    history: list[tuple[int, int]], keys: dict[str, Any], seed: int
) -> None:
    of = curriculum([1.0] * 10, **keys)
    passes = Passes(of.rows, seed=seed, stream=(), curriculum=of)
    seen: list[list[int]] = []
    retired: list[set[int]] = []
    outcomes, start = iter(history), 0
    while len(seen) < 11:
        length = int(of.choose(of.rows, len(seen)).sum()) if of.is_measured else 10
        rows = one_pass(passes, start, length)
        start += length
        retired.append(set(np.flatnonzero(of._is_retired(of.rows)).tolist()))
        assert len(set(rows)) == len(rows), "no prompt comes twice in a pass"
        seen.append(rows)
        for row in rows:
            of.observe(row, group(*next(outcomes, (1, 0))))
    for first in range(11 - keys["revisit_passes"]):
        window = slice(first, first + keys["revisit_passes"])
        came = {row for rows in seen[window] for row in rows}
        assert came | set().union(*retired[window]) == set(range(10))


@settings(max_examples=25, deadline=None)
@given(
    history=HISTORY,
    keys=KEYS,
    seed=st.integers(0, 9),
    mixture=MIXTURES,
    stop=st.integers(0, 55),
    late=st.integers(0, 9),
)
def test_a_run_goes_on_from_any_checkpoint_with_the_same_prompts(
    mixed: PromptTable,
    history: list[tuple[int, int]],
    keys: dict[str, Any],
    seed: int,
    mixture: dict[str, float] | None,
    stop: int,
    late: int,
) -> None:
    """Each group ends ``late`` groups after its issue. What was in flight is issued again."""
    whole = cursor(mixed, keys, seed=seed, mixture=mixture)
    taken: list[tuple[Position, str]] = []
    state: dict[str, Any] = {}

    def step(of: PromptCursor, number: int, ended: list[tuple[Position, str]]) -> None:
        position, prompt = of.take()
        assert number == len(ended) or ended[number] == (position, prompt.id)
        if number == len(ended):
            ended.append((position, prompt.id))
        if number >= late:
            of.observe(ended[number - late][0], group(*history[number - late]))

    for number in range(60):
        if number == stop:
            oldest = taken[max(0, number - late)][0] if late and taken else whole.position
            state = json.loads(json.dumps(whole.state(oldest)))
        step(whole, number, taken)
    resumed = cursor(mixed, keys, seed=seed, mixture=mixture)
    resumed.position = taken[stop][0]
    resumed.load(state)
    for position, name in taken[max(0, stop - late) : stop]:
        assert resumed.at(position).id == name, "what was in flight is about the same prompts"
    for number in range(stop, 60):
        step(resumed, number, taken)
    again = cursor(mixed, keys, seed=seed, mixture=mixture)
    for number in range(60):
        step(again, number, taken)  # the same seed and the same history: the same sequence


@settings(max_examples=15, deadline=None)
@given(history=HISTORY, keys=KEYS, back=st.integers(0, 59))
def test_a_run_that_goes_back_keeps_the_prompts_of_what_is_in_flight(
    mixed: PromptTable, history: list[tuple[int, int]], keys: dict[str, Any], back: int
) -> None:
    of = cursor(mixed, keys, seed=1, mixture=None)
    taken, state, metrics = [], {}, {}
    for number in range(60):
        if number == back:
            state, metrics = of.state(of.position), of.metrics()
        position, prompt = of.take()
        taken.append((position, prompt.id))
        of.observe(position, group(*history[number]))
    of.load(state)
    assert of.metrics() == metrics, "what ended since is not known any more"
    assert [(position, of.at(position).id) for position, _ in taken] == taken


def test_a_state_of_other_prompts_is_refused() -> None:
    state = curriculum([NONE] * 3, retire_after=1).state()
    with pytest.raises(ValueError, match="is of 3 prompts, and there are 4"):
        curriculum([NONE] * 4, retire_after=1).load(state)


def test_without_a_curriculum_nothing_is_saved(mixed: PromptTable) -> None:
    plain = PromptCursor(mixed, seed=0, position=Position())
    plain.observe(plain.take()[0], group(1))
    assert plain.state(Position()) == {} and plain.metrics() == {}
    ordered = cursor(mixed, {"column": "level", "order": "easy_first"}, seed=0, mixture=None)
    assert ordered.state(Position()) == {}, "its order is a function of the seed"


def test_a_curriculum_keeps_the_ratios_of_domains(mixed: PromptTable) -> None:
    of = cursor(mixed, {"retire_after": 1}, seed=0, mixture={"math": 3.0, "code": 1.0})
    domains: Counter[str] = Counter()
    for _ in range(40):
        position, prompt = of.take()
        domains[prompt.domain] += 1
        of.observe(position, group(1))
    assert domains == {"math": 30, "code": 10}


def test_a_domain_of_which_the_bounds_leave_nothing_is_refused(tmp_path: Path) -> None:
    loaded = table(tmp_path, [{"level": 1, "domain": "math"}, {"level": 5, "domain": "code"}])
    with pytest.raises(
        UserError, match=r"data\.mixture\.code: .*within the bounds of data\.difficulty; there are math"
    ):
        cursor(loaded, {"column": "level", "max": 2}, seed=0, mixture={"math": 1.0, "code": 1.0})
