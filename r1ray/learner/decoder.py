"""A model's decoder over many sequences: packed in one row if its layers keep them apart, otherwise in padded rows.

    Packed --packed--> one row, attention within each sequence            \\
                                                                            hidden states in the order of the row
    Packed --padded--> a batch of rows for each group of similar length   /
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from r1ray.errors import UserError
from r1ray.learner.attention import PACKED, ROWS
from r1ray.learner.packed import Packed

Path = Literal["packed", "padded", "eager"]
ATTENTION: dict[Path, str] = {"packed": PACKED, "padded": ROWS, "eager": "eager"}


def decoder_of(model: Any) -> Any:
    """Return the part of a causal language model that computes hidden states from token ids."""
    found = model.get_decoder()
    while found.get_output_embeddings() is not None:  # Llama 4 names its decoder otherwise, and gives the whole model
        found = next(part for part in found.children() if isinstance(part, PreTrainedModel))
    return found


class Decoder:
    """Calls the decoder of a transformers model, which stays the owner of its parameters."""

    def __init__(self, model: Any, body: Any, *, sequence_group: Any = None) -> None:
        """
        Args:
            body: the part of ``model`` that computes hidden states from token ids.
            sequence_group: ranks that share the tokens of each row (Ulysses), which needs the packed path.
        """
        self._model, self._body, self._group = model, body, sequence_group
        self.packs_trees = False
        """True if sequences may be given as a tree; set by the check at the start."""
        self.use("packed" if self.can("packed") or self.is_split else "padded")

    @property
    def is_split(self) -> bool:
        """Return whether ranks share the tokens of a row."""
        return self._group is not None

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype of the parameters."""
        parameter: torch.Tensor = next(self._model.parameters())
        return parameter.dtype

    def can(self, path: Path) -> bool:
        """Return whether a path can be tried. A decoder that takes no positions and passes no arguments on to its
        layers cannot be told where sequences begin."""
        if path != "packed":
            return not self.is_split
        accepted = inspect.signature(self._body.forward).parameters
        return "position_ids" in accepted and any(each.kind is each.VAR_KEYWORD for each in accepted.values())

    def use(self, path: Path) -> None:
        """Compute by this path from now on."""
        self.path: Path = path
        if self._model._can_set_attn_implementation():  # otherwise it only warns, repeatedly
            self._model.set_attn_implementation(ATTENTION[path])

    def num_computed(self, packed: Packed) -> int:
        """Count the computed tokens, padding included."""
        if self.path == "packed":
            return len(packed.input_ids_N)
        return sum(group.place_BT.numel() for group in packed.layout.groups)

    def hidden(self, packed: Packed, part: slice) -> torch.Tensor:
        """Return the hidden states [n, H] of the tokens within ``part`` of the row."""
        if self.path != "packed":
            return self._padded(packed)[part]
        found: torch.Tensor = self._body(
            input_ids=packed.input_ids_N[part].unsqueeze(0),
            position_ids=packed.position_ids_N[part].unsqueeze(0),
            use_cache=False,
            layout=packed.layout,
            sequence_group=self._group,
        )[0]
        return found[0]

    def _padded(self, packed: Packed) -> torch.Tensor:
        """Compute a batch of rows for each group of similar length. There is no mask: padding comes last, and no layer
        of a causal model looks ahead."""
        groups = packed.layout.groups
        num_calls = self._num_calls(len(groups), device=packed.input_ids_N.device)
        outs = [self._rows(packed.input_ids_N[group.place_BT])[group.real_BT] for group in groups]
        nothing = torch.zeros(1, 2, dtype=torch.int64, device=packed.input_ids_N.device)
        outs += [self._rows(nothing)[0] for _ in range(num_calls - len(groups))]
        return torch.cat(outs)[packed.layout.inverse_N]

    def _rows(self, ids_BT: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._body(input_ids=ids_BT, use_cache=False)[0]
        return found

    def _num_calls(self, own: int, *, device: torch.device) -> int:
        """Return the number of calls that every rank makes: under ZeRO 3 each call gathers the parameters of all
        layers. Must be called before the first call of the decoder, so that all ranks do everything in the same
        order."""
        if not hasattr(next(self._model.parameters()), "ds_id"):
            return own
        most = torch.tensor(own, device=device)
        dist.all_reduce(most, op=dist.ReduceOp.MAX)
        return int(most)

    def own_logits(self, ids_1T: torch.Tensor) -> torch.Tensor:
        """Return the logits of one sequence, as computed by the model in transformers."""
        path = self.path
        self.use("eager")
        try:
            logits: torch.Tensor = self._model(input_ids=ids_1T, use_cache=False).logits
        finally:
            self.use(path)
        return logits


def recompute_layers(model: Any) -> None:
    """Drop the activations of a model's layers after the forward pass, and recompute them in the backward pass.
    (transformers does so only for a model in training mode, with its dropout.) Raises UserError."""
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(
            f"learner.gradient_checkpointing=true: {type(model).__name__} has no layers that can be recomputed; "
            "needs false."
        )
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False, preserve_rng_state=False)
