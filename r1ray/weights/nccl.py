"""Weight transfer over NCCL: vLLM's own engine (packed, double-buffered buckets), with verified loading."""

from __future__ import annotations

from typing import Any

from vllm.distributed.weight_transfer.nccl_engine import (
    NCCLTrainerInitInfo,
    NCCLTrainerWeightTransferEngine,
    NCCLWeightTransferEngine,
    NCCLWeightTransferUpdateInfo,
)

from r1ray.weights.stream import VerifyingLoader

BACKEND = "r1ray_nccl"


class VerifiedNCCLReceiver(NCCLWeightTransferEngine):
    """The end inside each vLLM worker: loads through a :class:`VerifyingLoader`."""

    model: Any

    def receive_weights(self, update_info: NCCLWeightTransferUpdateInfo) -> None:
        model = self.model
        self.model = VerifyingLoader(model.load_weights)
        try:
            super().receive_weights(update_info)
        finally:
            self.model = model


class VerifiedNCCLTrainerInitInfo(NCCLTrainerInitInfo):
    """vLLM's, under the name of the verifying engine."""

    backend = BACKEND


class VerifiedNCCLSender(NCCLTrainerWeightTransferEngine):
    """vLLM's sender, under the name of the verifying engine."""

    init_info_cls = VerifiedNCCLTrainerInitInfo
