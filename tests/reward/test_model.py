"""The reward model: its scores are those of the model on rows as it was trained on, however they are batched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from r1ray.config import RewardModelConfig
from r1ray.data.dialogues import Dialogue
from r1ray.data.turns import DialogueEncoder
from r1ray.errors import InfrastructureError, UserError
from r1ray.reward.model import RewardModel, batches_by_length

ROWS = [
    ("What is 2+3?", " The answer is 5."),
    ("", " 5"),
    ("What is 2+3?", ""),
    ("Which? " * 30, "<think>hm</think> five " * 20),
    ("What is 2+3?", " The answer is 6.<eos>"),
    *((f"What is {number}+3?", " so " * number) for number in range(12)),
]


def classifier(source: Path, folder: Path, *, num_labels: int) -> Path:
    """A random classifier of the architecture and tokenizer of ``source``."""
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=num_labels)
    torch.nn.init.normal_(model.score.weight, std=0.5)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(llama_folder, tmp_path_factory.mktemp("reward"), num_labels=1)


def load(path: Path, **changes: Any) -> RewardModel:
    settings = {"dtype": "float32", "threads": torch.get_num_threads(), "max_tokens": 1024, "batch_tokens": 4096}
    return RewardModel(RewardModelConfig(model=str(path), **settings | changes), "cpu", "none")


def plain_scores(path: Path, rows: list[tuple[str, str]], *, max_tokens: int = 1024) -> list[float]:
    """Of transformers alone, one row at a time, tokenized by the encoder of training rows."""
    model = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32).eval()
    model.config.pad_token_id = None  # the last token is scored, whatever it is
    encoder = DialogueEncoder(AutoTokenizer.from_pretrained(path), template="none")
    scores = []
    for prompt, response in rows:
        pieces = encoder.pieces(Dialogue(prompt, ({"role": "assistant", "content": response},)))
        ((ids, _),) = encoder.encode([pieces])
        with torch.no_grad():
            logits = model(input_ids=torch.from_numpy(ids[-max_tokens:].astype(np.int64))[None]).logits
        scores.append(float(logits[0, 0]))
    return scores


@pytest.mark.parametrize("batch_tokens", [256, 600, 100_000])
def test_scores_are_those_of_the_plain_model_in_any_batch(folder: Path, batch_tokens: int) -> None:
    scores = load(folder, max_tokens=256, batch_tokens=batch_tokens).score(ROWS)
    np.testing.assert_allclose(scores, plain_scores(folder, ROWS, max_tokens=256), atol=1e-5)
    assert np.std(scores) > 0.01


def test_an_end_of_sequence_that_is_the_padding_token_is_scored(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps(config | {"pad_token_id": config["eos_token_id"]}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(tmp_path / "model")
    np.testing.assert_allclose(load(tmp_path / "model").score(ROWS), plain_scores(folder, ROWS), atol=1e-5)


def test_an_end_of_sequence_that_is_written_is_not_repeated(folder: Path) -> None:
    ended, not_ended = load(folder).score([("What?", " 5<eos>"), ("What?", " 5")])
    assert ended == pytest.approx(not_ended, abs=1e-6)


def test_a_long_text_loses_its_beginning_and_is_counted(folder: Path) -> None:
    model = load(folder, max_tokens=16)
    rows = [("a b c d e f g h" * 4, " The answer is 5."), ("b" + "a b c d e f g h" * 4, " The answer is 5."), ("", "5")]
    first, second, _ = scores = model.score(rows)
    np.testing.assert_allclose(scores, plain_scores(folder, rows, max_tokens=16), atol=1e-5)
    assert first == pytest.approx(second, abs=1e-5) and model.num_truncated == 2


def test_nothing_has_no_scores(folder: Path) -> None:
    model = load(folder)
    assert model.score([]) == [] and model.step_scores("What?", []) == []


def test_a_value_is_the_sigmoid_of_the_score(folder: Path) -> None:
    model = load(folder)
    (score,) = model.score([ROWS[0]])
    assert model.value(*ROWS[0]) == pytest.approx(1 / (1 + np.exp(-score))) and 0 < model.value(*ROWS[0]) < 1


def test_a_step_is_worth_what_the_answer_up_to_it_is(folder: Path) -> None:
    model = load(folder)
    steps = ["First 2.", "Then 3.", "So 5."]
    prefixes = ["First 2.", "First 2.\n\nThen 3.", "First 2.\n\nThen 3.\n\nSo 5."]
    assert model.step_scores("What?", steps) == pytest.approx([model.value("What?", p) for p in prefixes], abs=1e-5)


def test_bfloat16_scores_are_near(folder: Path) -> None:
    np.testing.assert_allclose(load(folder, dtype="bfloat16").score(ROWS), plain_scores(folder, ROWS), atol=0.1)


def test_a_score_that_is_not_a_number_is_a_failure_of_the_system(folder: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    torch.nn.init.constant_(model.score.weight, float("nan"))
    shutil.copytree(folder, tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    with pytest.raises(InfrastructureError, match="not a finite number"):
        load(tmp_path / "model").score([("What?", "5")])


def test_two_labels_are_the_users_mistake(llama_folder: Path, tmp_path: Path) -> None:
    path = classifier(llama_folder, tmp_path / "two", num_labels=2)
    with pytest.raises(UserError, match="it has 2 labels; needs one"):
        load(path)


def test_a_model_without_a_trained_head_is_the_users_mistake(llama_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(llama_folder, tmp_path / "policy")
    config = json.loads((llama_folder / "config.json").read_text())
    (tmp_path / "policy" / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0"}}))
    with pytest.raises(UserError, match=r"its files lack score\.weight"):
        load(tmp_path / "policy")


def test_what_does_not_load_is_the_users_mistake(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"reward_model\.model=.*not a reward model that transformers can load"):
        load(tmp_path)
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(UserError, match=r"reward_model\.model=.*not a reward model that transformers can load"):
        load(tmp_path / "broken")


def test_batches_hold_every_index_once_within_the_limit() -> None:
    lengths = [int(length) for length in np.random.default_rng(0).integers(1, 50, size=200)]
    batches = batches_by_length(lengths, batch_tokens=120)
    assert sorted(index for batch in batches for index in batch) == list(range(200))
    assert all(len(batch) * max(lengths[index] for index in batch) <= 120 for batch in batches)
    assert batches_by_length([500, 1], batch_tokens=120) == [[0], [1]]
