"""The GRPO learner: one rank of the group. See :mod:`r1ray.learner.base`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from r1ray.algo.aggregation import row_sums
from r1ray.algo.kl import kl_estimate
from r1ray.algo.variants.kl_in_reward import kl_advantages
from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.config.specs import LearnerSpec, RankSpec
from r1ray.learner.base import DeepSpeedLearner
from r1ray.learner.deepspeed_engine import AdapterStream, ParameterStream
from r1ray.learner.fitting import Part, fill_up, within_limit
from r1ray.learner.kl_reference import AdaptersOff, FrozenReference, NoReference
from r1ray.learner.offload import Offload
from r1ray.learner.packed import Packed, pack_sequences
from r1ray.learner.policy import PolicyModel, check_policy
from r1ray.learner.rows import Rows, charge_kl, make_rows, microbatch_loss
from r1ray.learner.teachers import Teachers
from r1ray.runtime.model_class import auto_class
from r1ray.telemetry.learned import Learned, learned_of
from r1ray.types import Float32Array, Int32Array, Minibatch, SampleRef, Shard, StepStats
from r1ray.weights.publisher import Sender, open_sender
from r1ray.weights.snapshot import SnapshotPlace
from r1ray.weights.snapshot_file import SnapshotWriter
from r1ray.weights.stream import WeightStream

SUMS = (
    *("loss", "policy", "kl", "kl_tokens", "clipped", "entropy", "tokens"),
    *("mismatch", "mismatch_tokens", "fresh_mismatch", "fresh_difference", "fresh_tokens"),
    *("trained_tokens", "needed_tokens", "computed_tokens"),
)
"""What is added up over micro-batches and ranks."""


@dataclass(eq=False)
class _Step:
    """Sums over the minibatches of a step."""

    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    norms: list[float] = field(default_factory=list)
    """Of the gradient of each update."""
    num_distinct: int = 0
    """Tokens of all ranks, with the prompt of each group once."""
    worst: tuple[float, float] = (0.0, 0.0)
    """Largest mismatch over all and over fresh tokens."""


class GRPOLearner(DeepSpeedLearner):
    """Trains a policy on groups of scored trajectories, and publishes it."""

    def __init__(self, config: LearnerConfig, algo: AlgoConfig, spec: LearnerSpec, rank: RankSpec) -> None:
        super().__init__(config, spec, rank)
        self._algo = algo
        model = self._load(auto_class(spec.model))
        policy = PolicyModel(
            self._prepare(model),
            sequence_group=self._sequence_group,
            entropy_has_gradient=algo.entropy_coefficient > 0,
        )
        self._reference = self._make_reference(policy)
        self._start(policy, model)
        policy.take_choices = self._routers.use
        path = check_policy(
            self._engine,
            name=spec.model,
            device=self._device,
            multiple=config.sequence_parallel_size,
            packs_trees=config.packing == "tree" and not config.router.is_used,
        )
        self._routers.check_path(path)
        self._teachers = Teachers(
            algo.teacher.models,
            lambda model: self._load(auto_class(model), model),
            config,
            world_size=rank.world_size,
            temperature=algo.temperature,
            device=self._device,
            sequence_group=self._sequence_group,
            packs_trees=self._decoder.packs_trees,
        )
        frozen = [*self._reference.modules, *self._teachers.modules]
        self._offload = Offload(self._engine, config, frozen, what=spec.offload)
        self._sender: Sender | None = None
        self._snapshots = SnapshotWriter()
        self._step = _Step()
        self._learned: dict[str, Learned] = {}  # by trajectory, of the step

    def _make_reference(self, policy: PolicyModel) -> NoReference | AdaptersOff | FrozenReference:
        if self._algo.kl_coefficient == 0:
            return NoReference()
        if self._config.lora.rank:
            return AdaptersOff(policy, self._logprobs_now)
        return FrozenReference(
            policy,
            PolicyModel(self._load(auto_class(self._spec.model)), sequence_group=self._sequence_group),
            self._config,
            rank=self._rank.rank,
            world_size=self._rank.world_size,
            temperature=self._algo.temperature,
            device=self._device,
        )

    # ------------------------------------------------------------------ training

    def train(self, shard: Shard, has_more: bool = False) -> StepStats:
        """Train on trajectories that were fetched: each minibatch is one optimizer update.

        Args:
            has_more: the step goes on with another call.

        Returns the metrics of all ranks together, over all calls of the step so far.
        """
        assert self._offload.on_device == "all", "it trains while its state is away"
        parts = self._parts(shard)
        rows = [[micro for _, micro in minibatch] for minibatch in parts]
        sums, norms = self._step.sums, self._step.norms
        if not norms:
            self._learned = {}
        if self._charges_kl:
            rows = self._charge_kl(rows, sums)
        old: list[list[torch.Tensor | None]] = [[None] * len(micro) for micro in rows]  # log pi_old of the learner
        if self._algo.is_old_recomputed:
            # Of the first minibatch it is what the training pass finds; the others need one before the first update.
            old[1:] = [[self._logprobs_now(micro.packed) for micro in minibatch] for minibatch in rows[1:]]
        for index, minibatch in enumerate(shard.minibatches):
            is_first = not norms
            losses = []
            for (samples, _), micro, old_logp in zip(parts[index], rows[index], old[index], strict=True):
                loss, logp = self._learn(samples, micro, old_logp, minibatch, sums, is_first=is_first)
                losses.append((loss, micro.group_ids))
                found, num_updates = (logp, len(norms)) if old_logp is None else (old_logp, 0)
                self._note_learned(samples, micro, found, num_updates=num_updates)
                if not num_updates:
                    self._step.worst = _add_mismatch(sums, micro, found, self._step.worst)
            norms.append(self._update(losses))
        everything = [micro for minibatch in rows for micro in minibatch]
        trained = [sample for minibatch in parts for samples, _ in minibatch for sample in samples]
        sums["trained_tokens"] += sum(sample.num_tokens for sample in trained)
        sums["needed_tokens"] += sum(micro.num_tokens for micro in everything)
        self._step.num_distinct += sum(minibatch.num_distinct_tokens for minibatch in shard.minibatches)
        sums["computed_tokens"] += sum(self._decoder.num_computed(micro.packed) for micro in everything)
        stats = self._stats(self._step)
        if not has_more:
            stats.metrics.update(self._routers.metrics())
            self._step = _Step()
        return stats

    def _parts(self, shard: Shard) -> list[list[Part]]:
        """Return the micro-batches of each minibatch, none of which exceeds the limit."""
        config = self._config
        make = partial(
            make_rows,
            trajectories=self._rows,
            learner_version=shard.learner_version,
            device=self._device,
            multiple=config.sequence_parallel_size,
            as_tree=self._decoder.packs_trees,
            max_tokens=config.max_tokens_per_microbatch,
        )
        if config.packing == "flat":
            return [[(samples, make(samples)) for samples in each.microbatches] for each in shard.minibatches]
        found = [
            [within_limit(samples, make, max_tokens=config.max_tokens_per_microbatch) for samples in each.microbatches]
            for each in shard.minibatches
        ]
        fill_up([parts for microbatches in found for parts in microbatches], make, device=self._device)
        return [[part for parts in microbatches for part in parts] for microbatches in found]

    def _learn(
        self,
        samples: Sequence[SampleRef],
        micro: Rows,
        old_logp: torch.Tensor | None,
        minibatch: Minibatch,
        sums: defaultdict[str, float],
        *,
        is_first: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward, loss and backward of one micro-batch. Returns its part of the loss, and log pi_theta, detached.

        Args:
            is_first: no update of the step was made yet.
        """
        ref_logp = None if self._charges_kl else self._reference.logprobs(micro.packed)
        taught = self._teachers.logprobs(samples, self._rows) if self._teachers.modules else None
        with self._routers.recording():
            logp, entropy = self._engine(micro.packed, self._algo.temperature)
        if is_first and self._algo.is_old_recomputed:
            old_logp = logp.detach()  # rho is 1 exactly
        loss, parts = microbatch_loss(
            logp,
            micro,
            minibatch,
            self._algo,
            prox_logp_N=old_logp,
            ref_logp_N=ref_logp,
            entropy_N=entropy,
            teacher_logp_N=None if taught is None else taught.beside(logp),
        )
        loss = loss + self._routers.balance(micro.packed, share=len(micro.group_ids) / minibatch.num_sequences)
        self._backward(loss)
        if not micro.is_empty:
            sums["loss"] += loss.item()
            sums["entropy"] += entropy.detach().sum().item()
            sums["tokens"] += len(logp)
            for name, value in parts.items():
                sums[name] += value.item()
            if taught is not None:
                for name, number in self._teachers.kl_sums(taught, logp).items():
                    sums[name] += number
        return loss.detach(), logp.detach()

    def _note_learned(self, samples: Sequence[SampleRef], micro: Rows, logp: torch.Tensor, *, num_updates: int) -> None:
        if self._is_first_of_row and not micro.is_empty:
            found, ids = logp.float().cpu().numpy(), [sample.id for sample in samples]
            self._learned |= learned_of(ids, found, micro.lengths_B.tolist(), num_updates=num_updates)

    def learned(self) -> dict[str, Learned]:
        """Return log p of the tokens that this rank has trained on in the last step, by trajectory, and once: by the
        policy before the step where that was computed, else by the one that the updates before had made."""
        found, self._learned = self._learned, {}
        return found

    @property
    def _charges_kl(self) -> bool:
        return self._algo.kl_coefficient > 0 and self._algo.kl_placement == "reward"

    def _charge_kl(self, rows: list[list[Rows]], sums: defaultdict[str, float]) -> list[list[Rows]]:
        """Take beta times each output's KL, of the policy that sampled it, off its reward: groups lie across
        minibatches and ranks, so that every rank needs the sums of all."""
        algo = self._algo
        own: list[tuple[str, float]] = []
        for micro in (micro for minibatch in rows for micro in minibatch):
            ref_logp = self._reference.logprobs(micro.packed)
            assert ref_logp is not None
            kl = kl_estimate(micro.rollout_logp_N, ref_logp, estimator=algo.kl_estimator, clamp=algo.kl_clamp)
            if not micro.is_empty:
                sums["kl_tokens"] += kl.sum().item()
                own += zip(micro.group_ids, row_sums(kl.double(), micro.lengths_B).tolist(), strict=True)
        by_rank: list[list[tuple[str, float]]] = [[] for _ in range(self._rank.world_size)]
        dist.all_gather_object(by_rank, own)
        by_shard = by_rank[:: self._config.sequence_parallel_size]  # ranks that share rows found the same
        everyone = kl_advantages([row for shard in by_shard for row in shard], baseline=algo.advantage_baseline)
        start = sum(len(shard) for shard in by_shard[: self._rank.rank // self._config.sequence_parallel_size])
        mine = iter(everyone[start : start + len(own)])
        return [
            [
                charge_kl(micro, [next(mine) for _ in micro.group_ids], coefficient=algo.kl_coefficient)
                for micro in minibatch
            ]
            for minibatch in rows
        ]

    def _logprobs_now(self, packed: Packed) -> torch.Tensor:
        with torch.no_grad():
            logp, _ = self._engine(packed, self._algo.temperature)
        assert isinstance(logp, torch.Tensor)
        return logp

    def _stats(self, step: _Step) -> StepStats:
        total, norms = self._sum_over_ranks(dict(step.sums), [*SUMS, *self._teachers.sums]), step.norms
        largest = torch.tensor(step.worst, dtype=torch.float64, device=self._device)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        updates, tokens = max(len(norms), 1), max(total["tokens"], 1.0)
        metrics = {
            "loss/policy": total["policy"] / updates,
            "loss/total": total["loss"] / updates,
            "kl/ref": total["kl_tokens"] / tokens,
            "clip_fraction": total["clipped"] / tokens,
            "entropy": total["entropy"] / tokens,
            "grad_norm": sum(norms) / updates,
            "lr": float(self._engine.get_lr()[0]),
        }
        if not self._algo.kl_coefficient:
            del metrics["kl/ref"]
        metrics |= self._teachers.metrics(total)
        metrics["mismatch/kl"] = total["mismatch"] / max(total["mismatch_tokens"], 1.0)
        metrics["mismatch/max_logprob_diff"] = largest[0].item()
        if total["fresh_tokens"]:
            metrics["mismatch/fresh_max_logprob_diff"] = largest[1].item()
            metrics["mismatch/fresh_mean_logprob_diff"] = total["fresh_difference"] / total["fresh_tokens"]
            metrics["mismatch/fresh_kl"] = total["fresh_mismatch"] / total["fresh_tokens"]
        trained, computed = int(total["trained_tokens"]), int(total["computed_tokens"])
        self._say_padding(trained, computed)
        if step.num_distinct:
            metrics["learner/computed_over_distinct"] = computed / step.num_distinct
        return StepStats(metrics, trained_tokens=trained, padding_tokens=computed - int(total["needed_tokens"]))

    def refresh_reference(self) -> None:
        self._reference.refresh()

    # ------------------------------------------------------------------ turns on a shared device

    def come_back(self) -> None:
        """See :meth:`Offload.come_back`."""
        self._offload.come_back()

    def step_aside(self) -> None:
        """See :meth:`Offload.step_aside`."""
        self._offload.step_aside()

    def leave(self) -> None:
        """See :meth:`Offload.leave`."""
        self._offload.leave()

    # ------------------------------------------------------------------ weights out

    def connect(self, client: Any, *, world_size: int, **link: Any) -> None:
        """Meet the engines behind ``client``, ``world_size`` - 1 vLLM workers, as a new group; ``link`` as of
        :func:`r1ray.weights.publisher.open_sender`."""
        if self._sender is None:
            self._sender = open_sender(self._stream, rank=self._rank.rank, **link)
        self._sender.connect(client, world_size=world_size)

    @property
    def _stream(self) -> WeightStream:
        if self._spec.publishes_adapters:
            return AdapterStream(self._model, self._config.lora)
        return ParameterStream(self._model)

    def send_weights(self, place: SnapshotPlace | None = None) -> tuple[int, str]:
        """One publish, which is written to ``place`` too. Returns the bytes sent, and what kept it from that."""
        assert self._sender is not None and self._offload.on_device != "nothing"
        problem = self._sender.send_weights(place)
        return sum(meta.num_bytes for meta in self._stream.metadata()), problem

    def write_weights(self, place: SnapshotPlace) -> tuple[int, str]:
        """Write the snapshot and send nothing: engines take it from there. Returns the bytes, and what kept it from
        that."""
        assert self._offload.on_device != "nothing"
        problem = ""
        if self._rank.rank == 0:
            problem = self._snapshots.write(self._stream, place)
        else:
            for _ in self._stream:  # gathering takes every rank
                pass
        return sum(meta.num_bytes for meta in self._stream.metadata()), problem

    def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        """See :class:`r1ray.interfaces.Learner`."""
        assert self._offload.on_device != "nothing", "it computes while its parameters are away"
        rows = [(torch.from_numpy(ids.astype("int64")), torch.arange(len(ids)) > 0) for ids in sequences]
        packed = pack_sequences(rows, device=self._device, multiple=self._config.sequence_parallel_size)
        with torch.no_grad():
            logp, _ = self._engine(packed, 1.0)
        return np.asarray(logp.float().cpu().numpy(), dtype=np.float32)

    # ------------------------------------------------------------------ files

    def save(self, folder: Path, *, asynchronous: bool = False) -> None:
        """Everything that a resumed run needs of this rank, the reference too."""
        super().save(folder, asynchronous=asynchronous)
        self._reference.save(folder, writer=self._writer if asynchronous else None)

    def load(self, folder: Path) -> None:
        """What :meth:`save` wrote."""
        super().load(folder)
        self._reference.load(folder)


def _add_mismatch(
    sums: defaultdict[str, float], micro: Rows, logp: torch.Tensor, worst: tuple[float, float]
) -> tuple[float, float]:
    """Add KL(rollout || learner), estimated by k3, of a micro-batch: over all tokens, and over the fresh ones alone,
    which the learner's own version sampled, so that only numerics can differ. Of these, absolute differences of
    log-probabilities too. Returns the largest difference so far, over all and over fresh tokens."""
    if micro.is_empty:
        return worst
    difference = (logp - micro.rollout_logp_N).double()
    fresh = difference[micro.fresh_N]
    for name, values in (("mismatch", difference), ("fresh_mismatch", fresh)):
        sums[name] += float((torch.exp(values) - values - 1.0).sum())
    sums["mismatch_tokens"] += difference.numel()
    sums["fresh_tokens"] += fresh.numel()
    sums["fresh_difference"] += float(fresh.abs().sum())
    largest_fresh = float(fresh.abs().max()) if fresh.numel() else 0.0
    return max(worst[0], float(difference.abs().max())), max(worst[1], largest_fresh)
