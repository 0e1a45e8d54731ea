"""A judge on a real vLLM engine: an untrained model's replies are of the schema all the same."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from r1ray.reward.judged import RUBRICS

pytestmark = pytest.mark.real
MAX_TOKENS = 900
TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<eos>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
}


@pytest.fixture(scope="module")
def chat_folder(llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("judge") / "model"
    shutil.copytree(llama_folder, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def found(chat_folder: Path) -> dict[str, Any]:
    """What tests.real.judging writes."""
    out = chat_folder.parent / "found.json"
    command = [sys.executable, "-W", "ignore", "-m", "tests.real.judging", str(chat_folder), str(MAX_TOKENS), str(out)]
    run = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-4000:]
    results: dict[str, Any] = json.loads(out.read_text())
    return results


def test_every_reply_of_an_untrained_model_is_of_the_schema(found: dict[str, Any]) -> None:
    replies = [outcome["reply"] for outcome in found["first"]]
    assert found["workers"] == 1
    assert all(set(reply) == {"reason", "grade"} and len(reply["reason"]) <= 600 for reply in replies)
    assert all(reply["grade"] in RUBRICS["attempted"].grades for reply in replies)


def test_the_same_question_gets_the_same_reply(found: dict[str, Any]) -> None:
    assert found["first"] == found["again"]


def test_no_blanks_stand_between_the_parts_of_a_sampled_reply(found: dict[str, Any]) -> None:
    assert len(found["sampled"]) == 16 == len(set(found["sampled"]))
    for text in found["sampled"]:
        assert re.fullmatch(r'\{"reason":"[^"]{0,8}","grade":"(A>>B|tie)"\}', text), text


def test_replies_that_the_length_limit_cuts_are_a_failure_of_the_system(found: dict[str, Any]) -> None:
    cut = found["cut"]
    assert cut["error"] == "InfrastructureError"
    assert "in 3 tries" in cut["message"] and "cut by the length limit" in cut["message"]
    assert """it said '{"reason":""" in cut["message"]


def test_a_question_that_does_not_fit_is_a_failure_of_the_system(found: dict[str, Any]) -> None:
    refused = found["long_prompt"]
    assert refused["error"] == "InfrastructureError"
    assert "124 fit (judge.max_model_len=1024 - judge.max_tokens=900)" in refused["message"]


def test_the_prompt_is_one_message_of_the_user_in_which_no_special_token_is(
    found: dict[str, Any], chat_folder: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(chat_folder)
    ids = found["prompt_ids"]
    assert tokenizer.decode(ids) == "<|user|>What< eos>< eos> is <|user|>?<eos><|assistant|>"
    assert ids.count(tokenizer.eos_token_id) == 1


@pytest.mark.faults
def test_a_dead_engine_is_lost(found: dict[str, Any]) -> None:
    assert found["dead"]["error"] == "EngineLost"
