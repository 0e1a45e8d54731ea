"""Adapters on their way to the engines by themselves, where a merge would round away what was trained.

    learner: r1ray.adapter (rank, alpha), then A and B of each layer, as peft names them  --WeightStream-->
    engine:  ReceivedAdapter  --activate--> vLLM's LoRA manager, always under the same id

The base weights are never sent: engine and learner loaded the same files. A round replaces the adapter in place, so
that a request which was paused goes on under the new version, as it does where whole weights are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from r1ray.errors import WeightSyncError
from r1ray.weights.content import MODULUS, content
from r1ray.weights.held import Contents, differences, layer_of, merged

SETTINGS = "r1ray.adapter"
"""Name of the tensor that says what the adapter is."""
ID, NAME = 1, "policy"
"""What vLLM knows the adapter by."""
PREFIX = "base_model.model."
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM makes room for."""


def settings_tensor(*, rank: int, alpha: float) -> torch.Tensor:
    """The first tensor of the stream, [n] uint8: both numbers as JSON."""
    return torch.frombuffer(bytearray(json.dumps({"r": rank, "lora_alpha": alpha}).encode()), dtype=torch.uint8)


class ReceivedAdapter:
    """The adapter of one round, as it arrives in a vLLM worker."""

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._tensors: dict[str, torch.Tensor] = {}

    def load(self, weights: Sequence[tuple[str, torch.Tensor]]) -> None:
        """Keep a copy of what has arrived."""
        for name, tensor in weights:
            if name == SETTINGS:
                self._settings = json.loads(bytes(tensor.cpu().tolist()))
            else:
                self._tensors[name] = tensor.detach().to("cpu", copy=True)

    def activate(self, manager: Any, gather: Any) -> None:
        """Put the adapter in the place of the last one, in vLLM's ``LRUCacheWorkerLoRAManager``.

        Args:
            gather: what all workers of the engine hold, from what this one does.

        Raises WeightSyncError where the engine then holds something else than what arrived.
        """
        from vllm.lora.peft_helper import PEFTHelper

        adapters = manager._adapter_manager
        mapper = getattr(adapters.model, "hf_to_vllm_mapper", None)
        dtype = manager.lora_config.lora_dtype
        sent = self._contents(dtype)  # before vLLM scales B, in its place
        adapter = manager._lora_model_cls.from_lora_tensors(
            lora_model_id=ID,
            tensors=self._tensors,
            peft_helper=PEFTHelper.from_dict(self._settings | {"target_modules": "all-linear"}),
            device="cpu",
            dtype=dtype,
            model_vocab_size=manager.vocab_size,
            weights_mapper=None if mapper is None else mapper.get_rename_mapper(),
        )
        adapters.remove_adapter(ID)
        adapters.add_adapter(adapter)
        adapters.activate_adapter(ID)
        held = merged(gather(_held(adapters)))
        if wrong := differences(Contents(sent, held), None, {layer_of(name) for name in sent}):
            raise WeightSyncError(f"the engine does not hold the adapters that it was sent: {', '.join(wrong[:4])}")

    def _contents(self, dtype: torch.dtype) -> dict[str, int]:
        """Contents of what arrived, as vLLM keeps it: B times alpha / rank."""
        scale = self._settings["lora_alpha"] / self._settings["r"]
        kept = {name: tensor.to(dtype) for name, tensor in self._tensors.items()}
        return {
            name.removeprefix(PREFIX): int(content(tensor * scale if ".lora_B." in name else tensor)) % MODULUS
            for name, tensor in kept.items()
        }


def _held(adapters: Any) -> dict[str, int]:
    """Contents of the adapter that computes in a worker, by module."""
    slot = adapters.lora_index_to_id.index(ID)
    found = {}
    for path, module in adapters.modules.items():
        stacks = (*getattr(module, "lora_a_stacked", ()), *getattr(module, "lora_b_stacked", ()))
        for number, stack in enumerate(stacks):
            found[f"{path}.lora.{number}"] = int(content(stack[slot])) % MODULUS
    return found


class AdapterWorker:
    """Extension of vLLM's worker (``worker_extension_cls``)."""

    weight_transfer_engine: Any
    model_runner: Any

    def activate_adapter(self) -> None:
        """Let requests use the adapter of the round that has ended: vLLM forgets all adapters when one ends."""
        self.weight_transfer_engine.activate(self.model_runner.lora_manager)
