"""Learners of mixtures of experts on two ranks, of which one has little to do, under every ZeRO stage."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.learner.export_variants import IDS
from tests.learner.mixtures import MIXTURES, make_mixture
from tests.real.ranks import run_ranks

pytestmark = [pytest.mark.real, pytest.mark.long]
STAGES = ("1", "2", "3")


def arguments(
    rank: int, port: int, *, world_size: int, out: str, models: str, kind: str, stages: tuple[str, ...]
) -> list[str]:
    """Return those of one process of :mod:`tests.learner.mixture_rank`."""
    return [str(rank), str(world_size), str(port), out, models, kind, *stages]


@pytest.mark.parametrize("kind", MIXTURES)
def test_two_ranks_with_unequal_work_make_the_update_of_one(kind: str, tmp_path: Path, llama_folder: Path) -> None:
    """Also of experts that no token of a rank chose; and biases of routers come back with a checkpoint."""
    tokenizer = AutoTokenizer.from_pretrained(llama_folder)
    make_mixture(kind, vocab_size=len(tokenizer)).save_pretrained(tmp_path / kind)
    tokenizer.save_pretrained(tmp_path / kind)
    for world_size, stages in ((2, STAGES), (1, ("0", "2", "3"))):
        folder = str(tmp_path)
        run_ranks(
            "tests.learner.mixture_rank",
            [tmp_path / f"{world_size}-{rank}.log" for rank in range(world_size)],
            partial(arguments, world_size=world_size, out=folder, models=folder, kind=kind, stages=stages),
            timeout_s=600,
        )
    before = load_file(tmp_path / kind / "model.safetensors")
    alone = load_file(tmp_path / f"{kind}-1-0" / "export" / "model.safetensors")
    changed = [name for name in alone if not torch.equal(alone[name], before[name])]
    assert any("experts" in name for name in changed) and any("gate.weight" in name for name in changed)
    for stage in STAGES:
        folder = tmp_path / f"{kind}-2-{stage}"
        _, used = torch.load(folder / "rank-1.pt")
        assert min(used) < 6, "every expert was chosen"
        found = load_file(folder / "export" / "model.safetensors")
        assert found.keys() == alone.keys()
        for name in alone:
            moved = (alone[name] - before[name]).abs().max()
            assert (found[name] - alone[name]).abs().max() <= 1e-4 * moved + 1e-7, name
        again = load_file(folder / "again" / "model.safetensors")
        assert all(torch.equal(again[name], found[name]) for name in found)
    for stage in ("2", "3"):
        saved = load_file(tmp_path / f"{kind}-2-{stage}" / "export" / "model.safetensors")
        converted = load_file(tmp_path / f"{kind}-1-{stage}" / "converted" / "model.safetensors")
        assert all(torch.allclose(converted[name], saved[name], atol=1e-7) for name in saved)
    expected, _ = torch.load(tmp_path / f"{kind}-2-3" / "rank-0.pt")
    model, ids = AutoModelForCausalLM.from_pretrained(tmp_path / f"{kind}-2-3" / "export"), torch.tensor([IDS])
    with torch.no_grad():
        table = torch.log_softmax(model(ids).logits[0, :-1], dim=-1)
    assert (table.gather(1, ids[0, 1:, None])[:, 0] - expected).abs().max() < 1e-5
