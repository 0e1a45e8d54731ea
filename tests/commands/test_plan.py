from __future__ import annotations

import json

import pytest

from r1ray.main import main


def test_a_plan_of_what_starts_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "recipe=extend", "model=Qwen/Qwen2.5-1.5B"]) == 0
    assert capsys.readouterr().out == "nothing of this starts an actor\n"
    assert main(["plan", "recipe=extend", "model=Qwen/Qwen2.5-1.5B", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_files_may_be_unnamed_and_the_model_may_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "model=qwen2.5_7b", "cluster=one_node_8"]) == 0
    assert "GiB" in capsys.readouterr().out
    assert main(["plan", "cluster=one_node_8"]) == 2
    assert "model is not set" in capsys.readouterr().err
