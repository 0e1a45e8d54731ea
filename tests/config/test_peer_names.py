from __future__ import annotations

import pytest

from r1ray.config import RunConfig
from r1ray.config.peer_names import PEERS, ours
from r1ray.config.schema import place_of


@pytest.mark.parametrize("peer", PEERS)
def test_every_key_of_ours_exists(peer: str) -> None:
    for theirs, our in PEERS[peer].items():
        assert place_of(RunConfig, our.partition("; ")[0]), f"{theirs}: {our}"


def test_no_key_of_ours_is_given_another_meaning() -> None:
    for table in PEERS.values():
        for theirs, our in table.items():
            assert place_of(RunConfig, theirs) is None or our == theirs


def test_the_longest_end_and_the_shortest_key_count() -> None:
    assert [(peer, theirs) for peer, theirs, _ in ours("x.train_batch_size")] == [
        ("verl", "data.train_batch_size"),
        ("OpenRLHF", "train_batch_size"),
    ]
    assert [theirs for _, theirs, _ in ours("data.train_batch_size")] == ["data.train_batch_size"]
    assert [theirs for _, theirs, _ in ours("n")] == ["actor_rollout_ref.rollout.n"]
    assert ours("reward.name") == ours("group_size") == []
