"""Micro-batches that turn out too long are computed in parts, each within the limit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest
import torch
import torch.distributed as dist

from r1ray.learner.fitting import Part, fill_up, within_limit
from r1ray.learner.rows import make_rows
from r1ray.types import SampleRef, Trajectory
from tests.fakes import make_trajectory
from tests.learner.lending import by_id

CPU = torch.device("cpu")
TRAJECTORIES = [make_trajectory(index=index, num_tokens=20 + index) for index in range(5)]


def parts_of(trajectories: Sequence[Trajectory], *, max_tokens: int, as_tree: bool) -> list[Part]:
    samples = [SampleRef(each.id, 1.0, each.num_row_tokens) for each in trajectories]
    make = partial(make_rows, trajectories=by_id(trajectories), learner_version=0, device=CPU, as_tree=as_tree)
    return within_limit(samples, make, max_tokens=max_tokens)


@pytest.mark.parametrize("max_tokens", [24, 50, 90, 200])
def test_parts_have_every_sample_once_and_keep_to_the_limit(max_tokens: int) -> None:
    parts = parts_of(TRAJECTORIES, max_tokens=max_tokens, as_tree=False)
    assert [sample.id for samples, _ in parts for sample in samples] == [each.id for each in TRAJECTORIES]
    assert all(rows.num_tokens <= max_tokens or len(samples) == 1 for samples, rows in parts)
    assert (len(parts) == 1) == (max_tokens >= sum(each.num_row_tokens for each in TRAJECTORIES))


def test_a_tree_is_as_long_as_what_it_computes() -> None:
    """These outputs are alike as far as they go; each is a token longer than the one before."""
    parts = parts_of(TRAJECTORIES[:2], max_tokens=23, as_tree=True)
    assert [rows.num_tokens for _, rows in parts] == [2 + 21]
    assert len(parts_of(TRAJECTORIES[:2], max_tokens=23, as_tree=False)) == 2


def test_the_rank_that_has_most_parts_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def most(counts: torch.Tensor, op: object) -> None:
        assert op == dist.ReduceOp.MAX
        counts.copy_(torch.maximum(counts, torch.tensor([1, 3])))

    monkeypatch.setattr(dist, "all_reduce", most)
    make = partial(make_rows, trajectories={}, learner_version=0, device=CPU)
    micros = [parts_of(TRAJECTORIES, max_tokens=60, as_tree=False), parts_of([], max_tokens=60, as_tree=False)]
    before = len(micros[0])
    fill_up(micros, make, device=CPU)
    assert [len(parts) for parts in micros] == [before, 3] and before > 1
    assert all(rows.is_empty for _, rows in micros[1])
