"""Addresses as other machines see them; tests/real/test_cluster.py has machines on which guesses are wrong."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from r1ray.cluster.host import address_and_port
from r1ray.weights.network import broadcast, interface_of, join_rendezvous, open_group, own_address, serve_rendezvous


def test_the_own_address_is_the_one_that_reaches_the_master() -> None:
    assert own_address("127.0.0.1", 1) == "127.0.0.1"


def test_an_address_has_an_interface() -> None:
    assert interface_of("127.0.0.1") == "lo"


def test_a_broadcast_reaches_every_rank_of_each_group_of_a_rendezvous() -> None:
    address, _ = address_and_port()
    served = serve_rendezvous(address, timeout_s=30.0)

    def take_part(rank: int) -> list[list[int]]:
        store = join_rendezvous(address, served.port, timeout_s=30.0) if rank else served
        found = []
        for name in ("first", "second"):
            group = open_group(store, name=name, address=address, rank=rank, world_size=3, timeout_s=30.0)
            tensor = torch.full((4,), 7 if rank == 0 else 0, dtype=torch.uint8)
            broadcast(group, tensor, timeout_s=20.0)
            found.append(list(tensor))
        return found

    with ThreadPoolExecutor(3) as ranks:
        assert list(ranks.map(take_part, range(3))) == [[[7] * 4] * 2] * 3


def test_a_rank_that_does_not_come_is_not_waited_for_for_ever() -> None:
    address, _ = address_and_port()
    served = serve_rendezvous(address, timeout_s=0.5)
    with pytest.raises(RuntimeError, match=r"[Tt]ime.?out|timed out"):
        open_group(served, name="weights", address=address, rank=0, world_size=2, timeout_s=0.5)


def test_a_group_is_opened_without_vllm() -> None:
    program = "import sys, r1ray.weights.network; sys.exit('vllm' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
