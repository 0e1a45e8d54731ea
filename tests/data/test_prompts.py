"""The prompts of a run: order, mixtures, resumption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.data.position import Position
from r1ray.data.prompts import PromptCursor, PromptTable, pattern_of
from r1ray.errors import UserError
from tests.data.prompt_files import OWN, jsonl, table


def test_rows_are_found_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.data.prompt_rows.BATCH_ROWS", 3)
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "id": str(i)} for i in range(8)]), tmp_path)
    assert [loaded[i].id for i in range(len(loaded))] == [str(i) for i in range(8)]


def test_every_epoch_is_another_order_of_all_prompts(tmp_path: Path) -> None:
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "id": str(i)} for i in range(20)]), tmp_path)
    cursor = PromptCursor(loaded, seed=1, position=Position())
    epochs = [[cursor.take()[1].id for _ in range(20)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(map(str, range(20)))
    other = PromptCursor(loaded, seed=2, position=Position())
    assert [other.take()[1].id for _ in range(20)] != epochs[0]


@settings(max_examples=25, deadline=None)
@given(stop=st.integers(0, 40))
def test_a_position_says_everything(tmp_path_factory: pytest.TempPathFactory, stop: int) -> None:
    tmp_path = tmp_path_factory.mktemp("p")
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "id": str(i)} for i in range(9)]), tmp_path)
    whole = PromptCursor(loaded, seed=5, position=Position())
    taken = [whole.take() for _ in range(45)]
    first = PromptCursor(loaded, seed=5, position=Position())
    for _ in range(stop):
        first.take()
    second = PromptCursor(loaded, seed=5, position=first.position)
    assert [second.take() for _ in range(5)] == taken[stop : stop + 5]
    for position, prompt in taken[:stop]:
        assert second.at(position) == prompt


RATIOS = st.one_of(st.integers(1, 40), st.decimals("0.01", "5", places=2).map(float))


@settings(max_examples=60, deadline=None)
@given(st.lists(RATIOS, min_size=1, max_size=6))
def test_every_prefix_of_a_mixture_keeps_its_ratios_within_one_row(ratios: list[float]) -> None:
    pattern = np.tile(pattern_of(ratios), 2)
    shares = np.array(ratios) / sum(ratios)
    counts = np.cumsum(pattern == np.arange(len(ratios))[:, None], axis=1)
    ideal = shares[:, None] * np.arange(1, len(pattern) + 1)
    assert np.abs(counts - ideal).max() < 1.0


def test_ratios_of_too_many_digits_are_refused() -> None:
    assert len(pattern_of([0.3, 0.7])) == 10
    with pytest.raises(ValueError, match="they repeat after 1000000000 rows; needs ratios of fewer digits"):
        pattern_of([0.123456789, 0.876543211])


def mixed_table(tmp_path: Path, sizes: dict[str, int]) -> PromptTable:
    rows = [{**OWN, "id": f"{domain}{i}", "domain": domain} for domain, size in sizes.items() for i in range(size)]
    return table(jsonl(tmp_path / "f.jsonl", rows), tmp_path)


def test_the_domains_of_a_table_are_known_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.data.prompt_rows.BATCH_ROWS", 3)
    loaded = mixed_table(tmp_path, {"math": 4, "general": 3})
    found = {domain: rows.tolist() for domain, rows in loaded.rows_by("domain").items()}
    assert found == {"math": [0, 1, 2, 3], "general": [4, 5, 6]}


def test_domains_are_mixed_by_ratio_and_others_left_out(tmp_path: Path) -> None:
    loaded = mixed_table(tmp_path, {"math": 12, "general": 4, "poems": 4})
    cursor = PromptCursor(loaded, seed=0, position=Position(), mixture={"math": 3, "general": 1})
    taken = [cursor.take() for _ in range(20)]
    assert [prompt.domain for _, prompt in taken] == ["math", "math", "math", "general"] * 5
    assert [position for position, _ in taken] == [Position(0, index) for index in range(20)]
    assert cursor.take()[0] == Position(1, 0), "an epoch is as long as the file"


def test_a_domain_too_small_for_its_ratio_starts_over(tmp_path: Path) -> None:
    loaded = mixed_table(tmp_path, {"math": 9, "general": 3})
    cursor = PromptCursor(loaded, seed=0, position=Position(), mixture={"math": 0.5, "general": 0.5})
    taken = [cursor.take()[1] for _ in range(24)]
    general = [prompt.id for prompt in taken if prompt.domain == "general"]
    math = [prompt.id for prompt in taken if prompt.domain == "math"]
    assert len(general) == 12
    for start in range(0, 12, 3):
        assert sorted(general[start : start + 3]) == ["general0", "general1", "general2"]
    assert len(set(math[:9])) == 9, "a row comes again only when all of its domain have come, over epochs too"


def test_without_ratios_the_order_is_a_shuffle_of_the_file(tmp_path: Path) -> None:
    loaded = mixed_table(tmp_path, {"math": 6, "general": 2})
    plain = PromptCursor(loaded, seed=3, position=Position())
    order = np.random.default_rng([3, 0]).permutation(8)
    assert [plain.take()[1] for _ in range(8)] == [loaded[int(row)] for row in order]


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    ratios=st.lists(st.integers(1, 9), min_size=4, max_size=4),
    stop=st.integers(0, 60),
    seed=st.integers(0, 5),
)
def test_a_mixture_goes_on_from_any_position(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], ratios: list[int], stop: int, seed: int
) -> None:
    loaded = mixed_table(tmp_path_factory.mktemp("p"), {f"d{i}": size for i, size in enumerate(sizes)})
    mixture = {f"d{i}": float(ratio) for i, ratio in enumerate(ratios[: len(sizes)])}
    whole = PromptCursor(loaded, seed=seed, position=Position(), mixture=mixture)
    taken = [whole.take() for _ in range(70)]
    resumed = PromptCursor(loaded, seed=seed, position=taken[stop][0], mixture=mixture)
    assert [resumed.take() for _ in range(5)] == taken[stop : stop + 5]
    for position, prompt in taken:
        assert resumed.at(position) == prompt
    shares = {domain: ratio / sum(mixture.values()) for domain, ratio in mixture.items()}
    for end in range(1, 71):
        domains = [prompt.domain for _, prompt in taken[:end]]
        assert all(abs(domains.count(domain) - share * end) < 1 + 1e-9 for domain, share in shares.items())


def test_a_mixture_of_domains_that_the_file_lacks_is_refused(tmp_path: Path) -> None:
    loaded = mixed_table(tmp_path, {"math": 2, "general": 2})
    with pytest.raises(UserError, match=r"data.mixture.poems: no row .* has this domain; there are general, math\."):
        PromptCursor(loaded, seed=0, position=Position(), mixture={"math": 1, "poems": 1})
    with pytest.raises(UserError, match=r"data.mixture=\{'math': 1.0000001, 'general': 1\}: they repeat after"):
        PromptCursor(loaded, seed=0, position=Position(), mixture={"math": 1.0000001, "general": 1})
