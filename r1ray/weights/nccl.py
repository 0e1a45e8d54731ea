"""Weight transfer over NCCL: vLLM's own engine (packed, double-buffered buckets), with verified loading."""

from __future__ import annotations

from collections.abc import Iterator
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
from r1ray.weights.stream import WeightStream, metadata_with_fingerprints, with_fingerprints
from r1ray.weights.vllm_model import Received

BACKEND = "r1ray_nccl"


class VerifiedNCCLReceiver(Received, NCCLWeightTransferEngine):
    """The end inside each vLLM worker: loads through a :class:`VerifyingLoader`, and compares what it then holds with
    what came."""

    def start_weight_update(self) -> None:
        self.begin()
        if not self.takes_adapters:
            super().start_weight_update()

    def receive_weights(self, update_info: NCCLWeightTransferUpdateInfo) -> None:
        model = self.model
        self.model = self.loader()
        try:
            super().receive_weights(update_info)
        finally:
            self.model = model

    def finish_weight_update(self) -> None:
        if not self.takes_adapters:
            super().finish_weight_update()
        self.check()


class VerifiedNCCLTrainerInitInfo(NCCLTrainerInitInfo):
    """vLLM's, under the name of the verifying engine."""

    backend = BACKEND


class VerifiedNCCLSender(NCCLTrainerWeightTransferEngine):
    """vLLM's sender, under the name of the verifying engine."""

    init_info_cls = VerifiedNCCLTrainerInitInfo


class StreamSource(WeightSource):
    """A :class:`WeightStream` with its fingerprints, in vLLM's form."""

    def __init__(self, stream: WeightStream) -> None:
        self._stream = stream

    def metadata(self) -> list[ParamMeta]:
        metas = metadata_with_fingerprints(self._stream.metadata())
        return [ParamMeta(meta.name, getattr(torch, meta.dtype), meta.shape) for meta in metas]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        return with_fingerprints(self._stream)


def open_sender(
    stream: WeightStream,
    client: VLLMWeightSyncClient,
    *,
    rank: int,
    address: str,
    port: int,
    world_size: int,
    bucket_bytes: int,
    timeout_s: float,
) -> Any:
    """See :func:`r1ray.weights.publisher.open_sender`. ``timeout_s`` bounds nothing here: NCCL has no timeout, and the
    publish's deadline ends the round."""
    plugin.register()
    info = VerifiedNCCLTrainerInitInfo(address, port, world_size, packed_buffer_size_bytes=bucket_bytes, rank=rank)
    return WeightTransferTrainerFactory.trainer_init(init_info=info, client=client, source=StreamSource(stream))
