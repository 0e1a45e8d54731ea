"""The model inside a vLLM worker: what it holds, and what vLLM 0.32 does not do by itself for it on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch.distributed as dist
from torch import nn

from r1ray.errors import WeightSyncError
from r1ray.weights.adapter import ReceivedAdapter
from r1ray.weights.content import content
from r1ray.weights.held import PACKED, HeldWeights
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.snapshot_file import load
from r1ray.weights.stream import VerifyingLoader

NOTHING_ARRIVED = "no tensor had arrived"
"""Words of errors of a round that broke before its first tensor. (vLLM passes nothing on but their text.)"""


def gather(own: dict[str, int]) -> list[dict[str, int]]:
    """Collect what each worker of the engine holds."""
    from vllm.distributed.parallel_state import get_world_group

    group = get_world_group()
    if group.world_size == 1:
        return [own]
    parts: list[dict[str, int]] = [{}] * group.world_size
    dist.all_gather_object(parts, own, group=group.cpu_group)
    return parts


class Received:
    """One end of a publish in a worker, for engines of vLLM's weight-transfer API to inherit: whole weights are
    compared with what the model then holds, adapters are kept until they are activated."""

    model: Any
    model_config: Any
    adapter: ReceivedAdapter | None = None
    is_open = False
    """A round was begun that has not ended."""
    _held: HeldWeights | None = None

    @property
    def takes_adapters(self) -> bool:
        """Say whether the engine was started for adapters: then nothing else is sent to it."""
        return hasattr(self.model, "lora_manager")

    def begin(self) -> None:
        """Begin a round. One that has broken needs no end."""
        self.is_open = True
        if self.takes_adapters:
            self.adapter = ReceivedAdapter()
            return
        if self._held is None:
            self._held = HeldWeights(self.model, self.model_config.dtype, gather)
        self._held.begin()

    @contextmanager
    def loading(self) -> Iterator[VerifyingLoader]:
        """Give what loads the tensors of the round. What is raised inside says if nothing had arrived: then the model
        can have its old weights back."""
        loader = self._loader()
        try:
            yield loader
        except Exception as error:
            if self._held is None or self._held.has_arrived:
                raise
            raise WeightSyncError(f"{NOTHING_ARRIVED}: {error}") from error

    def load_snapshot(self, path: str, version: int) -> None:
        """Take the tensors of the round from a snapshot."""
        with self.loading() as loader:
            load(SnapshotPlace(path, version), loader)

    def _loader(self) -> VerifyingLoader:
        if self.adapter is not None:
            return VerifyingLoader(self.adapter.load)
        assert self._held is not None, "start_weight_update has not been called"
        return VerifyingLoader(self.model.load_weights, self._held.arrived)

    def check(self) -> None:
        """End the round; again, where it was found wrong, does nothing. Raises WeightSyncError where the model holds
        something else than it was sent."""
        was_open, self.is_open = self.is_open, False
        if was_open and self._held is not None:
            self._held.check()

    def activate(self, manager: Any) -> None:
        """Let requests use the adapter that the round brought, see :meth:`ReceivedAdapter.activate`."""
        assert self.adapter is not None, "no adapter has arrived"
        self.adapter.activate(manager, gather)


def mend_rotation() -> None:
    """Let rotary embeddings of PyTorch's operators serve in place of the compiled one, which turns the queries of
    multi-head latent attention ([tokens, heads, 64]) wrongly: log-probabilities of a DeepSeek-V3 were off by 0.4 nats.
    """
    from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding

    RotaryEmbedding.forward_cpu = RotaryEmbedding.forward_native


def record_packing() -> None:
    """Note of every linear layer what it packs its weight of, when it does: the packed copy itself cannot be read.
    See :func:`r1ray.weights.held.contents`."""
    from vllm.model_executor.layers import utils

    pack = utils.dispatch_cpu_unquantized_gemm
    if hasattr(pack, "__wrapped__"):
        return

    @wraps(pack)
    def packing(layer: Any, remove_weight: bool) -> None:
        is_linear = layer.weight.ndim == 2 and not layer.weight.is_meta
        made_of = content(layer.weight) if is_linear else None
        pack(layer, remove_weight)
        if made_of is not None:
            setattr(layer, PACKED, (layer.cpu_linear, made_of))

    utils.dispatch_cpu_unquantized_gemm = packing


def prepare_reload(model: nn.Module) -> None:
    """Let mixtures of experts pack their weights anew when they are loaded again, as when they were first."""
    for module in model.modules():
        method: Any = getattr(module, "quant_method", None)
        if getattr(method, "moe_kernel", None) is not None:
            method.moe_kernel = None
