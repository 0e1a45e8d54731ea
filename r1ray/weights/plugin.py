"""Makes r1ray's weight-transfer engines known to vLLM.

vLLM calls :func:`register` in each of its processes (entry point ``vllm.general_plugins`` in ``pyproject.toml``);
the learner calls it for the sending side.
"""

from __future__ import annotations


def register() -> None:
    """Register both engines with both of vLLM's factories; calling it again changes nothing."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory, WeightTransferTrainerFactory

    engines = (
        ("r1ray_gloo", "r1ray.weights.gloo", "GlooReceiver", "GlooSender"),
        ("r1ray_nccl", "r1ray.weights.nccl", "VerifiedNCCLReceiver", "VerifiedNCCLSender"),
    )
    for name, module, receiver, sender in engines:
        if name not in WeightTransferEngineFactory._registry:
            WeightTransferEngineFactory.register_engine(name, module, receiver)
        if name not in WeightTransferTrainerFactory._registry:
            WeightTransferTrainerFactory.register_engine(name, module, sender)
