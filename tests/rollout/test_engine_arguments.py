"""Arguments of vLLM are looked up in its source, without its import."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import JudgeConfig, RolloutConfig
from r1ray.config.actors import JudgeEngineConfig
from r1ray.errors import UserError
from r1ray.rollout.engine_arguments import check_engine_args, known_arguments

SOURCE = """
class EngineArgs:
    block_size: int | None = None
    watermark: float = 0.01
    enforce_eager: bool = False
    revision: str | None = None
    hf_overrides: HfOverrides = None
    _api_process_count: int = 1

    def of_a_method(self) -> None:
        local: int = 3

class AsyncEngineArgs(EngineArgs):
    enable_log_requests: bool = False

class Other:
    no_argument: int = 1
"""


@pytest.fixture
def a_vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of that name with a few arguments, in the place of the installed one."""
    package = tmp_path / "vllm"
    (package / "engine").mkdir(parents=True)
    (package / "engine" / "arg_utils.py").write_text(SOURCE)
    found = ModuleSpec("vllm", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    known_arguments.cache_clear()
    yield package
    known_arguments.cache_clear()


def test_its_arguments_are_the_fields_of_its_classes(a_vllm: Path) -> None:
    assert known_arguments() == {
        "block_size": ("int", "None"),
        "watermark": ("float",),
        "enforce_eager": ("bool",),
        "revision": ("str", "None"),
        "hf_overrides": (),
        "enable_log_requests": ("bool",),
    }


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("enforce_eage", True, "vLLM has no such argument; the nearest is enforce_eager"),
        ("no_argument", 1, "vLLM has no such argument"),
        ("enforce_eager", 1, "needs true or false"),
        ("block_size", "x", "needs a whole number or null"),
        ("block_size", True, "needs a whole number or null"),
        ("watermark", "x", "needs a number"),
        ("revision", 3, "needs a text or null"),
    ],
)
def test_another_name_or_type_is_refused(a_vllm: Path, name: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"^rollout\.engine_args\.{name}(={value})?: {message}"):
        check_engine_args(RolloutConfig(engine_args={name: value}))
    with pytest.raises(UserError, match=rf"^judge\.engine\.engine_args\.{name}"):
        check_engine_args(JudgeEngineConfig(engine_args={name: value}))


def test_what_it_has_passes(a_vllm: Path) -> None:
    values = {"block_size": None, "watermark": 1, "enforce_eager": True, "hf_overrides": {"a": 1}}
    check_engine_args(RolloutConfig(engine_args=values))
    assert JudgeConfig().engine.section == "judge.engine"


def test_without_a_vllm_nothing_is_known_and_nothing_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    known_arguments.cache_clear()
    check_engine_args(RolloutConfig(engine_args={"anything": 1}))
    known_arguments.cache_clear()


def test_the_installed_one_is_read_and_not_imported() -> None:
    program = (
        "import sys; from r1ray.rollout.engine_arguments import known_arguments as known;"
        "print('vllm' in sys.modules, 'torch' in sys.modules, known()['enforce_eager'], len(known()) > 100)"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.split(maxsplit=2)[:2] == ["False", "False"] and said.stdout.endswith("('bool',) True\n")
