"""The READMEs: each folder has its own, the top one is short, links lead somewhere, the files and keys that they name
exist, tables have every file of ``conf/``, and examples work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import torch
import yaml

from r1ray.algo.advantage import step_advantages
from r1ray.algo.doors import SURROGATES
from r1ray.config import AlgoConfig, EvaluationConfig, RunConfig, ScoreConfig
from r1ray.config.renamed import RENAMED
from r1ray.main import main
from r1ray.stages.own_functions import check_own_functions
from tests.algo.inputs import loss_inputs
from tests.test_layering import ROOT

TOP = ROOT.parent
READMES = [TOP / "README.md"] + [
    path for folder in ("conf", "k8s", "launch", "r1ray", "tests") for path in sorted((TOP / folder).rglob("README.md"))
]
NAMES = [str(path.relative_to(TOP)) for path in READMES]
NEEDED = (
    *("README.md", "conf/README.md", "conf/algo/README.md", "conf/recipe/README.md", "conf/experiment/README.md"),
    *("conf/benchmark/README.md", "k8s/README.md", "launch/README.md", "tests/README.md", "r1ray/README.md"),
    *("r1ray/data/README.md", "r1ray/doctor/README.md", "r1ray/evaluation/README.md", "r1ray/examples/README.md"),
    "r1ray/environments/README.md",
    *(
        "r1ray/learner/README.md",
        "r1ray/library/README.md",
        "r1ray/planning/README.md",
        "r1ray/reward/README.md",
        "r1ray/reward/math/README.md",
    ),
    *("r1ray/sandbox/README.md", "r1ray/telemetry/README.md", "r1ray/weights/README.md"),
)
MAX_LINES, MAX_WIDTH = 150, 120
LINK = re.compile(r"\[[^\]]*\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
KEY = re.compile(r"(?<![\w./@-])([a-z_]+(?:\.[a-zA-Z_]\w*)+)(?![\w./*(:-])")
"""A dotted name in code: a key of the configuration, if it begins with the name of a section."""
FILE = re.compile(r"(?<![\w./<=>-])([\w/]+\.(?:py|md))\b")
TO_WRITE = ("my_agent.py", "my_rewards.py", "my_losses.py", "my_checks.py", "my_worlds.py", "my_tools.py")
"""Files that the reader is to write."""
COLUMNS = ("reward_model.ground_truth",)
"""Of data sets, which look like keys."""
ENDINGS = ("py", "md", "yaml", "sh", "json", "jsonl", "parquet")


def prose(path: Path) -> str:
    """Return the text of a README without its fenced blocks."""
    return FENCED.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a README's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_folder_that_needs_a_readme_has_one() -> None:
    assert [name for name in NEEDED if not (TOP / name).is_file()] == []


def test_the_top_readme_is_read_in_two_minutes() -> None:
    lines = (TOP / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MAX_LINES
    assert [line for line in lines if len(line) > MAX_WIDTH] == []


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    for target, anchor in LINK.findall(prose(path)):
        there = (path.parent / target).resolve() if target else path
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def test_every_folder_readme_is_found_from_another_one() -> None:
    linked = {(path.parent / target).resolve() for path in READMES for target, _ in LINK.findall(prose(path)) if target}
    assert [str(path) for path in READMES[1:] if path not in linked and path.parent not in linked] == []


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_every_file_that_is_named_exists(path: Path) -> None:
    named = FILE.findall(prose(path))
    assert [name for name in named if not is_there(name, path.parent)] == []


def is_there(name: str, folder: Path) -> bool:
    """Return whether a path exists from the folder, the package or the top, or, if it is a name alone, anywhere."""
    anywhere = "/" not in name and (name in TO_WRITE or any(ROOT.rglob(name)))
    return anywhere or any((start / name).exists() for start in (folder, ROOT, TOP))


# ---------------------------------------------------------------------- keys


def keys_of(schema: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Yield each dotted key of a dataclass, and whether any name may follow it."""
    hints = get_type_hints(schema)
    for field in fields(schema):
        kind = hints[field.name]
        yield f"{prefix}{field.name}", kind is Any or str(kind).startswith(("dict", "list"))
        if is_dataclass(kind):
            yield from keys_of(kind, f"{prefix}{field.name}.")


KEYS = {key: is_open for schema in (RunConfig, EvaluationConfig, ScoreConfig) for key, is_open in keys_of(schema)}
SECTIONS = {key.partition(".")[0] for key in KEYS if "." in key} | {key for key, is_open in KEYS.items() if is_open}


def is_key(name: str) -> bool:
    parts = name.split(".")
    return name in KEYS or any(KEYS.get(".".join(parts[:end])) for end in range(1, len(parts)))


def keys_named(text: str) -> list[str]:
    """Return what looks like a key of the configuration in the code of a text."""
    code = [*SPAN.findall(text), *re.findall(r"^    .*$", text, re.MULTILINE)]
    found = [name for span in code for name in KEY.findall(span)]
    return [name for name in found if name.partition(".")[0] in SECTIONS and name.rpartition(".")[2] not in ENDINGS]


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_every_key_that_is_named_exists(path: Path) -> None:
    named = set(keys_named(prose(path))) - {*RENAMED, *COLUMNS}
    assert sorted(name for name in named if not is_key(name)) == []


def test_the_readmes_name_many_keys_and_a_wrong_one_is_found() -> None:
    assert len({name for path in READMES for name in keys_named(prose(path))}) > 60
    named = keys_named("`algo.ratoi=token` and `x.y`, `graph.sft.steps=5`\n\n    r1ray run learner.rate=1 steps=5\n")
    assert [name for name in named if not is_key(name)] == ["algo.ratoi", "learner.rate"]


# ---------------------------------------------------------------------- tables of conf/


def rows(path: Path) -> list[list[str]]:
    """Return the cells of every table of a README."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]


def shipped(group: str) -> set[str]:
    return {path.stem for path in (TOP / "conf" / group).glob("*.yaml")}


@pytest.mark.parametrize("group", ["algo", "recipe", "experiment"])
def test_every_file_has_a_row(group: str) -> None:
    cells = [row[0] for row in rows(TOP / "conf" / group / "README.md")]
    assert shipped(group) <= {name for cell in cells for name in SPAN.findall(cell)}


@pytest.mark.parametrize("preset", sorted(shipped("algo")))
def test_the_row_of_a_preset_says_what_it_sets(preset: str) -> None:
    row = next(row for row in rows(TOP / "conf/algo/README.md") if f"`{preset}`" in row[0])
    algo = AlgoConfig(**yaml.safe_load((TOP / f"conf/algo/{preset}.yaml").read_text(encoding="utf-8")))
    _, _, clip, kl, mean, scaled = row
    has_ratio = algo.surrogate != "reinforce"
    assert numbers(clip) == ([algo.clip_low, algo.clip_high] if has_ratio else [])
    assert numbers(kl) == [algo.kl_coefficient]
    assert SPAN.findall(mean) == [algo.aggregation]
    assert SPAN.findall(scaled) == [algo.advantage_baseline, algo.advantage_std]


@pytest.mark.parametrize("preset", sorted(shipped("algo")))
def test_the_row_of_a_presets_rollouts_says_what_it_sets_and_what_it_leaves_alone(preset: str) -> None:
    row = next(row for row in rows(TOP / "conf/algo/README.md") if row[0] == f"`{preset}`" and len(row) == 5)
    values = yaml.safe_load((TOP / f"conf/algo/{preset}.yaml").read_text(encoding="utf-8"))
    algo = AlgoConfig(**values)
    _, sizes, updates, old, weights = row
    assert sizes.split(", ") == [str(values.get(key, "-")) for key in ("prompts_per_step", "group_size")]
    assert updates == str(values["minibatches_per_step"])
    assert SPAN.findall(old) == [algo.old_logprobs]
    assert SPAN.findall(weights) == [algo.correction]
    assert numbers(weights.rpartition("`")[2]) == ([values["correction_cap"]] if "correction_cap" in values else [])


def test_every_preset_says_what_it_leaves_alone() -> None:
    heads = {path.stem: path.read_text(encoding="utf-8") for path in (TOP / "conf/algo").glob("*.yaml")}
    assert [name for name, text in heads.items() if "\n# Left alone: learning rate" not in text] == []
    assert [name for name, text in heads.items() if "lr" in yaml.safe_load(text)] == []


def numbers(cell: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)]


# ---------------------------------------------------------------------- examples


def block(path: str, first: str) -> str:
    """Return the fenced block of a README that begins with a line."""
    blocks = FENCED.findall((TOP / path).read_text(encoding="utf-8"))
    bodies = [str(each).partition("\n")[2].removesuffix("```") for each in blocks]
    return next(body for body in bodies if body.startswith(first))


@pytest.fixture
def my_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example of conf/algo/README.md as a module of that name."""
    (tmp_path / "my_losses.py").write_text(block("conf/algo/README.md", "# my_losses.py"), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return "my_losses"


def test_the_surrogate_of_the_example_pulls_back_from_its_bound(my_losses: str) -> None:
    ratio_N = torch.tensor([1.0, 1.2, 1.4], requires_grad=True)
    penalised = SURROGATES.find(f"{my_losses}:penalised")
    surrogate_N, is_far_N = penalised(loss_inputs(ratio_N, ratio_N.log(), torch.ones(3)))
    (gradient_N,) = torch.autograd.grad(surrogate_N.sum(), ratio_N)
    assert gradient_N.tolist() == pytest.approx([1.0, 0.0, -1.0], abs=1e-5)
    assert is_far_N.tolist()[::2] == [False, True]


def test_the_baseline_of_the_example_takes_the_median(my_losses: str) -> None:
    path = f"{my_losses}:less_median"
    advantages = step_advantages([[1.0, 0.0, 0.5, None]], [[1, 1, 1, 1]], baseline=path, std="none", epsilon=0.0)
    assert advantages == [[0.5, -0.5, 0.0, None]]


def test_the_functions_of_the_example_pass_the_check_before_a_run(my_losses: str) -> None:
    own = {"surrogate": f"{my_losses}:penalised", "advantage_baseline": f"{my_losses}:less_median"}
    check_own_functions(AlgoConfig(**own))  # type: ignore[arg-type]


def test_the_recipe_of_the_example_composes_from_outside_of_the_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(block("conf/recipe/README.md", "# @package"), encoding="utf-8")
    given = ["model=BASE", "data.train=train.jsonl", "data.eval=heldout.jsonl", "supervised.train=dialogues.jsonl"]
    assert main(["run", "--config-dir", str(tmp_path), "recipe=mine", *given, "--cfg", "job"]) == 0
    graph = yaml.safe_load(capsys.readouterr().out)["graph"]
    assert list(graph) == ["eval_before", "tuned", "eval_tuned", "reinforced", "eval_reinforced"]
    assert (graph["reinforced"]["model"], graph["reinforced"]["steps"]) == ("@tuned", 200)
