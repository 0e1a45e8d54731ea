"""Files in, tokens and loss masks out: layouts, masks, what is left out, order, resumption."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.data.pair_layouts import PAIRS
from r1ray.data.position import Position
from r1ray.data.sft_examples import SFTExample
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.data.sft_rows import (
    EpochCursor,
    ExampleTable,
    PairTable,
    SupervisedReport,
    mask_of,
    runs_of,
    spool_dialogues,
)
from r1ray.data.turns import DialogueEncoder
from r1ray.errors import UserError
from tests.data.prompt_files import jsonl, parquet

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
REASONING = (  # as DeepSeek-R1's: answers are shown without their reasoning, and the prompt opens it
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content.split('</think>')[-1] }}"
    "{% if m.role == 'assistant' %}<eos>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>\n{% endif %}"
)
STRICT = "{% if messages[0].role == 'system' %}{{ raise_exception('no system prompt') }}{% endif %}"


def make_tokenizer(chat_template: str = CHATML) -> Any:
    """One token a byte, and ``<eos>``."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<eos>": 0, **{token: i for i, token in enumerate(alphabet, start=1)}}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<eos>", chat_template=chat_template)


TOKENIZER = make_tokenizer()
USER, BOT = {"role": "user", "content": "1+1?"}, {"role": "assistant", "content": "2"}


def spool(
    tmp_path: Path,
    rows: Sequence[dict[str, Any]],
    *,
    template: str = "none",
    layouts: Any = EXAMPLES,
    max_tokens: int = 1000,
    tokenizer: Any = TOKENIZER,
    write: Any = jsonl,
    digest: str = "d",
) -> SupervisedReport:
    path = write(tmp_path / ("f.jsonl" if write is jsonl else "f.parquet"), rows)
    return spool_dialogues(
        path,
        tmp_path / "s.arrow",
        key="supervised.train",
        layouts=layouts,
        encoder=DialogueEncoder(tokenizer, template=template),
        max_tokens=max_tokens,
        digest=digest,
    )


def shown(example: SFTExample) -> list[tuple[str, bool]]:
    """Text of each run of the mask, and whether it is in the loss."""
    cuts = np.flatnonzero(np.diff(example.loss_mask)) + 1
    runs = zip(np.split(example.token_ids, cuts), np.split(example.loss_mask, cuts), strict=True)
    return [(TOKENIZER.decode(ids), bool(mask[0])) for ids, mask in runs]


def examples(tmp_path: Path, rows: Sequence[dict[str, Any]], **keywords: Any) -> list[list[tuple[str, bool]]]:
    spool(tmp_path, rows, **keywords)
    table = ExampleTable(tmp_path / "s.arrow")
    return [shown(table[i]) for i in range(len(table))]


# ---------------------------------------------------------------------- layouts of examples


@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize(
    ("row", "layout", "question", "answer"),
    [
        ({"prompt": "q", "response": "a"}, "prompt and answer", "q", "a"),
        ({"prompt": "q", "completion": "a"}, "prompt and answer", "q", "a"),
        ({"question": "q", "answer": "a"}, "Hugging Face", "q", "a"),
        ({"problem": "q", "solution": "why a", "answer": "a"}, "Hugging Face", "q", "why a"),
        ({"instruction": "q", "input": "x", "output": "a"}, "Alpaca", "q\n\nx", "a"),
        ({"instruction": "q", "input": "", "output": "a"}, "Alpaca", "q", "a"),
    ],
)
def test_layouts_of_texts_load_as_they_are(
    tmp_path: Path, write: Any, row: dict[str, Any], layout: str, question: str, answer: str
) -> None:
    report = spool(tmp_path, [row], write=write)
    assert report.layout.startswith(layout)
    assert shown(ExampleTable(tmp_path / "s.arrow")[0]) == [(question, False), (answer + "<eos>", True)]


@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize(
    ("row", "layout"),
    [
        ({"messages": [USER, BOT]}, "chat messages"),
        ({"conversations": [{"from": "human", "value": "1+1?"}, {"from": "gpt", "value": "2"}]}, "ShareGPT"),
        ({"prompt": [USER], "completion": [BOT]}, "prompt and answer"),
        ({"prompt": "1+1?", "response": "2"}, "prompt and answer"),
    ],
)
def test_layouts_of_messages_are_the_same_dialogue(
    tmp_path: Path, write: Any, row: dict[str, Any], layout: str
) -> None:
    report = spool(tmp_path, [row], template="chat", write=write)
    assert report.layout.startswith(layout)
    assert shown(ExampleTable(tmp_path / "s.arrow")[0]) == [
        ("<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n", False),
        ("2<|im_end|><eos>", True),
    ]


def test_the_system_column_begins_the_conversation(tmp_path: Path) -> None:
    row = {"system": "be brief", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
    (pieces,) = examples(tmp_path, [row], template="chat")
    assert pieces[0][0].startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nq")


def test_the_papers_template_is_that_of_the_rollouts(tmp_path: Path) -> None:
    (pieces,) = examples(tmp_path, [{"messages": [USER, BOT]}], template="r1_zero")
    assert pieces[0][0].endswith("User: 1+1?. Assistant:") and pieces[1] == ("2<eos>", True)


def test_unknown_columns_are_refused_with_the_layouts_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"found the columns text \(a text does not .*\); needs those of one of .*messages.*Alpaca"
    ):
        spool(tmp_path, [{"text": "x"}])


# ---------------------------------------------------------------------- masks


def test_every_answer_of_a_conversation_is_in_the_loss_and_nothing_else(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a?"},
        {"role": "assistant", "content": "A"},
        {"role": "user", "content": "b?"},
        {"role": "assistant", "content": "B"},
        {"role": "user", "content": "never answered"},
    ]
    (pieces,) = examples(tmp_path, [{"messages": messages}], template="chat")
    assert pieces == [
        ("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na?<|im_end|>\n<|im_start|>assistant\n", False),
        ("A<|im_end|>", True),
        ("\n<|im_start|>user\nb?<|im_end|>\n<|im_start|>assistant\n", False),
        ("B<|im_end|><eos>", True),
    ]


def test_answers_within_the_prompt_are_history(tmp_path: Path) -> None:
    history = [USER, BOT, {"role": "user", "content": "and 2+2?"}]
    (pieces,) = examples(tmp_path, [{"prompt": history, "response": "4"}], template="chat")
    assert [mask for _, mask in pieces] == [False, True] and pieces[1][0] == "4<|im_end|><eos>"


def test_an_end_of_sequence_that_the_template_writes_is_not_doubled(tmp_path: Path) -> None:
    template = CHATML.replace("<|im_end|>", "<eos>")
    (pieces,) = examples(tmp_path, [{"messages": [USER, BOT]}], template="chat", tokenizer=make_tokenizer(template))
    assert pieces[-1] == ("2<eos>", True)


def test_a_template_that_drops_the_reasoning_does_not_drop_it_from_the_answer(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "<think>\n1 and 1\n</think>2"}
    (pieces,) = examples(tmp_path, [{"messages": [USER, answer]}], template="chat", tokenizer=make_tokenizer(REASONING))
    assert pieces == [("<|user|>1+1?<|assistant|><think>\n", False), ("1 and 1\n</think>2<eos>", True)]


def test_rows_whose_earlier_answers_a_template_changes_are_not_learned_from(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "<think>\nx\n</think>2"}
    row = {"messages": [USER, answer, USER, answer]}
    with pytest.raises(UserError, match=r"any of its rows: the tokenizer's chat template changes earlier .* \(1\)"):
        spool(tmp_path, [row], template="chat", tokenizer=make_tokenizer(REASONING))


def test_what_a_template_refuses_is_left_out_counted_and_named(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "system", "content": "s"}, USER, BOT]}, {"messages": [USER, BOT]}]
    report = spool(tmp_path, rows, template="chat", tokenizer=make_tokenizer(STRICT + CHATML))
    assert report.num_rows == 1 and report.quarantined_ids == ("row 1",)
    assert report.quarantined == {"the tokenizer's chat template refuses the dialogue: no system prompt": 1}


def test_several_answers_need_the_chat_template(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows: a dialogue of several answers needs data\.template=chat"):
        spool(tmp_path, [{"messages": [USER, BOT, USER, BOT]}], template="r1_zero")


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_runs_say_the_whole_mask(mask: list[bool]) -> None:
    assert mask_of(runs_of(np.array(mask))).tolist() == mask


@given(question=st.text(min_size=1, max_size=20), answer=st.text(min_size=1, max_size=20))
def test_question_and_answer_are_tokenized_apart(question: str, answer: str) -> None:
    encoder = DialogueEncoder(TOKENIZER, template="none")
    from r1ray.data.dialogues import Dialogue

    dialogue = Dialogue(question, ({"role": "assistant", "content": answer},))
    ((ids, mask),) = encoder.encode([encoder.pieces(dialogue)])
    head = TOKENIZER(question)["input_ids"]
    assert ids[: len(head)].tolist() == head
    assert mask.tolist() == [False] * len(head) + [True] * (len(ids) - len(head))
    assert ids[-1] == TOKENIZER.eos_token_id and ids.dtype == np.int32


# ---------------------------------------------------------------------- preferences


def pair(tmp_path: Path, row: dict[str, Any], **keywords: Any) -> tuple[Any, Any, float]:
    spool(tmp_path, [row], layouts=PAIRS, **keywords)
    found = PairTable(tmp_path / "s.arrow")[0]
    return shown(found.chosen), shown(found.rejected), found.margin


OTHER = {"role": "assistant", "content": "3"}
HH = {"chosen": "\n\nHuman: 1+1?\n\nAssistant: 2", "rejected": "\n\nHuman: 1+1?\n\nAssistant: 3"}


@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize(
    ("row", "layout"),
    [
        ({"prompt": "1+1?", "chosen": "2", "rejected": "3"}, "prompt and two answers"),
        ({"prompt": [USER], "chosen": [BOT], "rejected": [OTHER]}, "prompt and two answers"),
        ({"prompt": "1+1?", "chosen": [USER, BOT], "rejected": [USER, OTHER]}, "prompt and two answers"),
        ({"chosen": [USER, BOT], "rejected": [USER, OTHER]}, "whole conversations"),
        (HH, "whole conversations"),
    ],
)
def test_layouts_of_pairs_are_the_same_pair(tmp_path: Path, write: Any, row: dict[str, Any], layout: str) -> None:
    report = spool(tmp_path, [row], layouts=PAIRS, template="chat", write=write)
    assert report.layout.startswith(layout)
    found = PairTable(tmp_path / "s.arrow")[0]
    head = ("<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n", False)
    assert shown(found.chosen) == [head, ("2<|im_end|><eos>", True)]
    assert shown(found.rejected) == [head, ("3<|im_end|><eos>", True)]
    assert found.margin == 0.0
    assert (found.num_tokens, found.num_terms) == (len(found.chosen.token_ids) + len(found.rejected.token_ids), 1)


def test_a_transcript_of_several_turns_has_their_common_part_as_its_question(tmp_path: Path) -> None:
    before = "\n\nHuman: a\n\nAssistant: A\n\nHuman: b"
    row = {"chosen": f"{before}\n\nAssistant: good", "rejected": f"{before}\n\nAssistant: bad"}
    chosen, rejected, _ = pair(tmp_path, row, template="chat")
    assert chosen[0] == rejected[0] and "assistant\nA<|im_end|>" in chosen[0][0]
    assert (chosen[1][0], rejected[1][0]) == ("good<|im_end|><eos>", "bad<|im_end|><eos>")


@pytest.mark.parametrize(
    ("columns", "margin"),
    [
        ({"margin": 1.5}, 1.5),
        ({"score_chosen": 9, "score_rejected": 6.5}, 0.0),
        ({"score_chosen": 9, "score_rejected": 9}, 0.0),
        ({"chosen_rating": 5, "rejected_rating": 2}, 0.0),
        ({"margin": 1.0, "score_chosen": 9.0, "score_rejected": 6.5}, 1.0),
        ({"score_chosen": 9.0}, 0.0),
    ],
)
def test_a_margin_is_the_column_of_that_name_and_ratings_are_none(
    tmp_path: Path, columns: dict[str, Any], margin: float
) -> None:
    assert pair(tmp_path, {"prompt": "q", "chosen": "a", "rejected": "b", **columns})[2] == margin


@pytest.mark.parametrize("margin", ["1", float("nan"), True])
def test_a_margin_that_is_no_number_is_malformed(tmp_path: Path, margin: Any) -> None:
    with pytest.raises(UserError, match="row 1: margin needs a finite number"):
        spool(tmp_path, [{"prompt": "q", "chosen": "a", "rejected": "b", "margin": margin}], layouts=PAIRS)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "chosen and rejected are the same"),
        ({"prompt": "q", "chosen": "", "rejected": "a"}, "chosen is empty"),
        ({"prompt": "q", "chosen": "a", "rejected": None}, "rejected is empty"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "margin": -0.5}, "its margin is negative"),
        (
            {"prompt": "q", "chosen": "a", "rejected": "b", "score_chosen": 2.0, "score_rejected": 3.0},
            "score_rejected is",
        ),
        (
            {"chosen": [USER, BOT], "rejected": [{**USER, "content": "?"}, BOT]},
            "chosen and rejected are not two answers",
        ),
    ],
)
def test_pairs_that_teach_nothing_are_left_out_and_counted(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    rows = [{"prompt": None, "chosen": HH["chosen"], "rejected": HH["rejected"]}, {"prompt": None} | row]
    report = spool(tmp_path, rows, layouts=PAIRS, template="chat")
    assert report.num_rows == 1
    ((found, count),) = report.quarantined.items()
    assert found.startswith(reason) and count == 1 and report.quarantined_ids == ("row 2",)


# ---------------------------------------------------------------------- what is left out


def test_rows_that_are_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": "x" * n} for n in (1, 8, 9, 20)]
    report = spool(tmp_path, rows, max_tokens=10)
    assert (report.num_rows, report.num_too_long, report.longest) == (2, 2, 10)
    assert (report.num_tokens, report.num_answer_tokens) == (13, 11)


def test_a_pair_is_too_long_where_one_of_its_dialogues_is(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b" * n} for n in (1, 50)]
    assert spool(tmp_path, rows, layouts=PAIRS, max_tokens=10).num_too_long == 1


def test_a_file_of_which_nothing_fits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"supervised.max_tokens=5: none of the rows .* the shortest has 10 tokens"):
        spool(tmp_path, [{"prompt": "q", "response": "x" * n} for n in (20, 8)], max_tokens=5)


def test_an_empty_answer_is_quarantined(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "response": r} for r in ("a", " \n", None, "")]
    report = spool(tmp_path, [{**row, "id": "x"} for row in rows])
    assert (report.num_rows, sum(report.quarantined.values()), len(report.quarantined_ids)) == (1, 3, 3)


def test_a_file_of_empty_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing can be learned from any of its rows: response is empty \(1\)"):
        spool(tmp_path, [{"prompt": "q", "response": ""}])


def test_malformed_rows_are_named_by_number(tmp_path: Path) -> None:
    good = {"messages": [USER, BOT]}
    bad: list[dict[str, Any]] = [
        {"messages": "x"},
        {"messages": [{"content": "1+1?"}]},
        {"messages": [USER, {"role": "assistant", "content": {"text": "2"}}]},
        {"messages": [{"role": "user"}]},
    ]
    with pytest.raises(UserError, match=r"4 malformed rows of 6: row 2: messages needs a list .*; row 3: .*; row 5: "):
        spool(tmp_path, [good, bad[0], bad[1], good, *bad[2:]], template="chat")


def test_malformed_rows_are_skipped_where_that_is_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, good = tmp_path / "rows.jsonl", json.dumps({"prompt": "q", "response": "a"})
    path.write_text(f'{good}\n{{torn\n{{"prompt": 3, "response": "a"}}\n{good}\n')
    encoder = DialogueEncoder(make_tokenizer(), template="none")

    def read(on_bad_row: str) -> SupervisedReport:
        return spool_dialogues(
            [str(path)],
            tmp_path / "s.arrow",
            key="supervised.train",
            layouts=EXAMPLES,
            encoder=encoder,
            max_tokens=100,
            digest=on_bad_row,
            on_bad_row=on_bad_row,
        )

    with pytest.raises(UserError, match=r"2 malformed rows of 4: line 2: not JSON: .*; row 3: prompt"):
        read("refuse")
    assert read("skip").num_rows == 2
    assert "2 malformed rows of 4 are left out: line 2: not JSON" in caplog.text


def test_a_key_that_a_row_lacks_is_an_empty_answer(tmp_path: Path) -> None:
    rows = [{"instruction": "q", "output": "a"}, {"instruction": "q"}]
    assert sum(spool(tmp_path, rows).quarantined.values()) == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the file has no rows"):
        spool(tmp_path, [])


# ---------------------------------------------------------------------- the spool


def test_a_spool_of_the_same_digest_is_taken_as_it_is(tmp_path: Path) -> None:
    first = spool(tmp_path, [{"prompt": "q", "response": ""}, {"prompt": "q", "response": "a"}], digest="one")
    again = spool(tmp_path, [{"prompt": "q", "response": "other"}], digest="one")
    assert again == first and len(ExampleTable(tmp_path / "s.arrow")) == 1
    assert shown(ExampleTable(tmp_path / "s.arrow")[0])[1][0] == "a<eos>"
    spool(tmp_path, [{"prompt": "q", "response": "other"}], digest="two")
    assert shown(ExampleTable(tmp_path / "s.arrow")[0])[1][0] == "other<eos>"


def test_rows_are_found_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r1ray.data.sft_rows.BATCH_ROWS", 3)
    rows = [{"id": str(i), "prompt": "q", "response": "a" * (i + 1)} for i in range(8)]
    spool(tmp_path, rows, max_tokens=8)  # the last one but one fits
    table = ExampleTable(tmp_path / "s.arrow")
    assert [(table[i].id, table[i].num_terms) for i in range(len(table))] == [(str(i), i + 2) for i in range(6)]
    with pytest.raises(IndexError):
        table[6]


def test_a_row_without_a_name_is_called_by_its_number(tmp_path: Path) -> None:
    spool(tmp_path, [{"prompt": "q", "response": "a"}, {"prompt": "q", "response": "a", "id": 7}])
    table = ExampleTable(tmp_path / "s.arrow")
    assert [table[i].id for i in range(2)] == ["row 1", "7"]


# ---------------------------------------------------------------------- order


def test_every_epoch_is_another_order_of_all_rows() -> None:
    cursor = EpochCursor(range(20), seed=1, epochs=2, position=Position())
    epochs = [cursor.take(20), cursor.take(20)]
    assert epochs[0] != epochs[1] and sorted(epochs[0]) == sorted(epochs[1]) == list(range(20))
    assert cursor.take(20) == () and cursor.epochs_done == 2.0


@given(st.integers(1, 12), st.integers(1, 3), st.integers(1, 9), st.integers(0, 40))
def test_a_position_says_everything(num_rows: int, epochs: int, size: int, stop: int) -> None:
    def batches(cursor: EpochCursor[int]) -> list[tuple[int, ...]]:
        return [batch for _ in range(40) if (batch := cursor.take(size))]

    whole = batches(EpochCursor(range(num_rows), seed=5, epochs=epochs, position=Position()))
    assert sorted(row for batch in whole for row in batch) == sorted([*range(num_rows)] * epochs)
    assert {len(batch) for batch in whole[:-1]} <= {size}
    first = EpochCursor(range(num_rows), seed=5, epochs=epochs, position=Position())
    taken = [first.take(size) for _ in range(min(stop, len(whole)))]
    second = EpochCursor(range(num_rows), seed=5, epochs=epochs, position=first.position)
    assert taken + batches(second) == whole
