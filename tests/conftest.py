"""Fixtures that more than one folder uses (tiny models made on the spot), and what becomes of tests that this machine
has no tools for, or is too busy for."""

from __future__ import annotations

import functools
import gc
import json
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from r1ray.errors import MachineTooBusy

with suppress(ImportError):  # tests/gpu/learner runs without it
    from hypothesis import settings

    settings.register_profile("no deadline", deadline=None)  # two tests share two cores
    settings.load_profile("no deadline")

TRIES = 3
"""Calls of a test that ends because the machine is too busy to judge."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--hide-tools", action="store_true", help="run as on a machine without the optional tools")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--hide-tools"):
        from tests import tools

        folder = tempfile.TemporaryDirectory(prefix="r1ray-tests-path-")
        config.add_cleanup(folder.cleanup)
        tools.hide(Path(folder.name))


def pytest_report_header(config: pytest.Config) -> str | None:
    if not config.getoption("--hide-tools"):
        return None
    from tests import tools

    return f"hidden: {', '.join(tools.hidden())}"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the million objects that modules and tests are the searches for garbage: none of them is."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what is missing, before its fixtures are made."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # its tensors are small, and other tests run beside it: more threads only wait
    needed = [tool for mark in item.iter_markers("needs") for tool in mark.args]
    if not needed:
        return
    from tests import tools  # tests/gpu/learner runs without what the sandbox is made of

    if problem := tools.first_problem(needed):
        raise pytest.skip.Exception(problem, _use_item_location=True)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    pyfuncitem.obj = patient(pyfuncitem.obj)
    return (yield)


def patient(test: Callable[..., None]) -> Callable[..., None]:
    """Return a test that is called again where the machine is too busy to judge, and skips after so many times: that
    says nothing about what is tested."""

    @functools.wraps(test)
    def called(**given: object) -> None:
        for _ in range(TRIES):
            try:
                return test(**given)
            except MachineTooBusy as error:
                busy = error
        raise pytest.skip.Exception(f"{TRIES} times: {busy}", _use_item_location=True)

    return called


@pytest.fixture(scope="session")
def qwen_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of the quickstart's kind: word-level tokenizer, tied embeddings."""
    from r1ray.examples.pretrain import make_model
    from r1ray.examples.running_total.tokenizer import make_tokenizer

    folder = tmp_path_factory.mktemp("qwen")
    tokenizer = make_tokenizer()
    make_model(tokenizer, seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The messages of r1ray's loggers, as far as the test has come."""
    from tests.listening import listening

    messages: list[str] = []
    with listening(messages.append):
        yield messages


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of another architecture: Llama, untied, grouped-query attention, byte-level BPE."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("llama")
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        ["What is 2+3? The answer is 5."],
        trainers.BpeTrainer(vocab_size=300, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>")
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,  # the smallest that vLLM's CPU attention has
            max_position_embeddings=1024,
            tie_word_embeddings=False,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def arithmetic_jsonl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's own JSON lines in a layout that r1ray recognises."""
    path = tmp_path_factory.mktemp("data") / "sums.jsonl"
    rows = [{"question": f"What is {a}+{b}?", "answer": f"{a}+{b}\n#### {a + b}"} for a in range(6) for b in range(4)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def running_total(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.parquet and heldout.parquet of the quickstart's task."""
    import random

    from r1ray.examples.running_total.maker import write_prompts
    from r1ray.examples.running_total.task import sample_expression

    folder = tmp_path_factory.mktemp("task")
    rng = random.Random(0)
    write_prompts(folder / "train.parquet", [sample_expression(rng, "train") for _ in range(64)])
    write_prompts(folder / "heldout.parquet", [sample_expression(rng, "eval") for _ in range(8)])
    return folder
