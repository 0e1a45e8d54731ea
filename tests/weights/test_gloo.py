"""Rounds that break, over real Gloo groups of processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest
import torch

from r1ray.errors import WeightSyncError
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.gloo import GlooSender
from r1ray.weights.network import interface_of
from tests.weights.receiving import Members, start

pytestmark = pytest.mark.faults
NUM_TENSORS, SIZE = 6, 2**18
BUCKET_BYTES = 4 * SIZE  # a tensor each


class Stream:
    """Tensors of one value; counts how often the last one was reached, as the ranks beside this one need it to be."""

    def __init__(self) -> None:
        self.value, self.num_ends = 1.0, 0

    def metadata(self) -> list[TensorMeta]:
        return [TensorMeta(f"w{i}", "float32", (SIZE,)) for i in range(NUM_TENSORS)]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for meta in self.metadata():
            yield meta.name, torch.full(meta.shape, self.value)
        self.num_ends += 1

    @property
    def total(self) -> float:
        return self.value * NUM_TENSORS * SIZE


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[str]]]:
    started = [start() for _ in range(3)]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def sender(stream: Stream, *, timeout_s: float = 3.0) -> GlooSender:
    assert interface_of("127.0.0.1")
    return GlooSender(stream, rank=0, address="127.0.0.1", bucket_bytes=BUCKET_BYTES, timeout_s=timeout_s)


def test_a_member_that_hangs_breaks_a_round_within_its_bound_and_the_others_meet_anew(
    processes: list[subprocess.Popen[str]],
) -> None:
    stream, members = Stream(), Members(processes)
    sending = sender(stream, timeout_s=2.0)
    assert members.totals() == [0.0] * 3, "they are there"
    sending.connect(members, world_size=4)
    sending.send_weights()
    assert members.totals() == [stream.total] * 3

    members.when_receiving = lambda: os.kill(processes[1].pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(Exception, match=r".+"):
        sending.send_weights()
    assert time.monotonic() - begun < 10 * 2.0
    assert stream.num_ends == 2, "ranks beside this one are not left inside a gather"
    with pytest.raises(WeightSyncError, match="a round in it has failed"):
        sending.send_weights()
    assert stream.num_ends == 3

    os.kill(processes[1].pid, signal.SIGKILL)  # as the publish does with who answers no ping
    rest, stream.value = Members([processes[0], processes[2]]), 3.0
    sending.connect(rest, world_size=3)
    sending.send_weights()
    assert rest.totals() == [stream.total] * 2, "the round that was sent again is whole"
    assert all(process.poll() is None for process in rest.processes), "no healthy member was restarted"


def test_members_that_do_not_come_are_waited_for_within_the_bound_of_forming() -> None:
    sending = sender(Stream(), timeout_s=0.5)
    begun = time.monotonic()
    with pytest.raises(Exception, match=r"[Tt]ime.?out|timed out"):
        sending.connect(Members([]), world_size=3)
    assert time.monotonic() - begun < 10 * 0.5
    with pytest.raises(WeightSyncError, match="no group"):
        sending.send_weights()


def test_a_rank_beside_the_sender_only_gathers() -> None:
    stream = Stream()
    beside = GlooSender(stream, rank=1, address="127.0.0.1", bucket_bytes=BUCKET_BYTES, timeout_s=1.0)
    beside.connect(Members([]), world_size=4)
    beside.send_weights()
    assert stream.num_ends == 1
