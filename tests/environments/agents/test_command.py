from __future__ import annotations

import sys
from pathlib import Path

import pytest

from r1ray.environments.agents.command import filled, own_variables, secrets_in, told, uses, variables, with_program
from r1ray.errors import UserError


def test_python_is_the_own_interpreter_and_files_are_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agent.py").touch()
    (tmp_path / "folder").mkdir()
    command = with_program(["python", "agent.py", "folder", "{prompt}", "-n", 3, "other.py"], key="k")
    assert command == (sys.executable, f"{tmp_path}/agent.py", "folder", "{prompt}", "-n", "3", "other.py")
    assert with_program(["sh", "-c", "x" * 5000], key="k")[1:] == ("-c", "x" * 5000)


def test_a_file_of_the_package_is_found_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = with_program(["python", "r1ray/examples/calculator_agent/openai_agent.py"], key="k")[1]
    assert path.startswith("/") and Path(path).is_file()


FILES = (("text", "", 0o644), ("words", "x", 0o755), ("lost", "#!/no/such/interpreter -x\n", 0o755))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs a list of a program"),
        ("python x.py", "needs a list of a program"),
        (["", "x"], "needs a list of a program"),
        (["a\0b"], "needs a list of a program"),
        (["no-such-program-at-all"], "there is no program no-such-program-at-all in PATH"),
        (["/no/such"], "/no/such does not exist"),
        (["./text"], "may not be executed; needs chmod"),
        (["./folder"], "is not a file"),
        (["./words"], "needs a first line such as"),
        (["./lost"], "needs /no/such/interpreter, which does not exist"),
    ],
)
def test_what_cannot_be_started_is_said_with_the_key(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text, mode in FILES:
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=r"environment\.command=") as raised:
        with_program(words, key="environment.command")
    assert said in str(raised.value)


def test_a_placeholder_is_filled_once_wherever_it_stands() -> None:
    values = {"model": "policy", "prompt": "say {api_key} {x}", "api_key": "k"}
    assert filled("openai/{model} {prompt} {y}", values) == "openai/policy say {api_key} {x} {y}"
    assert uses(["a{prompt}"], {}, "prompt") and uses(["a"], {"X": "{prompt}"}, "prompt")
    assert not uses(["{prompt_file}"], {}, "prompt")


def test_variables_are_few_and_those_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush")
    assert "MY_TOKEN" not in variables("/usr/bin/env", home="/h", tmp="/t")
    assert own_variables({"MY_TOKEN": None, "N": 3, "B": True}, key="env") == {
        "MY_TOKEN": "hush-hush",
        "N": "3",
        "B": "True",
    }
    with pytest.raises(UserError, match=r"env\.NOT_THERE=null"):
        own_variables({"NOT_THERE": None}, key="env")
    with pytest.raises(UserError, match="not a name of a variable"):
        own_variables({"A=B": "x"}, key="env")


def test_an_output_is_told_without_secrets_and_control_characters() -> None:
    secrets = ["sk-one", *secrets_in({"MY_API_KEY": "hush-hush", "OTHER": "in plain sight", "TOKEN": "ab"})]
    output = b"\x1b[2J sk-one and hush-hush, in plain sight ab \xff"
    assert told(output, secrets, length=100) == "\\x1b[2J *** and ***, in plain sight ab \ufffd"
    assert told(b"a" * 50, [], length=10) == "a" * 10
