"""Weight transfer inside a GPU that engine and learner share: vLLM's engine over CUDA IPC, with verified loading.

Every learner rank puts its tensors into a buffer of its GPU, bucket by bucket; rank 0 sends the handles of all of them,
and each vLLM worker opens the one of its own GPU. The bytes never leave it.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vllm.distributed.weight_transfer.base import VLLMWeightSyncClient, WeightTransferUpdateInfo
from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.ipc_engine import (
    IPCTrainerInitInfo,
    IPCTrainerWeightTransferEngine,
    IPCWeightTransferEngine,
)
from vllm.distributed.weight_transfer.packed_tensor import packed_ipc_consumer

from r1ray.weights import plugin
from r1ray.weights.buckets import TensorMeta
from r1ray.weights.lasting import Lasting
from r1ray.weights.nccl import StreamSource
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.stream import VerifyingLoader, WeightStream, metadata_with_fingerprints
from r1ray.weights.vllm_model import Received

BACKEND = "r1ray_ipc"


@dataclass
class IPCUpdateInfo(WeightTransferUpdateInfo):
    """A bucket, or the place of a snapshot."""

    names: list[str]
    dtype_names: list[str]
    shapes: list[list[int]]
    tensor_sizes: Sequence[int] = ()
    """Bytes of each tensor in the buffer."""
    handles: str = ""
    """The buffer on each GPU, by the GPU's UUID, as text: messages of vLLM to its workers have no tuples."""
    snapshot: str = ""
    version: int = 0


class VerifiedIPCReceiver(Received, IPCWeightTransferEngine):
    """The end inside each vLLM worker: see :class:`r1ray.weights.nccl.VerifiedNCCLReceiver`. A round comes in several
    updates, which one loader compares."""

    update_info_cls = IPCUpdateInfo
    _loader_of_round: VerifyingLoader | None = None

    def start_weight_update(self) -> None:
        self.begin()
        self._loader_of_round = None
        if not self.takes_adapters:
            super().start_weight_update()

    def receive_weights(self, update_info: IPCUpdateInfo) -> None:
        if update_info.snapshot:
            self.load_snapshot(update_info.snapshot, update_info.version)
            return
        with self.loading() as fresh:
            loader = self._loader_of_round = self._loader_of_round or fresh
            loader.load_weights(
                packed_ipc_consumer(
                    ipc_handle=pickle.loads(base64.b64decode(update_info.handles)),
                    names=update_info.names,
                    shapes=update_info.shapes,
                    dtype_names=update_info.dtype_names,
                    tensor_sizes=list(update_info.tensor_sizes),
                    device_index=self.device.index,
                    importer=self._packed_importer,
                )
            )

    def finish_weight_update(self) -> None:
        if self.is_open and not self.takes_adapters:
            super().finish_weight_update()
        self._packed_importer.close()
        self.check()


class VerifiedIPCTrainerInitInfo(IPCTrainerInitInfo):
    """vLLM's, under the name of the verifying engine."""

    backend = BACKEND


class VerifiedIPCSender(IPCTrainerWeightTransferEngine):
    """vLLM's sender, whose handles go through any client."""

    init_info_cls = VerifiedIPCTrainerInitInfo

    def _do_send(
        self,
        names: list[str],
        dtype_names: list[str],
        shapes: list[list[int]],
        ipc_handles: Mapping[str, tuple[Any, ...]],
        tensor_sizes: list[int] | None = None,
    ) -> None:
        if self.is_sender:
            handles = base64.b64encode(pickle.dumps(ipc_handles)).decode()
            tensors = {"names": names, "dtype_names": dtype_names, "shapes": shapes}
            self.client.update_weights(tensors | {"tensor_sizes": tensor_sizes, "handles": handles})


def buffer_bytes(metas: Sequence[TensorMeta], *, bucket_bytes: int) -> int:
    """Return the size of a buffer that takes a bucket, and every tensor whole: vLLM divides none."""
    return max(bucket_bytes, *(meta.num_bytes for meta in metadata_with_fingerprints(metas)))


class IPCSender:
    """See :class:`r1ray.weights.publisher.Sender`. The publish's deadline ends a round."""

    def __init__(self, stream: WeightStream, *, rank: int, address: str, bucket_bytes: int, timeout_s: float) -> None:
        plugin.register()
        self._stream, self._source = stream, StreamSource(stream)
        self._rank, self._bucket_bytes = rank, bucket_bytes
        self._engine: Any = None
        self._client: Lasting | None = None

    def connect(self, client: VLLMWeightSyncClient, *, world_size: int) -> None:
        """See :class:`r1ray.weights.publisher.Sender`. No group is formed: handles travel with the calls."""
        self._client = Lasting(client)
        size = buffer_bytes(self._stream.metadata(), bucket_bytes=self._bucket_bytes)
        info = VerifiedIPCTrainerInitInfo(packed=True, packed_buffer_size_bytes=size, rank=self._rank)
        self._engine = WeightTransferTrainerFactory.trainer_init(
            init_info=info, client=self._client, source=self._source
        )

    def send_weights(self, place: SnapshotPlace | None = None) -> str:
        """See :class:`r1ray.weights.publisher.Sender`."""
        assert self._client is not None
        self._source.place = place if self._rank == 0 else None
        self._engine.send_weights()
        self._client.raise_failure()
        return self._source.problem
