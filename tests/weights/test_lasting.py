from __future__ import annotations

from typing import Any

import pytest

from r1ray.errors import WeightSyncError
from r1ray.weights.lasting import Lasting


class Engines:
    """Fails in the second bucket of its first round."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self.calls.append("init")

    def start_weight_update(self) -> None:
        self.calls.append("start")

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self.calls.append(f"bucket {update_info['bucket']}")
        if self.calls == ["init", "start", "bucket 0", "bucket 1"]:
            raise WeightSyncError("planted")

    def finish_weight_update(self) -> None:
        self.calls.append("finish")


def make_round(client: Lasting) -> None:
    client.start_weight_update()
    for bucket in range(3):
        client.update_weights({"bucket": bucket})
    client.finish_weight_update()


def test_a_failure_is_raised_at_the_end_of_its_round_and_engines_are_asked_nothing_after_it() -> None:
    engines = Engines()
    client = Lasting(engines)
    client.init_weight_transfer_engine({})
    make_round(client)
    assert engines.calls == ["init", "start", "bucket 0", "bucket 1"]
    with pytest.raises(WeightSyncError, match="planted"):
        client.raise_failure()
    engines.calls.clear()
    make_round(client)
    client.raise_failure()
    assert engines.calls == ["start", "bucket 0", "bucket 1", "bucket 2", "finish"]
