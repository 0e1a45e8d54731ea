"""Functions of the user's own are refused by key before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.config import AlgoConfig, RewardConfig
from r1ray.errors import UserError
from r1ray.main import main
from r1ray.reward.scorer import resolve_parts
from r1ray.stages.own_functions import check_own_functions


def test_what_ships_and_what_can_be_imported_passes() -> None:
    check_own_functions(AlgoConfig())
    own = {
        "surrogate": "r1ray.algo.variants.cispo:weighted",
        "advantage_baseline": "r1ray.algo.advantage:less_group_mean",
    }
    check_own_functions(AlgoConfig(**own))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no_such_module:f", "No module named 'no_such_module'"),
        ("operator:no_such_function", "no_such_function"),
        ("operator:__doc__", "is a str; needs a function"),
        ("own_broken_losses:f", "ZeroDivisionError"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_its_cause(
    name: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_broken_losses.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    for key in ("surrogate", "advantage_baseline"):
        with pytest.raises(UserError, match=f"algo.{key}={name}: .*{cause}"):
            check_own_functions(AlgoConfig(**{key: name}))


LOSSES = """
class AsClass:
    def __init__(self, inputs): ...

class Object:
    def __call__(self): ...

def of_two(rewards, lengths): ...
async def later(*arguments): ...
def generating(inputs): yield
def broken(inputs): return inputs.no_such_field
def nothing(inputs): ...
callable_object = Object()
"""


@pytest.mark.parametrize("key", ["surrogate", "advantage_baseline"])
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("AsClass", "is the class AsClass"),
        ("callable_object", "too many positional arguments"),
        ("of_two", "missing a required argument: 'lengths'"),
        ("later", "is a coroutine function"),
        ("generating", "is a generator"),
        ("broken", "raised AttributeError: .*no_such_field"),
        ("nothing", "it returned a NoneType"),
    ],
)
def test_what_cannot_be_called_as_it_will_be_is_refused(
    key: str, name: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_losses.py").write_text(LOSSES)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"algo.{key}=own_losses:{name}: .*({cause})"):
        check_own_functions(AlgoConfig(**{key: f"own_losses:{name}"}))  # type: ignore[arg-type]


def test_a_reward_that_cannot_be_called_is_refused_by_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_scores.py").write_text("def good(prompt, response): ...\ndef bad(completions): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    resolve_parts(RewardConfig(parts={"accuracy": {}, "x": {"function": "own_scores:good"}}))
    for name, cause in (("bad", r"takes \(completions\), and is called with"), ("none", "AttributeError")):
        parts = {"accuracy": {}, "x": {"function": f"own_scores:{name}"}}
        with pytest.raises(UserError, match=rf"reward.parts.x.function=own_scores:{name}: .*{cause}"):
            resolve_parts(RewardConfig(parts=parts))


def test_a_wrong_signature_ends_the_command_before_it_starts_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_command_scores.py").write_text("def bad(completions): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    part = '+reward.parts.x={weight: 1.0, function: "own_command_scores:bad"}'
    arguments = ["model=m", "data.train=t", part, f"output_dir={tmp_path / 'runs'}"]
    assert main(["run", *arguments]) == 2
    assert "reward.parts.x.function=own_command_scores:bad: takes (completions)" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
