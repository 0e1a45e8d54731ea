"""The exact layer of a publish's verification: what an engine holds has to be made of what it was sent.

    sent:  q, k, v, o, gate, up, down, norms   --content, summed--.
    held:  qkv, o, gate_up, down, norms        --content, summed--'--> equal, for each decoder layer and for the rest

The content of a tensor does not depend on the order of its elements nor on zeros that pad it, so that stacked,
transposed, packed and divided tensors can be compared with their sources without knowing how the engine made them. It
says nothing of the order itself: that is left to the parity probe.

Where an engine makes something else of its weights (another dtype, tensors that were never sent), the sums are not
equal from the start. Then each tensor has to change when its sources did, and not to change when they did not.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from r1ray.errors import WeightSyncError
from r1ray.weights.content import MODULUS, content

PACKED = "r1ray_packed"
"""Attribute of a module that computes with a packed copy of its weight: (what computes, content of that weight)."""
_LAYER = re.compile(r"\.(\d+)\.")

logger = logging.getLogger(__name__)


def contents(model: nn.Module) -> dict[str, int]:
    """The content of each parameter of an engine's model, by name; of shared ones once. A weight of which only a
    packed copy is left has the content of what was packed.

    Raises WeightSyncError where a module computes with something else than its last weight.
    """
    found: dict[str, torch.Tensor] = {}
    computed: dict[tuple[int, int], torch.Tensor] = {}
    checks: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    for path, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            place = parameter.data_ptr(), parameter.numel()
            if parameter.numel() and place not in computed:
                computed[place] = found[f"{path}.{key}"] = content(parameter)
        if not hasattr(module, "cpu_linear"):
            continue
        computing, packed = getattr(module, PACKED, (None, torch.zeros(())))
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        if computing is not module.cpu_linear:
            if module.cpu_linear is not nn.functional.linear:
                raise WeightSyncError(f"{path} computes with weights that no publish has sent")
        elif not weight.numel():
            found[f"{path}.weight"] = packed
        else:
            checks.append((path, packed, computed[weight.data_ptr(), weight.numel()]))
    for path, packed, kept in checks:
        if int(packed) != int(kept):
            raise WeightSyncError(f"{path} computes with a packed copy of other weights than it holds")
    return dict(zip(found, _numbers(found.values()), strict=True))


def shared_names(model: nn.Module) -> frozenset[str]:
    """Names that parameters have beside their first one (a tied output layer)."""
    unique = {name for name, _ in model.named_parameters()}
    return frozenset(name for name, _ in model.named_parameters(remove_duplicate=False) if name not in unique)


@dataclass(slots=True)
class HeldWeights:
    """Compares what one engine holds with what it was sent, round by round: ``begin``, ``arrived`` for each tensor,
    ``check``."""

    model: Any
    dtype: torch.dtype
    """Of the engine's weights."""
    gather: Callable[[dict[str, int]], list[dict[str, int]]] = lambda own: [own]
    """What all parts of an engine that is divided among processes hold."""
    _sent: dict[str, torch.Tensor] = field(default_factory=dict)
    _dtypes: dict[str, torch.dtype] = field(default_factory=dict)
    _before: Contents | None = None
    _exact: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Begin a round."""
        self._sent = {}
        self._dtypes = {name: p.dtype for name, p in self.model.named_parameters() if p.is_floating_point()}

    @property
    def has_arrived(self) -> bool:
        """Say whether the round has brought anything."""
        return bool(self._sent)

    def arrived(self, name: str, tensor: torch.Tensor) -> None:
        """Note a tensor of the round, before it is loaded."""
        self._sent[name] = content(tensor, self._dtypes.get(name, self.dtype))

    def check(self) -> None:
        """End the round. Raises WeightSyncError where the engine holds something else than it was sent; where nothing
        was, than before."""
        held = merged(self.gather(contents(self.model)))
        if not self.has_arrived:
            if self._before is not None and held != self._before.held:
                raise WeightSyncError("the engine does not hold its old weights, though nothing was sent")
            return
        tied = shared_names(self.model)
        sent = dict(zip(self._sent, _numbers(self._sent.values()), strict=True))
        now = Contents({name: value for name, value in sent.items() if name not in tied}, held)
        if wrong := differences(now, self._before, self._exact):
            shown = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
            raise WeightSyncError(f"the engine does not hold what it was sent: {shown}")
        if self._before is None and (inexact := sorted(_by_layer(held).keys() - self._exact)):
            logger.warning("compared by change alone are the weights of decoder layers %s", ", ".join(inexact))
        self._before = now


@dataclass(frozen=True, slots=True)
class Contents:
    """Contents of a round by name."""

    sent: Mapping[str, int]
    held: Mapping[str, int]


def differences(now: Contents, before: Contents | None, exact: set[str]) -> list[str]:
    """Names of what is not as it was sent; empty where all is right.

    Args:
        before: the last round that was right; None before the first.
        exact: decoder layers of which what is held was once equal to what was sent: from then on it has to be. Those
            that are so now are added.
    """
    wrong: list[str] = []
    sent, held = _by_layer(now.sent), _by_layer(now.held)
    for layer, names in held.items():
        sources = sent.get(layer, [])
        if sum(now.held[name] for name in names) % MODULUS == sum(now.sent[name] for name in sources) % MODULUS:
            exact.add(layer)
            continue
        stale = _not_following(now, before, names, sources)
        if layer in exact:
            unlike = [name for name in names if name in now.sent and now.sent[name] != now.held[name]]
            stale = unlike or stale or [f"decoder layer {layer}" if layer else "what is outside of the decoder layers"]
        wrong += stale
    return wrong


def _not_following(now: Contents, before: Contents | None, names: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Name, of the held ``names``, those that did not change although all of their sources did, or did although none
    did. The source of a tensor is the one of its name, else all of the layer that no tensor has the name of."""
    if before is None:
        return []
    stacked = [name for name in sources if name not in now.held]
    wrong = []
    for name in names:
        of = [name] if name in now.sent else stacked
        if not of or name not in before.held or any(source not in before.sent for source in of):
            continue
        changed = {now.sent[source] != before.sent[source] for source in of}
        if len(changed) == 1 and (now.held[name] != before.held[name]) not in changed:
            wrong.append(name)
    return wrong


def merged(parts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Contents of an engine from those of its parts: of a tensor that all who have it hold alike, its content; of one
    that is divided among them, the sum."""
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for part in parts:
        for name, value in part.items():
            by_name[name].append(value)
    return {name: values[0] if len(set(values)) == 1 else sum(values) % MODULUS for name, values in by_name.items()}


def layer_of(name: str) -> str:
    """The number of a tensor's decoder layer, the first number in its name; "" for the others. Engine and learner may
    call what is around it differently."""
    match = _LAYER.search(name)
    return match.group(1) if match else ""


def _by_layer(names: Iterable[str]) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        found[layer_of(name)].append(name)
    return dict(found)


def _numbers(values: Iterable[torch.Tensor]) -> list[int]:
    values = list(values)
    return [int(value) % MODULUS for value in torch.stack(values).tolist()] if values else []
