"""A model's own code runs only where it is asked for."""

from __future__ import annotations

import ast
import json
import shutil
from pathlib import Path

import pytest

from r1ray.errors import UserError
from r1ray.runtime import remote_code
from r1ray.runtime.model_files import context_of, load_tokenizer

SOURCES = Path("r1ray")
MAKERS = ("from_pretrained", "from_config")
CODE = """
from transformers import LlamaConfig
class MyConfig(LlamaConfig):
    model_type = "mine"
"""


@pytest.fixture(autouse=True)
def not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(remote_code.VARIABLE, raising=False)


def calls() -> list[tuple[Path, ast.Call]]:
    """Calls that load a configuration, tokenizer or model by an Auto class. Examples load what they have made."""
    found = []
    for path in sorted(SOURCES.rglob("*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if any(maker in text for maker in MAKERS) else ():
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            is_load = node.func.attr in MAKERS and ast.unparse(node.func.value) != "GenerationConfig"
            if is_load and "examples" not in path.parts:
                found.append((path, node))
    return found


def test_every_load_says_whether_code_may_run() -> None:
    said = [(f"{path}:{call.lineno}", {each.arg for each in call.keywords}) for path, call in calls()]
    assert len(said) > 12
    assert not [place for place, arguments in said if "trust_remote_code" not in arguments]


def test_a_process_tells_its_actors() -> None:
    assert remote_code.environment() == {}
    remote_code.allow(True)
    assert remote_code.is_allowed() and remote_code.environment()
    remote_code.allow(False)
    assert not remote_code.is_allowed()


@pytest.fixture
def with_code(llama_folder: Path, tmp_path: Path) -> Path:
    """A model whose configuration is a class in its folder."""
    folder = tmp_path / "with_code"
    shutil.copytree(llama_folder, folder)
    (folder / "configuration.py").write_text(CODE)
    config = json.loads((folder / "config.json").read_text())
    mine = {"model_type": "mine", "auto_map": {"AutoConfig": "configuration.MyConfig"}}
    (folder / "config.json").write_text(json.dumps(config | mine))
    return folder


def test_a_model_that_needs_its_own_code_is_refused_with_the_key(with_code: Path) -> None:
    with pytest.raises(UserError, match=r"model=.*with_code: .* needs trust_remote_code=true"):
        load_tokenizer(str(with_code), template="none")


def test_a_model_runs_its_own_code_where_it_is_trusted(
    with_code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setenv(remote_code.VARIABLE, "1")
    assert context_of(str(with_code)) == json.loads((with_code / "config.json").read_text())["max_position_embeddings"]
