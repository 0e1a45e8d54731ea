from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from r1ray.curation.card import Curation, Manifest, histogram, quantiles, write_dataset
from r1ray.curation.decontamination import Contamination
from r1ray.curation.duplicates import NearDuplicates
from r1ray.curation.mixture import mix
from r1ray.curation.rows import DatasetRow, content_digest, read_rows, row_digest
from r1ray.data.dialogues import Dialogue, recognise
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.data.spool import rows_of


def row(number: int, *, language: str = "en", num_tokens: int | None = None) -> DatasetRow:
    question = f"What is {number} + {number}?" if language == "en" else f"{number} 加 {number} 是多少?"
    return DatasetRow(
        id=f"row-{number}",
        messages=(
            {"role": "user", "content": question},
            {"role": "assistant", "content": f"<think>\n{number} twice</think>\n\n{2 * number} \u2713"},
        ),
        source="sums" if number % 2 else "made|up",
        domain="math",
        language=language,
        licence="MIT",
        stage="rejection_sampling",
        reward=1.0 if number % 3 else None,
        num_tokens=number + 1 if num_tokens is None else num_tokens,
        prompt_id=f"prompt-{number // 2}",
    )


ROWS = [row(i, language="zh" if i % 5 == 0 else "en") for i in range(20)]


def write(folder: Path, rows: list[DatasetRow], *, rows_per_part: int = 1000) -> Manifest:
    return write_dataset(rows, folder, title="Sums: a test", rows_per_part=rows_per_part)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    manifest = write(tmp_path, ROWS, rows_per_part=8)
    assert manifest.parts == ("data/part-00000.parquet", "data/part-00001.parquet", "data/part-00002.parquet")
    assert list(read_rows(tmp_path / "data")) == ROWS


def test_the_learners_reader_takes_every_row(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    found = list(rows_of(str(tmp_path / "data" / "part-00000.parquet"), key="data"))
    layout = recognise(frozenset(found[0][1]), EXAMPLES)
    assert layout is not None
    for (number, columns), expected in zip(found, ROWS, strict=True):
        (raw,) = layout.read(columns, number)
        assert raw.id == expected.id
        assert raw.dialogues == (Dialogue([expected.messages[0]], (expected.messages[1],)),)


def test_the_digest_is_the_same_for_the_same_rows_in_any_order_and_parts(tmp_path: Path) -> None:
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    digests = {
        write(tmp_path / "one", ROWS).digest,
        write(tmp_path / "parts", ROWS, rows_per_part=3).digest,
        write(tmp_path / "shuffled", shuffled, rows_per_part=7).digest,
        content_digest(map(row_digest, read_rows(tmp_path / "shuffled" / "data"))),
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    "rows",
    [
        [*ROWS[1:], replace(ROWS[0], reward=0.5)],
        [*ROWS[1:], replace(ROWS[0], source="other")],
        [*ROWS, ROWS[0]],
        ROWS[1:],
    ],
)
def test_other_rows_have_another_digest(rows: list[DatasetRow]) -> None:
    assert content_digest(map(row_digest, rows)) != content_digest(map(row_digest, ROWS))


def test_whole_rewards_have_the_digest_that_they_have_in_the_file() -> None:
    assert row_digest(replace(ROWS[1], reward=1)) == row_digest(replace(ROWS[1], reward=1.0))


def test_the_manifest_counts(tmp_path: Path) -> None:
    manifest = write(tmp_path, ROWS)
    assert (manifest.num_rows, manifest.num_prompts, manifest.num_tokens) == (20, 10, 210)
    assert manifest.counts["language"] == {"en": 16, "zh": 4}
    assert manifest.counts["source"] == {"made|up": 10, "sums": 10}
    assert manifest.length_quantiles["0"] == 1
    assert manifest.length_quantiles["0.5"] == 10
    assert manifest.length_quantiles["1"] == 20
    assert manifest.length_histogram == {"1": 1, "2-3": 2, "4-7": 4, "8-15": 8, "16-31": 5}


def curation() -> Curation:
    known = NearDuplicates(seed=3)
    contamination = Contamination(n=5)
    contamination.add("gsm", "g1", "What is seven plus eight plus nine?")
    contamination.add("clean", "c1", "A question that is in none of these texts")
    contamination.add("clean", "c2", "What?")
    report = contamination.report()
    for number, text in enumerate(["What is seven plus eight plus nine?"] * 2):
        known.seen(str(number), text)
        report.record(str(number), contamination.find(text))
    return Curation(
        num_examined=100,
        removed=Counter({"cut": 10, "mixed_language": 5}),
        duplicates=known.report(),
        contamination=report,
        mixture=mix({"a": ROWS, "b": ROWS}, {"a": 3, "b": 1}, seed=7).report,
        seeds={"mixture": 7, "duplicates": 3},
    )


def test_the_card_has_metadata_and_every_number(tmp_path: Path) -> None:
    manifest = write_dataset(ROWS, tmp_path, title="Sums: a test", curation=curation())
    text = (tmp_path / "README.md").read_text()
    _, header, body = text.split("---\n", 2)
    metadata = yaml.safe_load(header)
    assert metadata["pretty_name"] == "Sums: a test"
    assert metadata["language"] == ["en", "zh"]
    assert metadata["license"] == ["mit"]
    assert metadata["size_categories"] == ["n<1K"]
    assert metadata["configs"][0]["data_files"] == [{"split": "train", "path": "data/part-*.parquet"}]
    for line in (
        "# Sums: a test",
        "20 dialogues of 10 prompts, 210 tokens of answers.  ",
        f"Content digest (SHA-256 over the rows, in any order): `{manifest.digest}`",
        "| made\\|up | 10 |",
        "| zh | 4 |",
        "| MIT | 20 |",
        "| rejection_sampling | 20 |",
        "| 0.5 | 10 |",
        "| 8-15 | 8 |",
        "| cut | 10 | 90 |",
        "| mixed_language | 5 | 85 |",
        "| clean | 1 | 1 | 0 |",
        "| gsm | 1 | 0 | 2 |",
        "| a | 0.75 | 20 | 20 | 20 |",
        "| mixture | 7 |",
    ):
        assert line in body.splitlines()
    assert "1 of 2 texts were removed" in body
    assert "2 of 2 texts hold 5 words in a row of a benchmark's question" in body


def test_the_card_for_programs_has_the_same_numbers(tmp_path: Path) -> None:
    manifest = write_dataset(ROWS, tmp_path, title="Sums", curation=curation())
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["manifest"] == json.loads(json.dumps(asdict(manifest)))
    assert card["curation"]["removed"] == {"cut": 10, "mixed_language": 5}
    assert card["curation"]["contamination"]["num_texts_by_benchmark"] == {"clean": 0, "gsm": 2}
    assert card["curation"]["duplicates"]["num_removed"] == 1


def test_writing_again_leaves_nothing_of_what_was_there(tmp_path: Path) -> None:
    write(tmp_path, ROWS, rows_per_part=3)
    write(tmp_path, ROWS[:2])
    assert list(read_rows(tmp_path / "data")) == ROWS[:2]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "README.md",
        "card.json",
        "part-00000.parquet",
    ]


def test_a_folder_that_was_not_finished_has_no_card(tmp_path: Path) -> None:
    write(tmp_path, ROWS)

    def interrupted() -> Iterator[DatasetRow]:
        yield from ROWS[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(interrupted(), tmp_path, title="Sums", rows_per_part=4)
    assert not (tmp_path / "card.json").exists()
    assert [path.name for path in (tmp_path / "data").glob("part-*")] == ["part-00000.parquet"]


def test_no_rows_make_an_empty_data_set(tmp_path: Path) -> None:
    manifest = write(tmp_path, [])
    assert manifest.num_rows == 0
    assert list(read_rows(tmp_path / "data")) == []


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (replace(ROWS[0], messages=ROWS[0].messages[:1]), "no turn of the assistant"),
        (replace(ROWS[0], messages=({"role": "user", "content": "x"}, {"role": "assistant", "content": " "})), "empty"),
        (
            replace(ROWS[0], messages=({"role": "user", "content": "x", "image": "y"}, ROWS[0].messages[1])),
            "nothing else",
        ),
        (replace(ROWS[0], reward=float("nan")), "finite"),
    ],
)
def test_a_row_that_the_learner_could_not_read_is_refused(tmp_path: Path, bad: DatasetRow, message: str) -> None:
    with pytest.raises(ValueError, match=f"row row-0: .*{message}"):
        write(tmp_path, [bad])


def test_the_columns_have_their_types(tmp_path: Path) -> None:
    write(tmp_path, [replace(row(0), reward=None)])
    schema = pq.read_schema(tmp_path / "data" / "part-00000.parquet")
    assert schema.field("messages").type.value_type.field("content").type == pa.string()
    assert (schema.field("reward").type, schema.field("num_tokens").type) == (pa.float64(), pa.int64())


def test_no_lengths_have_no_quantiles_and_no_histogram() -> None:
    assert quantiles([]) == histogram([]) == {}


def test_a_length_of_zero_is_counted_by_itself() -> None:
    assert histogram([0, 1]) == {"0": 1, "1": 1}
