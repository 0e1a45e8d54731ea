"""Weight transfer over Gloo, for engines on CPUs: both ends of the wire.

    sender (learner rank 0)  --broadcast of flat buckets-->  receivers (vLLM workers, ranks 1..)

It does for CPUs what vLLM's ``nccl`` engine does for GPUs. Unlike NCCL's, every operation has a bound, by its size. A
group in which one has failed is never used again: its members meet anew, under another name. The receiver, an engine of
vLLM's weight-transfer API, is :mod:`r1ray.weights.gloo_receiver`: the learner imports only this module, which saves it
the five seconds that an import of vLLM takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, Protocol

import torch
from torch.distributed import ProcessGroupGloo

from r1ray.errors import WeightSyncError
from r1ray.weights.buckets import TensorMeta, bound_of, plan_buckets
from r1ray.weights.network import broadcast, open_group, serve_rendezvous
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.snapshot_file import SnapshotWriter, kept
from r1ray.weights.stream import WeightStream, metadata_with_fingerprints, on_host, with_fingerprints

BACKEND = "r1ray_gloo"
FORM_S = 60.0
"""All members of a group have answered just before: so long they may take to meet."""


class Engines(Protocol):
    """The engines that are sent to, as one client; each call returns once all of them have answered."""

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None: ...

    def start_weight_update(self) -> None: ...

    def update_weights(self, update_info: dict[str, Any]) -> None: ...

    def finish_weight_update(self) -> None: ...


def receive(
    group: ProcessGroupGloo, bucket: Sequence[TensorMeta], *, timeout_s: float
) -> Iterator[tuple[str, torch.Tensor]]:
    """The next bucket, as views of one fresh buffer that is never written again: who loads them may keep them."""
    flat, start = torch.empty(sum(meta.num_bytes for meta in bucket), dtype=torch.uint8), 0
    # Twice: the sender's bound begins once it has put the bucket together, a receiver's before that.
    broadcast(group, flat, timeout_s=2 * bound_of(len(flat), timeout_s=timeout_s))
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

    def __init__(self, stream: WeightStream, *, rank: int, address: str, bucket_bytes: int, timeout_s: float) -> None:
        """
        Args:
            address: of rank 0, where receivers meet it.
            timeout_s: of one transfer.
        """
        self._stream, self._bucket_bytes, self._timeout_s = stream, bucket_bytes, timeout_s
        self._address, self._form_s = address, min(FORM_S, timeout_s)
        self._store = serve_rendezvous(address, timeout_s=self._form_s) if rank == 0 else None
        self._names = (f"weights {number}" for number in count())
        self._writer = SnapshotWriter()
        self._client: Engines | None = None
        self._group: ProcessGroupGloo | None = None

    def connect(self, client: Engines, *, world_size: int) -> None:
        """Meet the vLLM workers behind ``client``, ``world_size`` - 1 of them, as a new group."""
        self._group, self._client = None, client
        if self._store is None:
            return
        name = next(self._names)
        link = {
            "master_address": self._address,
            "master_port": self._store.port,
            "name": name,
            "rank_offset": 1,
            "world_size": world_size,
            "bucket_bytes": self._bucket_bytes,
            "form_s": self._form_s,
            "timeout_s": self._timeout_s,
        }
        # The workers wait inside init for the rendezvous that this rank takes part in at the same time.
        with ThreadPoolExecutor(max_workers=1) as executor:
            joined = executor.submit(client.init_weight_transfer_engine, link)
            group = open_group(
                self._store,
                name=name,
                address=self._address,
                rank=0,
                world_size=world_size,
                timeout_s=self._form_s,
            )
            joined.result()
        self._group = group

    def send_weights(self, place: SnapshotPlace | None = None) -> str:
        """See :class:`r1ray.weights.publisher.Sender`. After an error the group is gone: :meth:`connect` has to make
        another."""
        metas = metadata_with_fingerprints(self._stream.metadata())
        tensors, problem = with_fingerprints(on_host(self._stream)), ""
        if place is not None and self._store is not None:
            tensors, problem = kept(self._writer, tensors, metas, place)
        try:
            if self._store is not None:
                self._send_all(metas, tensors)
        except BaseException:
            self._group = None
            raise
        finally:
            for _ in tensors:  # whatever went wrong: on other ranks the rest of the gathers wait for this one
                pass
        return problem

    def _send_all(self, metas: Sequence[TensorMeta], tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
        if self._group is None or self._client is None:
            raise WeightSyncError("there is no group to send weights to: a round in it has failed")
        self._client.start_weight_update()
        self._send(self._group, self._client, metas, tensors)
        self._client.finish_weight_update()

    def _send(
        self,
        group: ProcessGroupGloo,
        client: Engines,
        metas: Sequence[TensorMeta],
        tensors: Iterator[tuple[str, torch.Tensor]],
    ) -> None:
        update = {
            "names": [meta.name for meta in metas],
            "dtype_names": [meta.dtype for meta in metas],
            "shapes": [list(meta.shape) for meta in metas],
        }
        executor, bound_s = ThreadPoolExecutor(max_workers=1), 0.0
        try:
            received = executor.submit(client.update_weights, update)
            for bucket in plan_buckets(metas, max_bytes=self._bucket_bytes):
                flat = _flatten(tensors, bucket)
                bound_s = bound_of(len(flat), timeout_s=self._timeout_s)
                broadcast(group, flat, timeout_s=bound_s)
            received.result(timeout=bound_s)
        except TimeoutError as error:
            raise WeightSyncError(f"an engine did not load the last bucket of weights in {bound_s:.0f} s") from error
        finally:
            # If the broadcast raised, the call in the thread ends by its own timeout; nobody waits for it here.
            executor.shutdown(wait=False)
