"""Files in, prompts out: layouts, quarantine, order, resumption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r1ray.data.layouts import final_answer
from r1ray.data.own_columns import OwnColumns
from r1ray.data.prompts import PromptCursor, PromptTable, pattern_of, spool_prompts
from r1ray.errors import UserError
from r1ray.types import Position

OWN = {"id": "a", "prompt": "1+1=", "check": {"type": "math", "answer": "2"}, "domain": "sums", "language": "zh"}
VERL = {
    "data_source": "gsm8k",
    "prompt": [{"role": "user", "content": "1+1?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "2"},
    "extra_info": {"split": "train", "index": 7},
}
OPEN_R1 = {"problem": "1+1?", "solution": r"It is \boxed{2}", "uuid": "u1"}


def jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return str(path)


def parquet(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return str(path)


def table(path: str, tmp_path: Path) -> PromptTable:
    spool_prompts(path, tmp_path / "spool.arrow", key="data.train")
    return PromptTable(tmp_path / "spool.arrow", render=lambda question: str(question))


@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize(
    ("row", "layout", "prompt_id", "answer", "domain"),
    [
        (OWN, "r1ray", "a", "2", "sums"),
        (VERL, "verl", "7", "2", "math"),
        (OPEN_R1, "Hugging Face", "u1", "2", "math"),
        ({"question": "q", "answer": "so\n#### 1,234"}, "Hugging Face", "0", "1,234", "math"),
    ],
)
def test_layouts_load_as_they_are(
    tmp_path: Path, write: Any, row: dict[str, Any], layout: str, prompt_id: str, answer: str, domain: str
) -> None:
    path = write(tmp_path / ("f.jsonl" if write is jsonl else "f.parquet"), [row])
    report = spool_prompts(path, tmp_path / "spool.arrow", key="data.train")
    assert report.layout.startswith(layout)
    (prompt,) = [table(path, tmp_path)[0]]
    assert (prompt.id, prompt.check.answer, prompt.domain) == (prompt_id, answer, domain)


def test_rows_of_mixed_types_are_no_trouble(tmp_path: Path) -> None:
    rows = [{"question": "q", "answer": 3}, {"question": "q", "answer": "x"}, {"question": "q", "answer": 2.5}]
    loaded = table(jsonl(tmp_path / "f.jsonl", rows), tmp_path)
    assert [loaded[i].check.answer for i in range(3)] == ["3", "x", "2.5"]


def test_a_row_without_a_reference_is_quarantined_and_reported(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "id": "broken", "check": {"type": "math", "answer": " "}}]
    report = spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")
    assert (report.num_rows, report.quarantined) == (1, ("broken (the reference answer is empty)",))


def test_malformed_rows_are_named_by_number(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "prompt": ""}, OWN, {**OWN, "check": "2"}]
    with pytest.raises(UserError, match=r"2 malformed rows of 4: row 2: prompt needs .*; row 4: check needs"):
        spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")


def test_text_survives_unchanged(tmp_path: Path) -> None:
    question = 'Größe "x"\n计算 \\frac{1}{2} \u2028 end'
    loaded = table(jsonl(tmp_path / "f.jsonl", [{**OWN, "prompt": question}]), tmp_path)
    assert loaded[0].text == question


def test_rows_are_found_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.data.prompts.BATCH_ROWS", 3)
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


BAD = [OWN, {**OWN, "prompt": 3}, {**OWN, "id": "c"}]


def test_bad_rows_are_skipped_and_named_where_that_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = jsonl(tmp_path / "f.jsonl", BAD)
    Path(path).write_text(Path(path).read_text() + "{torn\n")
    with pytest.raises(UserError, match=r"2 malformed rows of 4: row 2: prompt .*; line 4: not JSON.*on_bad_row=skip"):
        spool_prompts(path, tmp_path / "s.arrow", key="data.train")
    report = spool_prompts(path, tmp_path / "s.arrow", key="data.train", on_bad_row="skip")
    assert report.num_rows == 2
    assert f"data.train={path}: 2 malformed rows of 4 are left out: row 2: prompt" in caplog.text


def test_the_first_five_bad_rows_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [OWN, *({**OWN, "prompt": number} for number in range(9))]
    spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train", on_bad_row="skip")
    assert "9 malformed rows of 10 are left out" in caplog.text
    assert caplog.text.count("; row ") == 4 and "row 7" not in caplog.text


def test_a_file_of_bad_rows_alone_is_refused_in_any_case(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "f.jsonl", [{**OWN, "prompt": 3}])
    with pytest.raises(UserError, match=r"1 malformed rows of 1, and none is left to use: row 1: prompt needs"):
        spool_prompts(path, tmp_path / "s.arrow", key="data.train", on_bad_row="skip")


def refusing_systems() -> Any:
    def render(question: Any) -> str:
        if not isinstance(question, str) and question[0]["role"] == "system":
            raise UserError("the template takes no system message.")
        return str(question)

    return render


def test_a_row_that_the_template_refuses_is_a_bad_row_however_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("r1ray.data.prompts.BATCH_ROWS", 50)
    rows = [{**OWN, "id": str(number)} for number in range(400)]
    rows[350]["prompt"] = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    path, spool = jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow"
    with pytest.raises(UserError, match=r"f.jsonl: 1 malformed rows of 400: row 351: the template takes no system mes"):
        spool_prompts(path, spool, key="data.train", make_render=refusing_systems)
    spool_prompts(path, spool, key="data.train", make_render=refusing_systems, on_bad_row="skip")
    assert len(PromptTable(spool, render=str)) == 399


def test_several_files_are_one_table_and_messages_name_file_and_row(tmp_path: Path) -> None:
    first = jsonl(tmp_path / "a.jsonl", [{"question": "q", "answer": "1"}, {"question": "q", "answer": "2"}])
    second = parquet(tmp_path / "b.parquet", [VERL | {"extra_info": {"split": "train"}}])
    report = spool_prompts([first, second], tmp_path / "s.arrow", key="data.train")
    assert report.layout.startswith("Hugging Face") and " and verl" in report.layout
    loaded = PromptTable(tmp_path / "s.arrow", render=str)
    assert [loaded[index].id for index in range(3)] == ["0", "1", "2"], "rows without an id get one of all files"
    third = jsonl(tmp_path / "c.jsonl", BAD)
    with pytest.raises(UserError, match=rf"1 malformed rows of 5: {third} row 2: prompt needs a string"):
        spool_prompts([first, third], tmp_path / "s.arrow", key="data.train")
    with pytest.raises(UserError, match=rf"{tmp_path}/d.jsonl row 1: found the columns text"):
        spool_prompts([first, jsonl(tmp_path / "d.jsonl", [{"text": "t"}])], tmp_path / "s.arrow", key="data.train")


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
    monkeypatch.setattr("r1ray.data.prompts.BATCH_ROWS", 3)
    loaded = mixed_table(tmp_path, {"math": 4, "general": 3})
    found = {domain: rows.tolist() for domain, rows in loaded.rows_by_domain().items()}
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


def test_a_report_names_domains_with_their_checks(tmp_path: Path) -> None:
    rows = [OWN, {**OWN, "id": "b", "domain": "general", "check": {"type": "format"}}]
    report = spool_prompts(jsonl(tmp_path / "f.jsonl", rows), tmp_path / "s.arrow", key="data.train")
    assert report.kinds == {("sums", "math"), ("general", "format")}


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("#### 7", "7"),
        (r"\boxed{1} no, \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1", ""),
        (" 42 ", "42"),
    ],
)
def test_the_final_answer_of_a_solution(solution: str, answer: str) -> None:
    assert final_answer(solution) == answer


def test_rows_without_a_language_get_that_of_their_question(tmp_path: Path) -> None:
    questions = ["What is the sum of two and three?", "求两个数的和。", "Wie groß ist die Summe der Zahlen?"]
    check = {"type": "math", "answer": "5"}
    rows: list[dict[str, Any]] = [{"prompt": question, "check": check} for question in questions]
    messages = [{"role": "system", "content": "Think."}, {"role": "user", "content": "求和。"}]
    rows.append({"prompt": messages, "check": check})
    rows.append({"prompt": questions[1], "check": check, "language": "ja"})
    loaded = table(jsonl(tmp_path / "own.jsonl", rows), tmp_path)
    assert [loaded[i].language for i in range(5)] == ["en", "zh", "de", "zh", "ja"]
    rows = [{"prompt": question, "reward_model": {"ground_truth": "5"}} for question in questions]
    loaded = table(jsonl(tmp_path / "verl.jsonl", rows), tmp_path)
    assert [loaded[i].language for i in range(3)] == ["en", "zh", "de"]


def test_the_language_is_one_of_those_that_are_asked_for(tmp_path: Path) -> None:
    row = {"question": "Wie groß ist die Summe der Zahlen?", "answer": "5"}
    spool = tmp_path / "spool.arrow"
    columns = OwnColumns(languages=["en", "nl"])
    spool_prompts(jsonl(tmp_path / "f.jsonl", [row]), spool, key="data.train", columns=columns)
    assert PromptTable(spool, str)[0].language == "nl"
