from __future__ import annotations

import pytest

from r1ray.config.tracking import TRACKERS, check_trackers


def test_every_tracker_may_be_named_once() -> None:
    check_trackers([])
    check_trackers(TRACKERS)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (
            ["wandb", "tensorbord"],
            r"trackers=\[wandb,tensorbord\]: tensorbord is none; needs some of tensorboard, wandb",
        ),
        (["wandb", "wandb"], r"wandb is named twice; needs each once"),
    ],
)
def test_another_name_or_one_twice_is_refused(names: list[str], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        check_trackers(names)
