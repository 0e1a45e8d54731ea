from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from r1ray.config import TRACKERS
from r1ray.errors import UserError
from r1ray.telemetry.trackers import needs
from r1ray.telemetry.trackers.needs import check_needs

THERE = dict.fromkeys(TRACKERS, ("json",))
"""As if every tracker were installed."""


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No credentials of whoever runs the tests."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setattr(needs, "PACKAGES", THERE)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_package_that_is_missing_is_named_with_the_extra_that_has_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(needs, "PACKAGES", THERE | {name: ("json", "no_such_package")})
    with pytest.raises(
        UserError, match=rf"no_such_package, which is not installed; needs pip install 'r1ray\[{name}\]'"
    ):
        check_needs(["tensorboard", name] if name != "tensorboard" else [name])


def test_the_extra_of_each_tracker_has_its_name() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert set(TRACKERS) <= set(project["optional-dependencies"])


def test_wandb_needs_credentials_unless_it_is_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no credentials for api\.wandb\.ai: needs WANDB_API_KEY .*WANDB_MODE=offline"):
        check_needs(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_needs(["wandb"])
    monkeypatch.setenv("WANDB_MODE", "online")
    (tmp_path / "netrc").write_text("machine wandb.here login user password word\n")
    with pytest.raises(UserError, match="no credentials"):
        check_needs(["wandb"])
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.here/")
    check_needs(["wandb"])
    (tmp_path / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "key")
    check_needs(["wandb"])


def test_a_password_in_mlflows_address_is_refused_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hunter2@mlflow.here/")
    with pytest.raises(UserError, match=r"has a password for mlflow\.here: needs it in") as refused:
        check_needs(["mlflow"])
    assert "hunter2" not in str(refused.value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.here/")
    check_needs(["mlflow"])
