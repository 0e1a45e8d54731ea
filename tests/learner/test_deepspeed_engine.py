from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.learner.mixtures import MIXTURES, make_mixture
from tests.real.ranks import run_ranks

GIVEN = {
    "zero_optimization": {"overlap_comm": True, "reduce_bucket_size": 12345},
    "optimizer": {"params": {"amsgrad": True}},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "section": ({"zero_optimisation": {}}, "learner.deepspeed.zero_optimisation: DeepSpeed has no such setting"),
    "setting": (
        {"zero_optimization": {"overlap_com": True}},
        "learner.deepspeed: DeepSpeedZeroConfig: overlap_com=True: Extra inputs are not permitted.",
    ),
    "value": (
        {"zero_optimization": {"reduce_bucket_size": "many"}},
        "reduce_bucket_size=many: Input should be a valid",
    ),
    "optimizer": ({"optimizer": {"params": {"lrr": 1}}}, "learner.deepspeed.optimizer.params.lrr: DeepSpeed has no"),
    "together": ({"bf16": {"bf16_optimizer_states": True}}, "learner.deepspeed: bf16_optimizer_states requires "),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("settings")
    run_ranks(
        "tests.learner.settings_rank",
        [folder / "log"],
        lambda _, port: [str(port), str(folder)],
        timeout_s=120,
    )
    read: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return read


def test_settings_of_deepspeed_arrive_in_the_engine_beside_ours(found: dict[str, Any]) -> None:
    assert found["zero"] == [True, 12345, 3]
    assert found["amsgrad"] is True
    assert found["clip"] == 1.0 and found["lr"] == [0.5]


@pytest.mark.parametrize("name", REFUSED)
def test_what_deepspeed_does_not_know_is_refused_in_a_sentence(found: dict[str, Any], name: str) -> None:
    said = found["said"][name]
    assert REFUSED[name][1] in said and said.startswith("learner.deepspeed") and "\n" not in said


@pytest.mark.parametrize("kind", MIXTURES)
def test_a_mixture_is_published_as_its_files_have_it(kind: str, tmp_path: Path) -> None:
    """Experts one by one, biases of routers too: what vLLM's loaders read."""
    from r1ray.learner.deepspeed_engine import ParameterStream

    model = make_mixture(kind)
    model.save_pretrained(tmp_path)
    expected = load_file(tmp_path / "model.safetensors")
    stream = ParameterStream(model)
    sent = dict(stream)
    assert sent.keys() == expected.keys() and any(".experts.5." in name for name in sent)
    assert all(torch.equal(sent[name], expected[name]) for name in expected)
    assert [(meta.name, meta.shape) for meta in stream.metadata()] == [(n, tuple(t.shape)) for n, t in sent.items()]
