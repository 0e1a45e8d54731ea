"""The learner's side of a publish: its weight stream as a vLLM weight source, and the engine that sends it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, VLLMWeightSyncClient, WeightSource
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory

from r1ray.weights import gloo, nccl, plugin
from r1ray.weights.stream import WeightStream, metadata_with_fingerprints, with_fingerprints


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
    backend: str,
    rank: int,
    address: str,
    port: int,
    world_size: int,
    bucket_bytes: int,
    timeout_s: float,
) -> Any:
    """Connect this learner rank to the engines behind ``client``; ``send_weights()`` of what is returned is one
    publish, to be called on every rank. ``world_size`` is 1 + the number of vLLM workers."""
    plugin.register()
    info: Any
    if backend == gloo.BACKEND:
        info = gloo.GlooTrainerInitInfo(
            address, port, world_size, bucket_bytes=bucket_bytes, timeout_s=timeout_s, rank=rank
        )
    else:
        info = nccl.VerifiedNCCLTrainerInitInfo(
            address, port, world_size, packed_buffer_size_bytes=bucket_bytes, rank=rank
        )
    return WeightTransferTrainerFactory.trainer_init(init_info=info, client=client, source=StreamSource(stream))
