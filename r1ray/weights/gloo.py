"""Weight transfer over Gloo, for engines on CPUs: both ends of the wire.

    sender (learner rank 0)  --broadcast of flat buckets-->  receivers (vLLM workers, ranks 1..)

An engine of vLLM's own weight-transfer API, registered by :mod:`r1ray.weights.plugin`; it does for CPUs what vLLM's
``nccl`` engine does for GPUs. Unlike NCCL's, every operation ends with an error after ``timeout_s``.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch.distributed import ProcessGroupGloo
from vllm.distributed.weight_transfer.base import (
    TrainerInitInfo,
    TrainerWeightTransferEngine,
    VLLMWeightSyncClient,
    WeightSource,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from r1ray.weights.buckets import TensorMeta, plan_buckets
from r1ray.weights.network import broadcast, open_group
from r1ray.weights.stream import VerifyingLoader

BACKEND = "r1ray_gloo"


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """What a worker needs to join the group."""

    master_address: str
    master_port: int
    rank_offset: int
    world_size: int
    bucket_bytes: int
    timeout_s: float


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """What one round sends."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]

    def metas(self) -> list[TensorMeta]:
        rows = zip(self.names, self.dtype_names, self.shapes, strict=True)
        return [TensorMeta(name, dtype, tuple(shape)) for name, dtype, shape in rows]


@dataclass
class GlooTrainerInitInfo(TrainerInitInfo):
    """What the sender needs to open the group; ``rank`` is the learner rank, 0 sends."""

    backend: ClassVar[str] = BACKEND

    master_address: str
    master_port: int
    world_size: int
    bucket_bytes: int
    timeout_s: float


class GlooReceiver(WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """The end inside each vLLM worker."""

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo

    _group: ProcessGroupGloo | None = None
    _bucket_bytes = 0

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        parallel = self.parallel_config
        rank = init_info.rank_offset + parallel.data_parallel_index * parallel.world_size + parallel.rank
        self._bucket_bytes = init_info.bucket_bytes
        self._group = open_group(
            address=init_info.master_address,
            port=init_info.master_port,
            rank=rank,
            world_size=init_info.world_size,
            timeout_s=init_info.timeout_s,
        )

    def start_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        if self._group is None:
            raise RuntimeError("init_transfer_engine has not been called")
        loader = VerifyingLoader(self.model.load_weights)
        for bucket in plan_buckets(update_info.metas(), max_bytes=self._bucket_bytes):
            flat = torch.empty(sum(meta.num_bytes for meta in bucket), dtype=torch.uint8)
            broadcast(self._group, flat)
            # The layerwise reload keeps references until a layer is whole: the views share `flat`, which is fresh
            # for every bucket and never written again.
            loader.load_weights(_unflatten(flat, bucket))

    def finish_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None:
        self._group = None


def _unflatten(flat: torch.Tensor, bucket: list[TensorMeta]) -> Iterator[tuple[str, torch.Tensor]]:
    start = 0
    for meta in bucket:
        part = flat[start : start + meta.num_bytes]
        yield meta.name, part.view(getattr(torch, meta.dtype)).view(meta.shape)
        start += meta.num_bytes


def _flatten(tensors: Iterator[tuple[str, torch.Tensor]], bucket: list[TensorMeta]) -> torch.Tensor:
    """The bucket's tensors, which come next, as one [num_bytes] uint8."""
    flat, start = torch.empty(sum(meta.num_bytes for meta in bucket), dtype=torch.uint8), 0
    for meta in bucket:
        name, tensor = next(tensors)
        assert (name, tuple(tensor.shape)) == (meta.name, meta.shape), f"{name} came where {meta} was announced"
        # Copied at once: under ZeRO-3 a parameter is whole only until the next one is asked for.
        flat[start : start + meta.num_bytes] = tensor.detach().contiguous().view(-1).view(torch.uint8)
        start += meta.num_bytes
    return flat


class GlooSender(TrainerWeightTransferEngine[GlooTrainerInitInfo]):
    """The end inside the learner. Ranks above 0 only take part in gathering the parameters."""

    init_info_cls = GlooTrainerInitInfo

    def __init__(
        self,
        *,
        client: VLLMWeightSyncClient,
        source: WeightSource,
        is_sender: bool,
        group: ProcessGroupGloo | None,
        bucket_bytes: int,
    ) -> None:
        super().__init__(client=client, source=source, is_sender=is_sender)
        self._group, self._bucket_bytes = group, bucket_bytes

    @classmethod
    def trainer_init(
        cls, init_info: GlooTrainerInitInfo, *, client: VLLMWeightSyncClient, source: WeightSource | None = None
    ) -> GlooSender:
        assert source is not None, "a dense transfer needs a source"
        group = None
        if init_info.is_sender:
            payload = {key: value for key, value in asdict(init_info).items() if key != "rank"} | {"rank_offset": 1}
            # The workers wait inside init for the rendezvous that this rank opens at the same time.
            with ThreadPoolExecutor(max_workers=1) as executor:
                joined = executor.submit(client.init_weight_transfer_engine, payload)
                group = open_group(
                    address=init_info.master_address,
                    port=init_info.master_port,
                    rank=0,
                    world_size=init_info.world_size,
                    timeout_s=init_info.timeout_s,
                )
                joined.result()
        return cls(
            client=client,
            source=source,
            is_sender=init_info.is_sender,
            group=group,
            bucket_bytes=init_info.bucket_bytes,
        )

    def send_weights(self) -> None:
        assert self.source is not None
        metas = [
            TensorMeta(meta.name, str(meta.dtype).removeprefix("torch."), tuple(meta.shape))
            for meta in self.source.metadata()
        ]
        if not self.is_sender:
            for _ in self.source:
                pass
            return
        info = GlooUpdateInfo(
            names=[meta.name for meta in metas],
            dtype_names=[meta.dtype for meta in metas],
            shapes=[list(meta.shape) for meta in metas],
        )
        tensors = iter(self.source)
        try:
            self.client.start_weight_update()
            self._send(metas, tensors, info)
            self.client.finish_weight_update()
        finally:
            for _ in tensors:  # whatever went wrong: on other ranks the rest of the gathers wait for this one
                pass

    def _send(self, metas: list[TensorMeta], tensors: Iterator[tuple[str, torch.Tensor]], info: GlooUpdateInfo) -> None:
        assert self._group is not None
        executor = ThreadPoolExecutor(max_workers=1)
        try:
            received = executor.submit(self.client.update_weights, asdict(info))
            for bucket in plan_buckets(metas, max_bytes=self._bucket_bytes):
                broadcast(self._group, _flatten(tensors, bucket))
            received.result()
        finally:
            # If the broadcast raised, the call in the thread ends by its own timeout; nobody waits for it here.
            executor.shutdown(wait=False)

    def shutdown(self) -> None:
        self._group = None
