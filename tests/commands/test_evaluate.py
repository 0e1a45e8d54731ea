from __future__ import annotations

import pytest

from r1ray.main import main


def test_an_evaluation_at_a_cluster_that_is_not_there_ends_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", "model=m", "benchmark=math_500", "data=miniature", "cluster.address=127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.startswith("r1ray: cluster.address=127.0.0.1:1: no Ray answers there: ")
