"""Commands of the READMEs that take more than ten seconds, as they stand there, with overrides behind them that only
make them small. (``tests/test_readme_lines.py`` says which tests run the others.)"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.readme_lines import Line, all_lines
from tests.readme_places import write_places
from tests.real.running import environment, metrics, r1ray
from tests.test_readme_lines import runner_of

pytestmark = [pytest.mark.real, pytest.mark.long]
LINES = [line for line in all_lines() if line.program == "r1ray" and runner_of(line) == "tests/real/test_readme.py"]
BY_NAME = ("run experiment=tiny_programs", "run experiment=openai_agent", "doctor experiment=quickstart")
"""Commands that have a test of their own below."""
ACTORS = ("rollout.num_actors=1", "rollout.dtype=float32", "rollout.max_num_seqs=32")
LEARNER = ("learner.num_ranks=1", "learner.dtype=float32", "learner.max_tokens_per_microbatch=1024")
SAMPLING = (*ACTORS, "data.template=none", "data.max_prompt_tokens=64", "algo.max_completion_tokens=16")
EVALUATION = ("eval.num_prompts=2", "eval.samples=2", "eval.final_num_prompts=2", "eval.final_samples=2")
STEPS = ("steps=1", "algo.prompts_per_step=2", "algo.group_size=4", "algo.minibatches_per_step=1", *EVALUATION)
GIVEN = ("data.template=none", "supervised.max_tokens=256", "supervised.epochs=1", "supervised.sequences_per_step=16")
UNEVEN = ('+reward.parts.even={weight: 1.0, function: "tests.real.rewards:even"}', "algo.uniform_part=even")
"""An untrained model is right in nothing: a reward of its length gives something to learn, as algo=dapo asks for."""
TASKS = ("data.max_prompt_tokens=512",)
"""Questions of reasoning-gym are longer than those of the other files."""
COLLECT = ("collect.samples=2", "collect.max_tokens=16", "collect.min_value=0", "collect.filters=[cut]")
SMALL: dict[str, Sequence[str]] = {
    "r1_zero": (*SAMPLING, *LEARNER, *STEPS, *UNEVEN),
    "on_policy_distill": (*SAMPLING, *LEARNER, *STEPS),
    "sft": (*GIVEN, *LEARNER),
    "reward_model": (*GIVEN, *LEARNER),
    "collect": (*SAMPLING, *COLLECT),
    "extend": (),
    "evaluate": (*SAMPLING, *EVALUATION),
    "distill": (*GIVEN, *LEARNER, *SAMPLING, *EVALUATION),
}
"""What makes a run of each recipe small."""


def small(line: Line) -> Sequence[str]:
    """Return the overrides that make a command small."""
    verb, *words = line.words
    recipe = next((word.partition("=")[2] for word in words if word.startswith("recipe=")), "r1_zero")
    if verb == "run" or (verb == "doctor" and "--smoke" not in words):
        longer = TASKS if "reasoning_gym:" in line.text else ()
        return (*SMALL[recipe], *longer, "sandbox.num_slots=1")
    return ("limit=2", "samples=2", "max_tokens=16", "rollout.dtype=float32") if verb == "eval" else ()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Path:
    """A folder with what the READMEs name, and ``RUN``, which is a run that has ended."""
    folder = write_places(tmp_path_factory.mktemp("places"), llama_folder)
    files = ("model=MODEL", "data.train=train.jsonl", "data.eval=heldout.jsonl", "output_dir=.", "name=RUN")
    r1ray("run", *files, *SMALL["r1_zero"], "checkpoint.every=1", "checkpoint.best=pass@1", cwd=folder)
    versions = folder / "RUN" / "hf"
    (versions / "120").symlink_to(max(versions.iterdir(), key=lambda path: int(path.name)).name)
    return folder


ONCE = {line.text: line for line in LINES if not " ".join(line.words).startswith(BY_NAME)}
"""Several READMEs may show the same command."""


@pytest.mark.parametrize("line", ONCE.values(), ids=str)
def test_a_line_runs_to_its_end(places: Path, line: Line) -> None:
    if "reasoning_gym:" in line.text:
        pytest.importorskip("reasoning_gym", reason="reasoning-gym is not installed")
    env = environment(PYTHONPATH=f"{Path(__file__).parents[2]}:{places}")
    print(f"{line}\n{r1ray(*line.words, *small(line), cwd=places, env=env)[-1000:]}")


def test_a_tiny_model_learns_to_write_programs(tmp_path: Path) -> None:
    printed = r1ray("run", "experiment=tiny_programs", "name=programs", f"output_dir={tmp_path}", cwd=tmp_path)
    print(printed[-2000:])
    rows = [row for row in metrics(tmp_path / "programs") if any(name.endswith("/pass@1") for name in row)]
    (name,) = (name for name in rows[0] if name.endswith("/pass@1"))
    assert rows[0][name] < 0.5 < 0.8 < rows[-1][name]


def test_an_agent_of_openais_client_learns_to_call_its_tool(tmp_path: Path) -> None:
    overrides = ("experiment=openai_agent", "name=agent", f"output_dir={tmp_path}")
    printed = r1ray("run", *overrides, cwd=tmp_path, timeout_s=1500)
    print(printed[-2000:])
    rows = metrics(tmp_path / "agent")
    held_out = [row["eval/heldout/pass@1"] for row in rows if "eval/heldout/pass@1" in row]
    assert held_out[0] < 0.5 < 0.8 < held_out[-1]
    shares = [row["environment/agent/extending_share"] for row in rows if "environment/agent/extending_share" in row]
    assert len(shares) == 10 and min(shares) >= 0.95


def test_the_quickstart_is_found_fit_for_this_machine(tmp_path: Path) -> None:
    printed = r1ray("doctor", "experiment=quickstart", f"output_dir={tmp_path}", cwd=tmp_path)
    assert "red" not in {line.split()[0] for line in printed.splitlines() if line.strip()}
