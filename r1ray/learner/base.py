"""What every learner is: one rank of a group, and a module that DeepSpeed trains.

    fetch(rows), Shard -> for each minibatch: (forward, loss, backward) per micro-batch, then one optimizer update

Plain classes with blocking methods; ``r1ray.cluster`` makes a Ray actor of each rank and calls them in step. Every
method has to be called on every rank, in the same order.
"""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from r1ray.config import LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.errors import NonFiniteLoss, UserError
from r1ray.interfaces import Lent
from r1ray.learner.decoder import recompute_layers
from r1ray.learner.deepspeed_engine import (
    build_engine,
    check_settings,
    device_of,
    join_group,
    sequence_group,
    update,
)
from r1ray.learner.export import export_saved, whole_state, write_settings, write_weights
from r1ray.learner.image_models import keep_other_parts
from r1ray.learner.loading import load_model
from r1ray.learner.lora import add_adapters
from r1ray.learner.routers import Routers
from r1ray.learner.state import SETTINGS, load_state, save_state
from r1ray.learner.writer import StateWriter

logger = logging.getLogger(__name__)


class DeepSpeedLearner:
    """Construction and state; subclasses say what is computed."""

    def __init__(self, config: LearnerConfig, spec: LearnerSpec, rank: RankSpec) -> None:
        torch.set_num_threads(config.threads)
        _seed_everything(spec.seed)
        join_group(rank)
        check_settings(config, world_size=rank.world_size)
        self._config, self._spec, self._rank = config, spec, rank
        self._device = device_of(rank)
        self._sequence_group = sequence_group(rank, size=config.sequence_parallel_size)
        self._writer = StateWriter()
        self._model: Any = None
        self._engine: Any = None
        self._has_said_padding = False
        self._rows: dict[str, Any] = {}
        """What the shard of the next step names."""

    def fetch(self, lent: Lent, names: Sequence[str]) -> list[str]:
        """Read what the next shard names. Returns the names of what is gone. Every rank does this before any of them
        begins to compute: in a collective it would be too late to find out."""
        self._rows = dict(lent.read())
        return [name for name in names if name not in self._rows]

    def _load(self, kind: Any, model: str | None = None, **options: Any) -> Any:
        """The model of the files, see :func:`r1ray.learner.loading.load_model`.

        Args:
            model: None: the one that is trained.
        """
        model, world_size = model or self._spec.model, self._rank.world_size
        return load_model(kind, model, self._config, world_size=world_size, device=self._device, **options)

    def _prepare(self, model: Any) -> Any:
        """A transformers model ready to be trained: adapters in, and nothing left to chance."""
        size, text = self._config.sequence_parallel_size, model.config.get_text_config()
        heads = int(getattr(text, "num_key_value_heads", None) or getattr(text, "num_attention_heads", None) or 1)
        if heads % size:
            raise UserError(
                f"learner.sequence_parallel_size={size} does not divide the {heads} key-value heads of "
                f"model={self._spec.model}, which its ranks share out: needs a divisor of {heads}."
            )
        keep_other_parts(model, self._config.lora, named=f"model={self._spec.model}")
        if self._config.lora.rank:
            add_adapters(model, self._config.lora)
        if self._config.gradient_checkpointing:
            recompute_layers(model)
        # Ratios compare probabilities of one function: dropout, layers left out and noise on routers would make it
        # another one at every call, and models know of them in more places than their modules.
        return model.eval()

    def _start(self, module: Any, model: Any) -> None:
        """Hand ``module``, which computes with ``model``, to DeepSpeed."""
        self._decoder = module.decoder
        self._model = model
        self._routers = Routers(model, self._config.router)
        self._engine = build_engine(
            module, self._config, world_size=self._rank.world_size, num_updates=self._spec.num_updates
        )

    # ------------------------------------------------------------------ training

    @property
    def _is_first_of_row(self) -> bool:
        """Of the ranks that compute a row together, the one whose metrics count."""
        return self._rank.rank % self._config.sequence_parallel_size == 0

    def _backward(self, loss: torch.Tensor) -> None:
        # DeepSpeed averages gradients over ranks; the weights in the loss already hold the global denominators.
        self._engine.backward(loss * self._rank.world_size)

    def _update(self, losses: Sequence[tuple[torch.Tensor, tuple[str, ...]]]) -> float:
        """One optimizer update; returns the norm of the gradient.

        Args:
            losses: of each micro-batch of this rank, with the names of what is in it.

        Raises NonFiniteLoss, on every rank and before anything is changed, where any rank has a loss that is not
        finite: else the others would wait for this one in the update. R1RayError, likewise, where the gradient is not.
        """
        bad = [names for loss, names in losses if not torch.isfinite(loss).item()]
        is_bad = torch.tensor(float(bool(bad)), device=self._device)
        dist.all_reduce(is_bad, op=dist.ReduceOp.MAX)
        if is_bad.item():
            by_rank: list[list[tuple[str, ...]]] = [[]] * self._rank.world_size
            dist.all_gather_object(by_rank, bad)
            raise NonFiniteLoss(tuple(sorted({name for rank in by_rank for names in rank for name in names})))
        norm = update(self._engine)
        self._routers.after_update()
        return norm

    def _sum_over_ranks(self, sums: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
        """What was added up on every rank that counts."""
        own = [sums.get(name, 0.0) * self._is_first_of_row for name in names]
        totals = torch.tensor(own, dtype=torch.float64, device=self._device)
        dist.all_reduce(totals)
        return dict(zip(names, totals.tolist(), strict=True))

    def _say_padding(self, trained: int, computed: int) -> None:
        """Log once what rows that are not packed cost."""
        if self._decoder.path != "packed" and trained and not self._has_said_padding:
            self._has_said_padding = True
            logger.warning(
                "model=%s: %.2f tokens are computed for each that is trained on", self._spec.model, computed / trained
            )

    # ------------------------------------------------------------------ files

    def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        """See :class:`r1ray.interfaces.Learner`."""
        save_state(self._engine, folder, model=self._spec.model, writer=self._writer if asynchronous else None)
        if self._rank.rank == 0:
            write = partial(write_settings, self._model, folder / SETTINGS, source=self._spec.model)
            self._writer.run(write) if asynchronous else write()

    def written(self) -> bool:
        """Whether everything that was saved is on disk; raises what went wrong in writing it."""
        return self._writer.is_done()

    def load(self, folder: Path) -> None:
        """What :meth:`save` wrote, also where another number of ranks did."""
        self._writer.wait()
        load_state(self._engine, folder, model=self._spec.model)

    def export(self, folder: Path, *, checkpoint: Path | None = None) -> None:
        """See :class:`r1ray.interfaces.Learner`. Adapters are merged, or written alone (``learner.lora.export``).
        Rank 0 writes, and holds the whole model in host memory meanwhile."""
        as_adapter = self._config.lora.export == "adapter"
        if checkpoint is None:
            state = whole_state(self._model)
            if self._rank.rank == 0:
                write_settings(self._model, folder, source=self._spec.model)
                write_weights(folder, state, as_adapter=as_adapter)
        elif self._rank.rank == 0:
            export_saved(checkpoint, folder, as_adapter=as_adapter)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
