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
    check_own_functions(AlgoConfig(surrogate="r1ray.algo.variants.cispo:weighted", advantage_baseline="operator:sub"))


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
    def __init__(self, rewards_PG, lengths_PG): ...

class Object:
    def __call__(self, rewards): ...

def of_one(x): ...
def unclipped(ratio_N, logp_N, advantage_N): ...
async def later(*arguments, **options): ...
broken = Object()
"""


@pytest.mark.parametrize("key", ["surrogate", "advantage_baseline"])
@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("AsClass", "is the class AsClass"),
        ("broken", "too many positional arguments"),
        ("of_one", "too many positional arguments"),
        ("unclipped", "got an unexpected keyword argument 'clip_low'|missing a required argument"),
        ("later", "is a coroutine function"),
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
