"""The receiving end of :mod:`r1ray.weights.gloo` inside each vLLM worker: an engine of vLLM's weight-transfer API."""

from __future__ import annotations

from dataclasses import dataclass

from torch.distributed import ProcessGroupGloo
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

from r1ray.weights.buckets import TensorMeta, plan_buckets
from r1ray.weights.gloo import receive
from r1ray.weights.network import join_rendezvous, open_group
from r1ray.weights.vllm_model import Received, prepare_reload, record_packing


@dataclass
class GlooInitInfo(WeightTransferInitInfo):
    """Arguments with which a worker joins the group."""

    master_address: str
    master_port: int
    name: str
    """The group's name."""
    rank_offset: int
    world_size: int
    bucket_bytes: int
    form_s: float
    """Bounds the wait for all members."""
    timeout_s: float
    """Bounds one transfer."""


@dataclass
class GlooUpdateInfo(WeightTransferUpdateInfo):
    """Names, dtypes and shapes of the tensors of one round, or the place of a snapshot."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]
    snapshot: str = ""
    version: int = 0

    def metas(self) -> list[TensorMeta]:
        rows = zip(self.names, self.dtype_names, self.shapes, strict=True)
        return [TensorMeta(name, dtype, tuple(shape)) for name, dtype, shape in rows]


class GlooReceiver(Received, WeightTransferEngine[GlooInitInfo, GlooUpdateInfo]):
    """Joins the sender's group, loads each bucket as it arrives, and compares what it then holds with what came."""

    init_info_cls = GlooInitInfo
    update_info_cls = GlooUpdateInfo

    _group: ProcessGroupGloo | None = None
    _bucket_bytes = 0
    _timeout_s = 0.0

    def init_transfer_engine(self, init_info: GlooInitInfo) -> None:
        parallel = self.parallel_config
        rank = init_info.rank_offset + parallel.data_parallel_index * parallel.world_size + parallel.rank
        self._group = None
        self._bucket_bytes, self._timeout_s = init_info.bucket_bytes, init_info.timeout_s
        address, form_s = init_info.master_address, init_info.form_s
        self._group = open_group(
            join_rendezvous(address, init_info.master_port, timeout_s=form_s),
            name=init_info.name,
            address=address,
            rank=rank,
            world_size=init_info.world_size,
            timeout_s=form_s,
        )

    def start_weight_update(self) -> None:
        self.begin()
        if not self.takes_adapters:
            record_packing()
            prepare_reload(self.model)
            initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: GlooUpdateInfo) -> None:
        if update_info.snapshot:
            self.load_snapshot(update_info.snapshot, update_info.version)
            return
        group, self._group = self._group, None  # until all has arrived: a broken group is never used again
        with self.loading() as loader:
            if group is None:
                raise RuntimeError("there is no group to receive weights from: a round in it has failed")
            for bucket in plan_buckets(update_info.metas(), max_bytes=self._bucket_bytes):
                # The layerwise reload keeps references until a layer is whole.
                loader.load_weights(receive(group, bucket, timeout_s=self._timeout_s))
        self._group = group

    def finish_weight_update(self) -> None:
        if self.is_open and not self.takes_adapters:
            finalize_layerwise_reload(self.model, self.model_config)
        self.check()

    def shutdown(self) -> None:
        self._group = None
