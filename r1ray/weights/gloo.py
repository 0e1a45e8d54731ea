"""Weight transfer over Gloo, for engines on CPUs: both ends of the wire.

    sender (learner rank 0)  --broadcast of flat buckets-->  receivers (vLLM workers, ranks 1..)

It does for CPUs what vLLM's ``nccl`` engine does for GPUs. Unlike NCCL's, every operation ends with an error after
``timeout_s``. The receiver, an engine of vLLM's weight-transfer API, is :mod:`r1ray.weights.gloo_receiver`: the learner
imports only this module, which saves it the five seconds that an import of vLLM takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch.distributed import ProcessGroupGloo

from r1ray.weights.buckets import TensorMeta, plan_buckets
from r1ray.weights.network import broadcast, open_group
from r1ray.weights.stream import WeightStream, metadata_with_fingerprints, with_fingerprints

BACKEND = "r1ray_gloo"


class Engines(Protocol):
    """The engines that are sent to, as one client; each call returns once all of them have answered."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: dict[str, Any]) -> None: ...

    def finish_weight_update(self) -> None: ...


def receive(group: ProcessGroupGloo, bucket: Sequence[TensorMeta]) -> Iterator[tuple[str, torch.Tensor]]:
    """The next bucket, as views of one fresh buffer that is never written again: who loads them may keep them."""
    flat, start = torch.empty(sum(meta.num_bytes for meta in bucket), dtype=torch.uint8), 0
    broadcast(group, flat)
    for meta in bucket:
        part = flat[start : start + meta.num_bytes]
        yield meta.name, part.view(getattr(torch, meta.dtype)).view(meta.shape)
        start += meta.num_bytes


def _flatten(tensors: Iterator[tuple[str, torch.Tensor]], bucket: Sequence[TensorMeta]) -> torch.Tensor:
    """The bucket's tensors, which come next, as one [num_bytes] uint8."""
    flat, start = torch.empty(sum(meta.num_bytes for meta in bucket), dtype=torch.uint8), 0
    for meta in bucket:
        name, tensor = next(tensors)
        assert (name, tuple(tensor.shape)) == (meta.name, meta.shape), f"{name} came where {meta} was announced"
        # Copied at once: under ZeRO-3 a parameter is whole only until the next one is asked for.
        flat[start : start + meta.num_bytes] = tensor.detach().contiguous().view(-1).view(torch.uint8)
        start += meta.num_bytes
    return flat


class GlooSender:
    """The end inside the learner. Ranks above 0 only take part in gathering the parameters."""

    def __init__(
        self,
        stream: WeightStream,
        client: Engines,
        *,
        rank: int,
        address: str,
        port: int,
        world_size: int,
        bucket_bytes: int,
        timeout_s: float,
    ) -> None:
        """Rank 0 opens the group, which every vLLM worker joins. ``world_size`` is 1 + their number."""
        self._stream, self._client, self._bucket_bytes = stream, client, bucket_bytes
        self._group: ProcessGroupGloo | None = None
        if rank != 0:
            return
        link = {"master_address": address, "master_port": port, "world_size": world_size, "timeout_s": timeout_s}
        # The workers wait inside init for the rendezvous that this rank opens at the same time.
        with ThreadPoolExecutor(max_workers=1) as executor:
            joined = executor.submit(
                client.init_weight_transfer_engine, link | {"rank_offset": 1, "bucket_bytes": bucket_bytes}
            )
            self._group = open_group(address=address, port=port, rank=0, world_size=world_size, timeout_s=timeout_s)
            joined.result()

    def send_weights(self) -> None:
        """One publish, to be called on every rank."""
        metas = metadata_with_fingerprints(self._stream.metadata())
        tensors = with_fingerprints(self._stream)
        try:
            if self._group is not None:
                self._client.start_weight_update()
                self._send(self._group, metas, tensors)
                self._client.finish_weight_update()
        finally:
            for _ in tensors:  # whatever went wrong: on other ranks the rest of the gathers wait for this one
                pass

    def _send(
        self, group: ProcessGroupGloo, metas: Sequence[TensorMeta], tensors: Iterator[tuple[str, torch.Tensor]]
    ) -> None:
        update = {
            "names": [meta.name for meta in metas],
            "dtype_names": [meta.dtype for meta in metas],
            "shapes": [list(meta.shape) for meta in metas],
        }
        executor = ThreadPoolExecutor(max_workers=1)
        try:
            received = executor.submit(self._client.update_weights, update)
            for bucket in plan_buckets(metas, max_bytes=self._bucket_bytes):
                broadcast(group, _flatten(tensors, bucket))
            received.result()
        finally:
            # If the broadcast raised, the call in the thread ends by its own timeout; nobody waits for it here.
            executor.shutdown(wait=False)

    def shutdown(self) -> None:
        self._group = None
