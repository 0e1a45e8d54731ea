"""Routers of a mixture of experts: their choices are recorded and balanced, or given to them.

    forward pass --recording--> logits and choices of each router --balance--> a part of the loss, and the load
    update       --load of all ranks--> biases, if routers have them
    choices of the engine --use--> each router takes them in place of its own

Every router of transformers returns logits, weights and choices. Its first call shows how it makes weights from logits;
a router with an unknown formula is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
import torch.distributed as dist
from transformers import AutoConfig

from r1ray.algo.routing import SCORINGS, expert_load, expert_weights, moved_bias, sequence_loss, switch_loss
from r1ray.config.router import RouterConfig
from r1ray.errors import UserError
from r1ray.learner.packed import Packed
from r1ray.runtime.model_class import auto_class
from r1ray.runtime.remote_code import is_allowed
from r1ray.weights.held import layer_of

BIAS = "e_score_correction_bias"
TOLERANCE = 2e-2
"""Bound of the relative difference of weights, because some routers round theirs to bfloat16."""


def check_routers(model: str, config: RouterConfig) -> None:
    """Raise UserError if a model does not have the routers that the configuration needs. Reads only its config.json."""
    with torch.device("meta"):
        made = auto_class(model).from_config(
            AutoConfig.from_pretrained(model, trust_remote_code=is_allowed()), trust_remote_code=is_allowed()
        )
    Routers(made, config)


@dataclass(eq=False)
class _Router:
    """One router, and the facts found by its calls."""

    module: Any
    layer: int
    owner: Any
    """Module that holds its selection bias; None: it has none."""
    scoring: str | None = None
    is_normalised: bool = False
    recorded: tuple[torch.Tensor, torch.Tensor] | None = None
    """Logits [N, E] and choices [N, K] of the forward pass."""
    load_E: torch.Tensor | None = None
    """Load of each expert since the last update."""

    @property
    def bias(self) -> torch.Tensor:
        bias: torch.Tensor = self.owner._buffers[BIAS]
        return bias

    def weights(self, logits: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        """Return the weights [N, K] of given experts."""
        assert self.scoring is not None
        scale = float(getattr(self.module, "routed_scaling_factor", 1.0))
        return expert_weights(logits, chosen, scoring=self.scoring, is_normalised=self.is_normalised, scale=scale)

    def find_formula(self, logits: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor) -> bool:
        """Find the formula by which weights are made from logits; return False if no known one fits."""
        errors = {}
        for formula in product(SCORINGS if self.owner is None else SCORINGS[::-1], (True, False)):
            self.scoring, self.is_normalised = formula
            errors[formula] = float((self.weights(logits, chosen) / weights.float() - 1).abs().max())
        self.scoring, self.is_normalised = min(errors, key=errors.__getitem__)
        return errors[self.scoring, self.is_normalised] < TOLERANCE


@dataclass(eq=False)
class Routers:
    """All routers of a model; empty if no key needs them."""

    model: Any
    config: RouterConfig
    _found: list[_Router] = field(default_factory=list)
    _is_recording: bool = False
    _given: torch.Tensor | None = None
    _sums: dict[str, float] = field(default_factory=lambda: {"loss": 0.0, "load_max": 0.0, "updates": 0.0})

    def __post_init__(self) -> None:
        """Raise UserError if a key needs routers, or routers with a bias, that the model does not have."""
        if not self.config.is_used:
            return
        for name, module in self.model.named_modules():
            if "weight" in module._parameters and hasattr(module, "top_k") and hasattr(module, "num_experts"):
                parent = self.model.get_submodule(name.rpartition(".")[0])
                owner = next((each for each in (module, parent) if BIAS in each._buffers), None)
                self._found.append(_Router(module, int(layer_of(name)), owner))
        if not self._found:
            self._refuse("has no known routers; needs a mixture of experts")
        if self.config.bias_speed and any(router.owner is None for router in self._found):
            self._refuse("has routers without a selection bias; needs learner.router.bias_speed=0")
        for router in self._found:
            router.module.register_forward_hook(self._hook(router))
            if self.config.bias_speed:
                router.bias.data = router.bias.data.float()  # steps of 0.001 would be lost in bfloat16

    def _refuse(self, what: str) -> None:
        keys = [f"learner.router.{key}={value}" for key, value in vars(self.config).items() if value]
        raise UserError(f"{', '.join(keys)}: {type(self.model).__name__} {what}.")

    def _hook(self, router: _Router) -> Any:
        def see(module: Any, arguments: Any, output: Any) -> Any:
            if not isinstance(output, tuple) or len(output) != 3:
                self._refuse(f"has a router, {type(module).__name__}, that does not return logits, weights and choices")
            logits, weights, chosen = output
            if router.scoring is None and not router.find_formula(logits.detach(), weights.detach(), chosen):
                self._refuse(f"has a router, {type(module).__name__}, whose weights are made in an unknown way")
            if self._given is not None:
                self._check_rows(len(logits), len(self._given))
                given_NK = self._given[:, router.layer].long()
                chosen = torch.where(given_NK >= 0, given_NK, chosen)
                weights = router.weights(logits, chosen).to(weights.dtype)
            if self._is_recording and self.config.is_balanced:
                router.recorded = logits, chosen
            return logits, weights, chosen

        return see

    def check_path(self, path: str) -> None:
        """Raise UserError if the model computes its rows in another way than packed."""
        if self._found and path != "packed":
            self._refuse("computes rows that are not packed; needs a model whose layers keep packed sequences apart")

    def _check_rows(self, computed: int, packed: int) -> None:
        assert computed == packed, f"routers saw {computed} tokens, and not the {packed} of the row"

    def use(self, choices_NLK: torch.Tensor | None) -> None:
        """Make every router use these experts from now on, and its own choice where they are -1; None: its own choice
        everywhere. They stay until the next call, because the backward pass may recompute activations."""
        self._given = choices_NLK

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record the forward pass inside the ``with``."""
        self._is_recording = True
        try:
            yield
        finally:
            self._is_recording = False

    def balance(self, packed: Packed, *, share: float) -> torch.Tensor | float:
        """Add the recorded pass to the load, and return its part of the balancing loss.

        Args:
            share: share of the minibatch that was in the pass; 0 for rows without work.
        """
        seen = []
        for router in self._found:
            if router.recorded is not None:
                logits_NE, chosen_NK = router.recorded
                self._check_rows(len(logits_NE), len(packed.input_ids_N))
                seen.append((router, logits_NE[: packed.num_tokens], chosen_NK[: packed.num_tokens]))
                router.recorded = None
        if not share or not seen:
            return 0.0
        for router, logits_TE, chosen_TK in seen:
            load_E = expert_load(chosen_TK, num_experts=logits_TE.shape[1])
            router.load_E = load_E if router.load_E is None else router.load_E + load_E
        if not self.config.loss_coefficient:
            return 0.0
        loss = _balance_loss(seen, packed)
        self._sums["loss"] += share * loss.item()
        return self.config.loss_coefficient * share * loss

    def after_update(self) -> None:
        """Move the biases by the load of all ranks since the last update. Has to be called on every rank."""
        if not self.config.is_balanced:
            return
        width = int(self._found[0].module.num_experts)
        device = next(self.model.parameters()).device
        none = torch.zeros(width, dtype=torch.int64, device=device)
        load_LE = torch.stack([none if router.load_E is None else router.load_E for router in self._found])
        dist.all_reduce(load_LE)
        for router, load_E in zip(self._found, load_LE, strict=True):
            router.load_E = None
            if self.config.bias_speed:
                router.bias.copy_(moved_bias(router.bias, load_E, speed=self.config.bias_speed))
        mean_L = load_LE.float().mean(dim=1).clamp(min=1e-20)
        self._sums["load_max"] += float((load_LE.amax(dim=1) / mean_L).mean())
        self._sums["updates"] += 1

    def metrics(self) -> dict[str, float]:
        """Return the measurements since the last call; empty if nothing is balanced. Has to be called on every rank."""
        if not self.config.is_balanced:
            return {}
        sums, updates = self._sums, max(self._sums["updates"], 1.0)
        loss = torch.tensor(sums["loss"], dtype=torch.float64, device=next(self.model.parameters()).device)
        dist.all_reduce(loss)
        self._sums = dict.fromkeys(sums, 0.0)
        found = {"router/load_max": sums["load_max"] / updates}
        return found | ({"router/loss": loss.item() / updates} if self.config.loss_coefficient else {})


def _balance_loss(seen: Sequence[tuple[_Router, torch.Tensor, torch.Tensor]], packed: Packed) -> torch.Tensor:
    """Return the balancing loss of routers with their logits [T, E] and choices [T, K]: softmax routers together,
    sigmoid routers summed over layers."""
    _, logits, chosen = zip(*seen, strict=True)
    if all(router.scoring == "softmax" for router, *_ in seen):
        return switch_loss(logits, chosen)
    lengths_B = packed.layout.starts.diff().long()
    sequence_N = torch.arange(len(lengths_B), device=lengths_B.device).repeat_interleave(lengths_B)
    sequence_T = sequence_N[: packed.num_tokens]
    return torch.stack([sequence_loss(*pair, sequence_T) for pair in zip(logits, chosen, strict=True)]).sum()
