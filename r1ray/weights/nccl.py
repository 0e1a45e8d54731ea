"""Weight transfer over NCCL: vLLM's own engine (packed, double-buffered buckets), with verified loading."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, VLLMWeightSyncClient, WeightSource
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.nccl_engine import (
    NCCLTrainerInitInfo,
    NCCLTrainerWeightTransferEngine,
    NCCLWeightTransferEngine,
    NCCLWeightTransferUpdateInfo,
)

from r1ray.weights import plugin
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.snapshot_file import SnapshotWriter, kept
from r1ray.weights.stream import WeightStream, metadata_with_fingerprints, with_fingerprints
from r1ray.weights.vllm_model import Received

BACKEND = "r1ray_nccl"


@dataclass
class NCCLUpdateInfo(NCCLWeightTransferUpdateInfo):
    """vLLM's, or the place of a snapshot."""

    snapshot: str = ""
    version: int = 0


class VerifiedNCCLReceiver(Received, NCCLWeightTransferEngine):
    """The end inside each vLLM worker: loads through a :class:`VerifyingLoader`, and compares what it then holds with
    what came."""

    update_info_cls = NCCLUpdateInfo
    _last: NCCLUpdateInfo | None = None

    def start_weight_update(self) -> None:
        self.begin()
        if not self.takes_adapters:
            super().start_weight_update()

    def receive_weights(self, update_info: NCCLUpdateInfo) -> None:
        if update_info.snapshot:
            self.load_snapshot(update_info.snapshot, update_info.version)
            return
        # From vLLM 0.33 on a round of the same tensors does not name them again. vLLM remembers them by the model, in
        # whose place is another loader in each round: hence here, and not there, where all loaders would be kept.
        if update_info.names or self._last is None:
            self._last = update_info
        model = self.model
        try:
            with self.loading() as self.model:
                super().receive_weights(self._last)
        finally:
            self.model = model
            getattr(self, "_last_update_info", {}).clear()

    def finish_weight_update(self) -> None:
        if self.is_open and not self.takes_adapters:
            super().finish_weight_update()
        self.check()


class VerifiedNCCLTrainerInitInfo(NCCLTrainerInitInfo):
    """vLLM's, under the name of the verifying engine."""

    backend = BACKEND


class VerifiedNCCLSender(NCCLTrainerWeightTransferEngine):
    """vLLM's sender, under the name of the verifying engine."""

    init_info_cls = VerifiedNCCLTrainerInitInfo


class Metas(list[ParamMeta]):
    """Tensors of a source: vLLM 0.33 reads them as an attribute, and 0.32 calls it."""

    def __call__(self) -> Metas:
        return self


class StreamSource(WeightSource):
    """A :class:`WeightStream` with its fingerprints, in the forms of vLLM 0.32 and 0.33."""

    def __init__(self, stream: WeightStream) -> None:
        self._stream, self._writer = stream, SnapshotWriter()
        self._tensors: Iterator[tuple[str, torch.Tensor]] | None = None
        self.place: SnapshotPlace | None = None
        """Where the next round is written too."""
        self.problem = ""
        """The error that kept it from that."""

    @cached_property
    def metadata(self) -> Metas:
        metas = metadata_with_fingerprints(self._stream.metadata())
        return Metas(ParamMeta(meta.name, getattr(torch, meta.dtype), meta.shape) for meta in metas)

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Return the tensors of a round, as vLLM 0.32 asks for them."""
        return self.iter_full()

    def iter_full(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Return the tensors of a round, as vLLM 0.33 asks for them."""
        self._tensors, self.problem = with_fingerprints(self._stream), ""
        if self.place is not None:
            metas = metadata_with_fingerprints(self._stream.metadata())
            self._tensors, self.problem = kept(self._writer, self._tensors, metas, self.place)
        return self._tensors

    def drain(self) -> None:
        """Take what is left of the round: on other ranks the rest of the gathers wait for this one."""
        for _ in self if self._tensors is None else self._tensors:
            pass
        self._tensors = None


class NCCLSender:
    """See :class:`r1ray.weights.publisher.Sender`. NCCL has no timeout: the publish's deadline ends a round."""

    def __init__(self, stream: WeightStream, *, rank: int, address: str, bucket_bytes: int, timeout_s: float) -> None:
        plugin.register()
        self._source = StreamSource(stream)
        self._rank, self._address, self._bucket_bytes = rank, address, bucket_bytes
        self._engine: Any = None

    def connect(self, client: VLLMWeightSyncClient, *, world_size: int) -> None:
        """See :class:`r1ray.weights.publisher.Sender`."""
        if self._engine is not None:
            self._engine.shutdown()
        info = VerifiedNCCLTrainerInitInfo(
            self._address, _free_port(), world_size, packed_buffer_size_bytes=self._bucket_bytes, rank=self._rank
        )
        self._engine = WeightTransferTrainerFactory.trainer_init(init_info=info, client=client, source=self._source)

    def send_weights(self, place: SnapshotPlace | None = None) -> str:
        """See :class:`r1ray.weights.publisher.Sender`."""
        self._source.place = place if self._rank == 0 else None
        try:
            self._engine.send_weights()
        finally:
            self._source.drain()
        return self._source.problem


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
