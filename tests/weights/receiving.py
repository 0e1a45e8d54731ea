"""``python -m tests.weights.receiving``: a member of a transfer group that is no engine.

It obeys lines of JSON, [method, argument], and answers each with a line: "done", or what it raised.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch.distributed import ProcessGroupGloo

from r1ray.errors import WeightSyncError
from r1ray.weights.buckets import TensorMeta, plan_buckets
from r1ray.weights.gloo import receive
from r1ray.weights.network import join_rendezvous, open_group
from r1ray.weights.stream import VerifyingLoader


class Member:
    """Receives as an engine does, and keeps what it was sent."""

    def __init__(self) -> None:
        self._group: ProcessGroupGloo | None = None
        self._link: dict[str, Any] = {}
        self._held: dict[str, torch.Tensor] = {}

    def init(self, link: dict[str, Any]) -> None:
        self._link, self._group = link, None
        store = join_rendezvous(link["master_address"], link["master_port"], timeout_s=link["form_s"])
        place = {name: link[name] for name in ("name", "world_size")}
        address, rank = link["master_address"], link["rank_offset"]
        self._group = open_group(store, address=address, rank=rank, timeout_s=link["form_s"], **place)

    def update(self, info: dict[str, Any]) -> None:
        assert self._group is not None
        rows = zip(info["names"], info["dtype_names"], info["shapes"], strict=True)
        metas = [TensorMeta(name, dtype, tuple(shape)) for name, dtype, shape in rows]
        loader = VerifyingLoader(self._held.update)
        for bucket in plan_buckets(metas, max_bytes=self._link["bucket_bytes"]):
            loader.load_weights(receive(self._group, bucket, timeout_s=self._link["timeout_s"]))

    def total(self, _: Any) -> float:
        return sum(float(each.sum()) for each in self._held.values())


class Members:
    """The client of a sender, over such processes."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self.processes = list(processes)
        self.when_receiving: Callable[[], None] = lambda: None

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._all("init", [init_info | {"rank_offset": rank} for rank, _ in enumerate(self.processes, 1)])

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self.when_receiving()
        self._all("update", [update_info] * len(self.processes))

    def finish_weight_update(self) -> None: ...

    def totals(self) -> list[float]:
        return [float(each) for each in self._all("total", [None] * len(self.processes))]

    def _all(self, method: str, arguments: Sequence[Any]) -> list[str]:
        with ThreadPoolExecutor(max(1, len(self.processes))) as executor:
            answers = list(executor.map(ask, self.processes, [method] * len(arguments), arguments))
        if wrong := [each for each in answers if each.startswith("!")]:
            raise WeightSyncError(f"{len(wrong)} members failed: {wrong[0]}")
        return answers


def start() -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.weights.receiving"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


LOCKS: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
"""A process answers one question after the other, whoever asks."""


def ask(process: subprocess.Popen[str], method: str, argument: Any) -> str:
    assert process.stdin is not None and process.stdout is not None
    with LOCKS[process.pid]:
        process.stdin.write(json.dumps([method, argument]) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip() or "! it ended"


def main() -> None:
    torch.set_num_threads(1)
    member = Member()
    for line in sys.stdin:
        method, argument = json.loads(line)
        try:
            answer = getattr(member, method)(argument)
        except Exception as error:
            answer = f"! {error}".replace("\n", " ")
        print("done" if answer is None else answer, flush=True)


if __name__ == "__main__":
    main()
