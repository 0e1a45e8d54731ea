"""Extensions of vLLM's workers for tests (``rollout.engine_args``): what the publish has to find, and who they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import torch
from safetensors.torch import load, save

from r1ray.weights.adapter import SETTINGS, AdapterWorker, ReceivedAdapter, settings_tensor
from r1ray.weights.vllm_model import gather


class Planted:
    """Faults of a tensor that arrives as it was sent, from the next publish on."""

    model_runner: Any

    def plant_stale(self, name: str) -> None:
        """It is loaded with a value of its own, always the same."""
        self._plant(name, torch.zeros_like)

    def plant_moved(self, name: str) -> None:
        """It is loaded with its rows in another order."""
        self._plant(name, lambda tensor: tensor.roll(1, 0))

    def _plant(self, name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        model = self.model_runner.model
        load_right = model.load_weights

        def load_weights(weights: Iterable[tuple[str, torch.Tensor]]) -> Any:
            return load_right([(n, change(w) if n == name else w) for n, w in weights])

        model.load_weights = load_weights


class Pid:
    """Says which process a worker is."""

    def pid(self) -> int:
        return os.getpid()


class Rounds:
    """Publishes to a worker's model without a wire: ``rounds(seeds, victims)``."""

    model_runner: Any

    def rounds(self, num_seeds: int, victims: list[str]) -> dict[str, Any]:
        """Rounds of weights that Adam's steps of 3e-6 move. In one of two, a victim is left at the last version.

        Args:
            victims: parts of names; each is a fault of its own. ``drop NAME`` is not loaded at all, ``NAME 3`` is left
                in its third part (an expert) alone.

        Returns what was raised for each victim, and what right rounds raised.
        """
        from vllm.config import set_current_vllm_config

        with set_current_vllm_config(self.model_runner.vllm_config):
            return self._rounds(num_seeds, victims)

    def _rounds(self, num_seeds: int, victims: list[str]) -> dict[str, Any]:
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

        from r1ray.errors import WeightSyncError
        from r1ray.weights.held import HeldWeights
        from r1ray.weights.stream import VerifyingLoader, with_fingerprints
        from r1ray.weights.vllm_model import prepare_reload, record_packing

        model, model_config = self.model_runner.model, self.model_runner.model_config
        master = weights_of(model_config.model)
        held = HeldWeights(model, model_config.dtype)
        stale: dict[str, torch.Tensor | None] = {}

        def load_weights(weights: Iterable[tuple[str, torch.Tensor]]) -> None:
            for name, weight in weights:
                loaded = stale.get(name, weight)
                if loaded is not None:
                    model.load_weights([(name, loaded)])

        def publish() -> str:
            record_packing()
            prepare_reload(model)
            held.begin()
            initialize_layerwise_reload(model)
            sent = ((name, weight.to(model_config.dtype)) for name, weight in master.items())
            VerifyingLoader(load_weights, held.arrived).load_weights(with_fingerprints(sent))
            finalize_layerwise_reload(model, model_config)
            try:
                held.check()
            except WeightSyncError as error:
                return str(error)
            return ""

        generator = torch.Generator().manual_seed(0)
        false_alarms = [publish()]
        found: dict[str, list[str]] = {victim: [] for victim in victims}
        for _ in range(num_seeds):
            for victim in victims:
                before = {name: weight.to(model_config.dtype, copy=True) for name, weight in master.items()}
                move(master, generator)
                stale.update(left(victim, before, master))
                found[victim].append(publish())
                stale.clear()
                false_alarms.append(publish())  # the round is sent again
        return {"found": found, "false_alarms": [alarm for alarm in false_alarms if alarm]}


def left(victim: str, before: dict[str, torch.Tensor], now: dict[str, torch.Tensor]) -> dict[str, torch.Tensor | None]:
    """What is loaded in the place of the victim's tensors; None: nothing."""
    name, _, part = victim.removeprefix("drop ").partition(" ")
    found = {key: weight for key, weight in before.items() if name in key}
    if victim.startswith("drop "):
        return dict.fromkeys(found)
    if not part:
        return dict(found)
    mixed = {key: now[key].to(weight.dtype, copy=True) for key, weight in found.items()}
    for key, weight in found.items():
        mixed[key][int(part)] = weight[int(part)]
    return dict(mixed)


def weights_of(folder: str) -> dict[str, torch.Tensor]:
    """A model's weights as a learner streams them, the tied output layer too."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return (
        weights if "lm_head.weight" in weights else weights | {"lm_head.weight": weights["model.embed_tokens.weight"]}
    )


def move(weights: dict[str, torch.Tensor], generator: torch.Generator) -> None:
    """A step of Adam at a learning rate of 3e-6, in a random direction."""
    for weight in {id(weight): weight for weight in weights.values()}.values():
        weight += 3e-6 * torch.randn(weight.shape, generator=generator).sign()


class HeldAdapter(AdapterWorker):
    """Takes an adapter without a wire, and says which one computes."""

    def put(self, adapter: bytes, rank: int, alpha: float) -> None:
        received = ReceivedAdapter()
        received.load([(SETTINGS, settings_tensor(rank=rank, alpha=alpha)), *load(adapter).items()])
        received.activate(self.model_runner.lora_manager, gather)

    def held(self, path: str) -> bytes:
        """A and B of the last part of a layer, B scaled."""
        layer = self.model_runner.lora_manager._adapter_manager.modules[path]
        return save({"A": layer.lora_a_stacked[-1][0, 0].clone(), "B": layer.lora_b_stacked[-1][0, 0].clone()})


class Perturbed:
    """``perturb(name, relative)``: the worker's model, with one tensor off by that much of its own size."""

    model_runner: Any

    def perturb(self, name: str, relative: float) -> None:
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload

        model, model_config = self.model_runner.model, self.model_runner.model_config
        weights = weights_of(model_config.model)
        noise = torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0))
        weights[name] += relative * weights[name].norm() / noise.norm() * noise
        with set_current_vllm_config(self.model_runner.vllm_config):
            initialize_layerwise_reload(model)
            model.load_weights([(key, weight.to(model_config.dtype)) for key, weight in weights.items()])
            finalize_layerwise_reload(model, model_config)
