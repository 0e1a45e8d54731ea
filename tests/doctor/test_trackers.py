from __future__ import annotations

import pytest

from r1ray.doctor.trackers import check_trackers
from r1ray.telemetry.trackers import needs


def test_each_tracker_is_a_finding_and_one_without_its_package_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "PACKAGES", {"tensorboard": ("json",), "trackio": ("no_such_package",)})
    there, missing = check_trackers(["tensorboard", "trackio"])
    assert (there.status, missing.status) == ("green", "red")
    assert "no_such_package" in missing.found and "r1ray[trackio]" in missing.found
    assert "leave trackio out of trackers" in missing.advice


def test_a_tracker_without_credentials_is_red(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(needs, "PACKAGES", {"wandb": ("json",)})
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", f"{tmp_path}/netrc")
    (found,) = check_trackers(["wandb"])
    assert found.status == "red" and "WANDB_API_KEY" in found.found


def test_a_run_without_trackers_has_no_such_finding() -> None:
    assert check_trackers([]) == []
