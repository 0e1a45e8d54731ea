"""Functions of the user's own are refused by key before a run starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.config import AlgoConfig
from r1ray.errors import UserError
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
