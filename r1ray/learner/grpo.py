"""The GRPO learner: one rank of the group.

    Shard + chunks -> for each minibatch: (forward, loss, backward) per micro-batch, then one optimizer update

A plain class with blocking methods; ``r1ray.cluster`` makes a Ray actor of each rank and calls them in step.
"""

from __future__ import annotations

import math
import os
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM, AutoTokenizer

from r1ray.algo.advantage import kl_advantages
from r1ray.algo.aggregation import row_sums
from r1ray.algo.kl import kl_estimate
from r1ray.config import AlgoConfig, LearnerConfig
from r1ray.errors import R1RayError
from r1ray.learner.deepspeed_engine import ParameterStream, build_engine, device_of, grad_norm, join_group
from r1ray.learner.policy import PolicyModel, check_head
from r1ray.learner.reference import FrozenReference, NoReference
from r1ray.learner.rows import Rows, charge_kl, make_rows, microbatch_loss
from r1ray.specs import LearnerSpec, RankSpec
from r1ray.types import Completion, Float32Array, Int32Array, Minibatch, Shard, StepStats
from r1ray.weights.publisher import open_sender

STATE_TAG = "learner"
SUMS = (
    *("loss", "policy", "kl", "kl_tokens", "clipped", "entropy", "tokens"),
    *("mismatch", "mismatch_tokens", "fresh_tokens", "trained_tokens", "computed_tokens"),
)
"""What is added up over micro-batches and ranks."""


class GRPOLearner:
    """One rank. Every method has to be called on every rank, in the same order."""

    def __init__(self, config: LearnerConfig, algo: AlgoConfig, spec: LearnerSpec, rank: RankSpec) -> None:
        torch.set_num_threads(config.threads)
        _seed_everything(spec.seed)
        join_group(rank)
        self._config, self._algo, self._spec, self._rank = config, algo, spec, rank
        self._device = device_of(rank)
        model = AutoModelForCausalLM.from_pretrained(spec.model, dtype=torch.float32, attn_implementation="sdpa")
        model.config.use_cache = False
        check_head(model, spec.model)
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        policy = PolicyModel(model).train()
        _turn_dropout_off(policy)
        self._reference: FrozenReference | NoReference = NoReference()
        if algo.kl_coefficient > 0:
            self._reference = FrozenReference(
                policy, config, world_size=rank.world_size, temperature=algo.temperature, device=self._device
            )
        self._engine = build_engine(policy, config, world_size=rank.world_size, num_updates=spec.num_updates)
        self._model = model
        self._sender: Any = None

    # ------------------------------------------------------------------ training

    def train(self, shard: Shard, *chunks: tuple[Completion, ...]) -> StepStats:
        """One step: each minibatch is one optimizer update. Returns figures of all ranks together."""
        rows = [
            [
                make_rows(picks, chunks, learner_version=shard.learner_version, device=self._device)
                for picks in minibatch.microbatches
            ]
            for minibatch in shard.minibatches
        ]
        sums: defaultdict[str, float] = defaultdict(float)
        if self._charges_kl:
            rows = self._charge_kl(rows, sums)
        prox: list[list[torch.Tensor | None]] = [[None] * len(micro) for micro in rows]
        worst = (0.0, 0.0)
        if self._algo.resolved_correction != "none":
            # pi_theta before the first update: the centre of the clip, and the numerator of the importance weights.
            prox = [[self._logprobs_now(micro) for micro in minibatch] for minibatch in rows]
            for minibatch_rows, minibatch_prox in zip(rows, prox, strict=True):
                for micro, logp in zip(minibatch_rows, minibatch_prox, strict=True):
                    assert logp is not None
                    worst = _add_mismatch(sums, micro, logp, worst)
        norms = []
        for index, minibatch in enumerate(shard.minibatches):
            losses = []
            for micro, prox_logp in zip(rows[index], prox[index], strict=True):
                loss, logp = self._backward(micro, prox_logp, minibatch, sums)
                losses.append(loss)
                if index == 0 and prox_logp is None:
                    worst = _add_mismatch(sums, micro, logp, worst)
            _refuse_nan(losses, rows[index])
            self._engine.step()
            norms.append(grad_norm(self._engine))
        everything = [micro for minibatch in rows for micro in minibatch]
        sums["trained_tokens"] = sum(micro.num_tokens for micro in everything)
        sums["computed_tokens"] = sum(micro.input_ids_BT.numel() for micro in everything if not micro.is_empty)
        return self._stats(dict(sums), worst, norms, shard)

    def _backward(
        self, micro: Rows, prox_logp: torch.Tensor | None, minibatch: Minibatch, sums: defaultdict[str, float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Forward, loss and backward of one micro-batch. Returns its part of the loss, and log pi_theta, detached."""
        logp, entropy = self._engine(micro.input_ids_BT, micro.completion_mask_BT, self._algo.temperature)
        ref_logp = None
        if not self._charges_kl:
            ref_logp = self._reference.logprobs(micro.input_ids_BT, micro.completion_mask_BT)
        loss, parts = microbatch_loss(logp, micro, minibatch, self._algo, prox_logp_N=prox_logp, ref_logp_N=ref_logp)
        # DeepSpeed averages gradients over ranks; the weights already hold the global denominators.
        self._engine.backward(loss * self._rank.world_size)
        if not micro.is_empty:
            sums["loss"] += loss.item()
            sums["entropy"] += entropy.sum().item()
            sums["tokens"] += len(logp)
            for name, value in parts.items():
                sums[name] += value.item()
        return loss.detach(), logp.detach()

    @property
    def _charges_kl(self) -> bool:
        return self._algo.kl_coefficient > 0 and self._algo.kl_placement == "reward"

    def _charge_kl(self, rows: list[list[Rows]], sums: defaultdict[str, float]) -> list[list[Rows]]:
        """Take beta times each output's KL, of the policy that sampled it, off its reward: groups lie across
        minibatches and ranks, so that every rank needs the sums of all."""
        algo = self._algo
        own: list[tuple[str, float]] = []
        for micro in (micro for minibatch in rows for micro in minibatch):
            ref_logp = self._reference.logprobs(micro.input_ids_BT, micro.completion_mask_BT)
            assert ref_logp is not None
            kl = kl_estimate(micro.rollout_logp_N, ref_logp, estimator=algo.kl_estimator, clamp=algo.kl_clamp)
            if not micro.is_empty:
                sums["kl_tokens"] += kl.sum().item()
                own += zip(micro.occurrences, row_sums(kl.double(), micro.lengths_B).tolist(), strict=True)
        by_rank: list[list[tuple[str, float]]] = [[] for _ in range(self._rank.world_size)]
        dist.all_gather_object(by_rank, own)
        everyone = kl_advantages([row for rank in by_rank for row in rank], baseline=algo.advantage_baseline)
        start = sum(len(rank) for rank in by_rank[: self._rank.rank])
        mine = iter(everyone[start : start + len(own)])
        return [
            [
                charge_kl(micro, [next(mine) for _ in micro.occurrences], coefficient=algo.kl_coefficient)
                for micro in minibatch
            ]
            for minibatch in rows
        ]

    def _logprobs_now(self, micro: Rows) -> torch.Tensor:
        with torch.no_grad():
            logp, _ = self._engine(micro.input_ids_BT, micro.completion_mask_BT, self._algo.temperature)
        assert isinstance(logp, torch.Tensor)
        return logp

    def _stats(self, sums: dict[str, float], worst: tuple[float, float], norms: list[float], shard: Shard) -> StepStats:
        names = SUMS
        totals = torch.tensor([sums.get(name, 0.0) for name in names], dtype=torch.float64, device=self._device)
        largest = torch.tensor(worst, dtype=torch.float64, device=self._device)
        dist.all_reduce(totals)
        dist.all_reduce(largest, op=dist.ReduceOp.MAX)
        total = dict(zip(names, totals.tolist(), strict=True))
        updates, tokens = max(len(shard.minibatches), 1), max(total["tokens"], 1.0)
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
        metrics["mismatch/kl"] = total["mismatch"] / max(total["mismatch_tokens"], 1.0)
        metrics["mismatch/max_logprob_diff"] = largest[0].item()
        if total["fresh_tokens"]:
            metrics["mismatch/fresh_max_logprob_diff"] = largest[1].item()
        trained = int(total["trained_tokens"])
        return StepStats(metrics, trained_tokens=trained, padding_tokens=int(total["computed_tokens"]) - trained)

    def refresh_reference(self) -> None:
        self._reference.refresh()

    # ------------------------------------------------------------------ weights out

    def connect(self, client: Any, **link: Any) -> None:
        """Open the way to the engines behind ``client``; see :func:`r1ray.weights.publisher.open_sender`."""
        self.disconnect()
        self._sender = open_sender(ParameterStream(self._model), client, rank=self._rank.rank, **link)

    def disconnect(self) -> None:
        if self._sender is not None:
            self._sender.shutdown()
            self._sender = None

    def send_weights(self) -> int:
        """One publish. Returns the bytes sent."""
        self._sender.send_weights()
        return sum(meta.num_bytes for meta in ParameterStream(self._model).metadata())

    def logprobs(self, token_ids: Int32Array) -> Float32Array:
        """[T-1] float32, see :class:`r1ray.interfaces.Learner`."""
        ids = torch.from_numpy(token_ids.astype("int64")).unsqueeze(0).to(self._device)
        mask = torch.ones_like(ids, dtype=torch.bool)
        mask[:, 0] = False
        with torch.no_grad():
            logp, _ = self._engine(ids, mask, 1.0)
        return np.asarray(logp.float().cpu().numpy(), dtype=np.float32)

    # ------------------------------------------------------------------ files

    def save(self, folder: Path) -> None:
        """Parameters, optimizer, scheduler, rng and reference of this rank."""
        rng = {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": np.random.get_state()}
        self._engine.save_checkpoint(str(folder), tag=STATE_TAG, client_state={"rng": rng})
        self._reference.save(folder, rank=self._rank.rank)

    def load(self, folder: Path) -> None:
        found, client_state = self._engine.load_checkpoint(str(folder), tag=STATE_TAG)
        if found is None:
            raise R1RayError(f"{folder} holds no learner state of {self._rank.world_size} ranks")
        self._reference.load(folder, rank=self._rank.rank)
        rng = client_state["rng"]
        torch.set_rng_state(rng["torch"])
        random.setstate(rng["python"])
        np.random.set_state(rng["numpy"])

    def export(self, folder: Path) -> None:
        """Hugging Face safetensors and tokenizer; rank 0 writes."""
        is_writer = self._rank.rank == 0
        state = {}
        for name, tensor in ParameterStream(self._model):
            if is_writer:
                state[name] = tensor.cpu().clone()
        if not is_writer:
            return
        if self._model.config.tie_word_embeddings:
            state.pop("lm_head.weight", None)
        self._model.save_pretrained(folder, state_dict=state)
        AutoTokenizer.from_pretrained(self._spec.model).save_pretrained(folder)


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _turn_dropout_off(module: torch.nn.Module) -> None:
    """Ratios compare probabilities of one function; dropout would make it another one at every call."""
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0


def _add_mismatch(
    sums: defaultdict[str, float], micro: Rows, logp: torch.Tensor, worst: tuple[float, float]
) -> tuple[float, float]:
    """Add KL(rollout || learner), estimated by k3 on all tokens of a micro-batch. Returns the largest absolute
    difference of log-probabilities so far: over all tokens, and over those that the learner's own version sampled,
    where only numerics can differ."""
    if micro.is_empty:
        return worst
    difference = (logp - micro.rollout_logp_N).double()
    fresh = difference[micro.fresh_N].abs()
    sums["mismatch"] += float((torch.exp(difference) - difference - 1.0).sum())
    sums["mismatch_tokens"] += difference.numel()
    sums["fresh_tokens"] += fresh.numel()
    largest_fresh = float(fresh.max()) if fresh.numel() else 0.0
    return max(worst[0], float(difference.abs().max())), max(worst[1], largest_fresh)


def _refuse_nan(losses: Sequence[torch.Tensor], rows: Sequence[Rows]) -> None:
    """Stop before the update that would spoil the parameters, and say whose tokens did it."""
    for loss, micro in zip(losses, rows, strict=True):
        if not math.isfinite(loss.item()):
            groups = ", ".join(sorted(set(micro.occurrences)))
            raise R1RayError(f"the loss is {loss.item()} in the micro-batch of groups {groups}")


os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
