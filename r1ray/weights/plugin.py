"""Makes r1ray's weight-transfer engines known to vLLM, and mends one operator of its engines on CPUs.

vLLM calls :func:`register` in each of its processes (entry point ``vllm.general_plugins`` in ``pyproject.toml``);
a learner that sends over NCCL calls it for its side.
"""

from __future__ import annotations

from r1ray.runtime.imports import end_imports
from r1ray.runtime.own_process import join
from r1ray.runtime.scratch import enter


def register() -> None:
    """Register the receivers and NCCL's sender with vLLM's factories; calling it again changes nothing. A process of
    vLLM gets its name, its log and its status file here."""
    end_imports()
    enter()
    join()
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory, WeightTransferTrainerFactory
    from vllm.platforms import current_platform

    from r1ray.weights.vllm_model import mend_rotation

    for factory, name, module, made in (
        (WeightTransferEngineFactory, "r1ray_gloo", "r1ray.weights.gloo_receiver", "GlooReceiver"),
        (WeightTransferEngineFactory, "r1ray_nccl", "r1ray.weights.nccl", "VerifiedNCCLReceiver"),
        (WeightTransferTrainerFactory, "r1ray_nccl", "r1ray.weights.nccl", "VerifiedNCCLSender"),
        (WeightTransferEngineFactory, "r1ray_ipc", "r1ray.weights.ipc", "VerifiedIPCReceiver"),
        (WeightTransferTrainerFactory, "r1ray_ipc", "r1ray.weights.ipc", "VerifiedIPCSender"),
    ):
        if name not in factory._registry:
            factory.register_engine(name, module, made)
    if current_platform.is_cpu():
        mend_rotation()
