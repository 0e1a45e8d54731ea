"""Every command that a README shows: it composes, it runs here if that takes seconds, and else some test runs it.

``tests/real/test_readme.py`` runs the others, but for those in ``OWNERS`` and ``ONLY_COMPOSED``.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from r1ray.commands.unnamed import with_unnamed
from r1ray.errors import UserError
from r1ray.main import VERBS, main
from tests.readme_lines import ROOT, Line, all_lines, lines_of, without_comment
from tests.readme_places import write_places

LINES = all_lines()
R1RAY = [line for line in LINES if line.program == "r1ray"]
MAKE = [line for line in LINES if line.program == "make"]
QUICK = ("score", "plan", "keys", "files")
"""Verbs that end within seconds."""
SHOWS = {"-h", "--help", "--version", "--cfg"}
"""Flags with which any command does."""
OWNERS = {
    r"run experiment=quickstart( |$)": "tests/test_quickstart_curve.py",
    r"run experiment=r1_quickstart( |$)": "tests/test_r1_quickstart.py",
    r"run recipe=(r1|distill_vs_rl) ": "tests/test_r1_quickstart.py",
    r"run experiment=smollm2( |$)": "tests/real/test_smollm2.py",
    r"run experiment=calculator_agent( |$)": "tests/test_calculator_agent_curve.py",
    r"run experiment=python_agent( |$)": "tests/test_python_agent_curve.py",
    r"run experiment=openai_agent( |$)": "tests/real/test_readme.py",
    r"run experiment=tiny_programs( |$)": "tests/real/test_readme.py",
    r"run .*reward=all_scenario ": "tests/real/test_preference.py",
    r"run .*collect\.ways=\S*(few_shot|rewrite)": "tests/real/test_graph.py",
    r"eval .*judge\.": "tests/real/test_evaluation.py",
    r"submit ": "tests/real/test_cluster.py",
    r"audit ": "tests/commands/test_audit.py",
    r"report ": "tests/commands/test_report.py",
    r"(^(status|export) | output_dir=)s3://": "tests/real/test_object_store.py",
}
"""Which test runs such a command, or what it does; the others are run by tests/real/test_readme.py."""
ONLY_COMPOSED = {
    r"[= '](/shared|/models)/": "files of the reader's cluster",
    r"cluster=(?!cpu)\w+": "GPUs",
    r"experiment=\S*_\d+(\.\d+)?b": "a model of billions of parameters",
}
"""Commands that no machine without such things can run, and what they need."""


def is_quick(line: Line) -> bool:
    """Return whether a command runs in ``make test``."""
    return line.words[0] in QUICK or bool(SHOWS & set(line.words))


def runner_of(line: Line) -> str:
    """Return the test that runs a command, or why none does."""
    if is_quick(line):
        return "tests/test_readme_lines.py"
    of = " ".join(line.words) + " "
    owned = [where for pattern, where in [*ONLY_COMPOSED.items(), *OWNERS.items()] if re.search(pattern, of)]
    return owned[0] if owned else "sketch" if line.is_inline else "tests/real/test_readme.py"


LEFT_OUT = re.compile(r"(?:^|[ =])\.\.\.(?: |$)")


class Reached(BaseException):
    """The command was about to start something: all that comes before it is fine."""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Path:
    """A folder in which the names of the READMEs' files and models stand for small ones."""
    return write_places(tmp_path_factory.mktemp("places"), llama_folder)


@pytest.fixture
def there(places: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same as working directory, as ``entrypoint`` puts it into the path."""
    monkeypatch.chdir(places)
    monkeypatch.syspath_prepend(str(places))
    return places


@pytest.fixture
def stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """End every command where it would start actors, ask a cluster or read a checkpoint."""
    from r1ray.cluster import jobs, placement
    from r1ray.doctor import examination, smoke
    from r1ray.mirror import view
    from r1ray.page import folders
    from r1ray.stages import audit, export, replayable

    def reached(*_: object, **__: object) -> None:
        raise Reached

    for module, name in (
        *((placement, "preflight"), (jobs, "Jobs"), (export, "find_folder"), (replayable, "find_log")),
        *((examination, "examine_run"), (smoke, "smoke"), (audit, "audit")),
        *((folders, "find_runs"), (view, "folder_of")),
    ):
        monkeypatch.setattr(module, name, reached)


@pytest.mark.usefixtures("there", "stops")
@pytest.mark.parametrize("line", [line for line in R1RAY if not is_quick(line)], ids=str)
def test_a_line_is_accepted_up_to_where_something_starts(line: Line) -> None:
    name, *words = line.words
    assert name in VERBS, f"{line}: no such verb"
    assert not LEFT_OUT.search(line.text), f"{line}: a reader cannot type dots"
    shown = ["--cfg", "job"] if name == "run" else []

    def command(given: list[str]) -> int | None:
        try:
            return VERBS[name].command([*given, *shown])
        except Reached:
            return None

    # Inline code is a part of a sentence, and leaves out what the sentence is not about.
    code = with_unnamed(words, command) if line.is_inline else command(words)
    assert not code, f"{line}: exit code {code}"


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize("line", [line for line in R1RAY if is_quick(line)], ids=str)
def test_a_line_of_seconds_runs(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(line.words)
    assert code == 0, f"{line}: exit code {code}: {capsys.readouterr().err}"


@pytest.mark.parametrize("line", MAKE, ids=str)
def test_a_line_of_make_names_targets_that_exist(line: Line) -> None:
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text()))
    asked = [word for word in line.words if "=" not in word]
    assert asked and set(asked) <= targets, f"{line}: has none of these targets"


@pytest.mark.parametrize("line", R1RAY, ids=str)
def test_a_line_is_run_by_a_test_or_says_what_it_needs(line: Line) -> None:
    runner = runner_of(line)
    is_test = runner.startswith("tests/")
    assert not is_test or (ROOT / runner).is_file(), f"{line}: {runner} is gone"
    assert is_test or runner in ONLY_COMPOSED.values() or line.is_inline, f"{line}: nobody runs it"


def test_what_owns_a_line_runs_such_a_command() -> None:
    for pattern, owner in OWNERS.items():
        told = re.search(r"experiment=\w+", pattern)
        assert told is None or told[0].partition("=")[2] in (ROOT / owner).read_text(), f"{owner}: not {pattern}"


# ---------------------------------------------------------------------- extraction

README = """Text `r1ray run
    --cfg job` and `r1ray --help`, `r1ray run ...`.

    r1ray run model=MODEL \\
        steps=5    # the model's
    $ make test SEED=1   lint, types
    r1ray/
    r1ray: a message

```
r1ray score a.jsonl > out.jsonl
```

* An item that has `r1ray plan model=MODEL`.
"""


def test_commands_of_blocks_and_inline_code_with_overrides_are_found() -> None:
    found = [(line.number, line.text, line.is_inline) for line in lines_of(README, "README.md")]
    assert found == [
        (4, "r1ray run model=MODEL steps=5", False),
        (6, "make test SEED=1", False),
        (11, "r1ray score a.jsonl > out.jsonl", False),
        (14, "r1ray plan model=MODEL", True),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("r1ray score a.jsonl > out.jsonl", ["score", "a.jsonl"]),
        ("r1ray plan 'x={a: 1}' | head", ["plan", "x={a: 1}"]),
        ("r1ray run '+a={function: \"m:f\"}'", ["run", '+a={function: "m:f"}']),
    ],
)
def test_words_are_those_of_the_shell(text: str, words: list[str]) -> None:
    assert Line("README.md", 1, text, False).words == words


def test_a_hash_inside_of_a_word_or_quotes_is_no_comment() -> None:
    assert without_comment("r1ray score 'a # b' c#d  # it's") == "r1ray score 'a # b' c#d"


BAD = [
    *("r1ray fly model=MODEL", "r1ray run model=MODEL data.train=train.jsonl stepz=3"),
    *("r1ray run model=MODEL data.train=train.jsonl --fast", "r1ray run ... steps=3", "r1ray doctor [--json]"),
    *("r1ray run recipe=sft model=MODEL supervised.train=...", "r1ray run", "r1ray export RUN verson=3"),
    *("r1ray eval model=RUN/hf/120 benchmark=prompts dat=heldout.jsonl", "r1ray submit --adress http://H:1 model=M"),
    "r1ray doctor model=MODEL data.train=train.jsonl algo=ppo",
]


@pytest.mark.usefixtures("there", "stops")
@pytest.mark.parametrize("text", BAD)
def test_what_the_command_line_refuses_is_found(text: str) -> None:
    with pytest.raises((UserError, AssertionError)):
        test_a_line_is_accepted_up_to_where_something_starts(Line("README.md", 1, text, False))
