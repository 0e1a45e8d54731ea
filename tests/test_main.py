"""The command line: dispatch, exit codes, and what the user sees of each end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from r1ray import errors
from r1ray import main as cli
from r1ray.commands import score
from r1ray.config import EvaluationConfig, RunConfig, ScoreConfig
from r1ray.config.keys import keys_of

HELPS = (
    "import sys; before = set(sys.modules); import r1ray.main as cli;"
    "codes = [cli.main(['--help']), *(cli.main([verb, 'steps=3', '--help']) for verb in cli.VERBS)];"
    "codes += [cli.main(['keys']), cli.main(['keys', 'clip']), cli.main(['keys', 'sampling temperature'])];"
    "own = {*sys.stdlib_module_names, 'r1ray'};"
    "others = {name.partition('.')[0] for name in set(sys.modules) - before} - own;"
    "sys.exit(any(codes) or ' '.join(sorted(others)) or 0)"
)


def test_help_is_instant_because_it_imports_nothing_but_the_standard_library() -> None:
    done = subprocess.run([sys.executable, "-c", HELPS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "usage: r1ray run" in done.stdout


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_help_of_a_command_shows_its_usage_flags_and_examples(
    capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    assert cli.main([verb, "-h"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: r1ray {verb} [flags] ")
    assert all(f"\n{title}:\n" in shown for title in ("flags", "arguments", "examples"))
    assert max(map(len, shown.splitlines())) <= 120
    for flag in re.findall(r"--[a-z-]+", shown):
        assert flag in cli.VERBS[verb].parser()._option_string_actions, f"{flag} is shown, and is none"


@pytest.mark.parametrize(
    ("verb", "schema"),
    [
        ("run", RunConfig),
        ("plan", RunConfig),
        ("doctor", RunConfig),
        ("submit", RunConfig),
        ("eval", EvaluationConfig),
        ("score", ScoreConfig),
    ],
)
def test_the_help_of_a_command_has_all_of_its_keys_with_their_defaults(
    capsys: pytest.CaptureFixture[str], verb: str, schema: type[object]
) -> None:
    assert cli.main([verb, "--help"]) == 0
    shown = capsys.readouterr().out
    head, _, below = shown.partition("\nkeys, ")
    assert "\nexamples:\n" in head
    lines = {line.strip().partition("  ")[0] for line in below.splitlines()}
    assert [key.name for key in keys_of(schema) if f"{key.name}={key.default}" not in lines] == []


@pytest.mark.parametrize("verb", cli.VERBS)
def test_the_examples_of_a_command_are_read(verb: str) -> None:
    parser = cli.VERBS[verb].parser()
    assert parser.epilog is not None
    examples = re.findall(rf"(?m)^  r1ray {verb} (.*)$", parser.epilog)
    assert len(examples) >= 2
    for example in examples:
        assert parser.read(example.partition(" > ")[0].split()).words or "--smoke" in example


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["-h"], ["--help"]):
        assert cli.main(arguments) == 0
        shown = capsys.readouterr().out
        parts = dict(re.findall(r"(?ms)^(verbs|examples):\n(.*?)\n\n", shown))
        assert re.findall(r"(?m)^  (\w+) +[a-z]", parts["verbs"]) == list(cli.VERBS)
        assert set(re.findall(r"(?m)^  r1ray (\w+) ", parts["examples"])) == {"run", "plan"}
        assert len(shown.splitlines()) <= 32
    assert cli.main(["--version"]) == 0


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fly"]) == 2
    assert "no such command" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (errors.UserError("steps=0: needs 1."), 2, "r1ray: steps=0: needs 1.\n"),
        (errors.DeadlineExceeded("rank 0 hung"), 3, "r1ray: DeadlineExceeded: rank 0 hung\n"),
        (errors.SandboxUnavailable("no bwrap."), 2, "r1ray: no bwrap.\n"),
        (errors.Terminated("stopped after step 2"), 143, "r1ray: stopped after step 2.\n"),
        (KeyboardInterrupt(), 130, "r1ray: interrupted.\n"),
    ],
)
def test_an_end_has_its_exit_code_and_a_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
    message: str,
) -> None:
    def command(arguments: Sequence[str]) -> None:
        raise raised

    monkeypatch.setattr(score, "command", command)
    assert cli.main(["score", "FILE"]) == code
    assert capsys.readouterr().err == message


def test_what_nobody_expected_is_a_fault_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def broken(prompt, response):\n    raise SystemError('of the user')\n")
    program = (
        "from r1ray import main; import rewards, sys\n"
        "main.score.command = lambda arguments: rewards.broken(0, 0)\n"
        "sys.argv = ['r1ray', 'score', 'FILE']\n"
        "main.entrypoint()\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Traceback" in done.stderr and "SystemError: of the user" in done.stderr


@pytest.mark.parametrize("verb", ["eval", "plan"])
def test_messages_of_a_run_are_its_output_and_others_go_beside_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    import logging

    def command(arguments: Sequence[str]) -> None:
        print("output")
        logging.getLogger("r1ray.loop").info("message")

    monkeypatch.setattr(cli.VERBS[verb], "command", command)
    assert cli.main([verb]) == 0
    printed = capsys.readouterr()
    if verb == "eval":
        assert (printed.out, printed.err) == ("output\nmessage\n", "")
    else:
        assert (printed.out, printed.err) == ("output\n", "r1ray: message\n")
