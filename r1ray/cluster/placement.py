"""What the run needs of a Ray cluster, whether it is there, and reserving it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group

from r1ray.config import EvaluationConfig, RewardConfig, RewardModelConfig, RolloutConfig, RunConfig
from r1ray.errors import UserError


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Actors of one kind and what each of them takes, with ``None`` of the configuration decided."""

    section: str
    """Of the configuration: ``rollout``, ``judge.engine``, ``reward.models.helpful``."""
    like: str = ""
    """The section that says what one takes, where it is another."""
    each: str
    """How the keys call one of them: ``actor``, ``rank``."""
    count: int
    cpus: float
    gpus: int

    @property
    def bundle(self) -> dict[str, float]:
        """The resources of one, empty where it takes none at all."""
        return {name: float(amount) for name, amount in (("CPU", self.cpus), ("GPU", self.gpus)) if amount}

    def term(self, resource: str) -> str:
        """What they take together, as a product of keys."""
        amount = f"{self.cpus:g}" if resource == "CPU" else f"{self.gpus}"
        key = f"{self.like or self.section}.{resource.lower()}s_per_{self.each}"
        return f"{self.section}.num_{self.each}s={self.count} x {key}={amount}"


@dataclass(frozen=True, slots=True)
class Needs:
    """The actors of a run, kind by kind, in the order of their bundles."""

    kinds: tuple[Kind, ...]

    @property
    def bundles(self) -> tuple[dict[str, float], ...]:
        return tuple(kind.bundle for kind in self.kinds for _ in range(kind.count) if kind.bundle)

    def bundle(self, section: str, index: int) -> int | None:
        """Which bundle is that of an actor; None where its kind takes nothing."""
        before = 0
        for kind in self.kinds:
            if kind.section == section:
                return before + index if kind.bundle else None
            before += kind.count if kind.bundle else 0
        raise KeyError(section)

    def of(self, section: str) -> Kind:
        return next(kind for kind in self.kinds if kind.section == section)

    def count(self, section: str) -> int:
        """How many actors there are of a kind; none of a kind that is not there."""
        return sum(kind.count for kind in self.kinds if kind.section == section)

    @property
    def cpus(self) -> float:
        return sum(bundle.get("CPU", 0.0) for bundle in self.bundles)

    @property
    def gpus(self) -> float:
        return sum(bundle.get("GPU", 0.0) for bundle in self.bundles)


def needs(config: RunConfig, *, cluster_has_gpus: bool) -> Needs:
    """The actors of a run on a cluster with or without GPUs."""
    learner = config.learner
    gpus = _decided(learner.gpus_per_rank, cluster_has_gpus)
    kinds = [Kind(section="learner", each="rank", count=learner.num_ranks, cpus=learner.cpus_per_rank, gpus=gpus)]
    if not config.only_learner:
        kinds.append(_engines("rollout", config.rollout, cluster_has_gpus))
        if config.eval.num_actors:
            kinds.append(replace(kinds[-1], section="eval", like="rollout", count=config.eval.num_actors))
        kinds.append(_rewards(config.reward))
        for name, model in config.reward.models.items():
            kinds.append(_reward_models(model_section(name), model, cluster_has_gpus))
    return Needs(tuple(kinds))


def model_section(name: str) -> str:
    """The section of a preference model."""
    return f"reward.models.{name}"


def evaluation_needs(config: EvaluationConfig, *, cluster_has_gpus: bool) -> Needs:
    """The actors of ``r1ray eval``."""
    kinds = [_engines("rollout", config.rollout, cluster_has_gpus), _rewards(config.reward)]
    if config.judge.is_served:
        kinds.append(_engines("judge.engine", config.judge.engine, cluster_has_gpus))
    if config.reward_model.model is not None:
        kinds.append(_reward_models("reward_model", config.reward_model, cluster_has_gpus))
    return Needs(tuple(kinds))


def _decided(gpus: int | None, cluster_has_gpus: bool) -> int:
    return int(cluster_has_gpus) if gpus is None else gpus


def _engines(section: str, config: RolloutConfig, cluster_has_gpus: bool) -> Kind:
    gpus = _decided(config.gpus_per_actor, cluster_has_gpus)
    return Kind(section=section, each="actor", count=config.num_actors, cpus=config.cpus_per_actor, gpus=gpus)


def _reward_models(section: str, config: RewardModelConfig, cluster_has_gpus: bool) -> Kind:
    gpus = _decided(config.gpus_per_actor, cluster_has_gpus)
    return Kind(section=section, each="actor", count=config.num_actors, cpus=config.cpus_per_actor, gpus=gpus)


def _rewards(config: RewardConfig) -> Kind:
    return Kind(section="reward", each="actor", count=config.num_actors, cpus=config.cpus_per_actor, gpus=0)


def check_fits(need: Needs, *, cpus: float, gpus: float) -> Needs:
    """The same needs. Raises UserError, with the arithmetic and the keys, where the cluster has less."""
    for resource, needed, found in (("CPU", need.cpus, cpus), ("GPU", need.gpus, gpus)):
        if needed > found + 1e-6:
            terms = [kind.term(resource) for kind in need.kinds if resource == "CPU" or kind.section != "reward"]
            raise UserError(
                f"the run needs {needed:g} {resource}s ({' + '.join(terms)}), but there are {found:g}: lower one of "
                "these keys."
            )
    return need


def connect(address: str | None) -> tuple[float, float]:
    """Join the cluster at ``address``, that of the job or of RAY_ADDRESS, or start one on this machine for this
    process. Returns its CPUs and GPUs."""
    if not ray.is_initialized():
        target = address or os.environ.get("RAY_ADDRESS")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        if target:
            try:
                ray.init(address=target, log_to_driver=False)
            except (ConnectionError, RuntimeError, RayError) as error:
                raise UserError(f"cluster.address={target}: cannot be joined: {error}") from error
        else:
            ray.init(num_cpus=available_cpus(), include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    total = ray.cluster_resources()
    return total.get("CPU", 0.0), total.get("GPU", 0.0)


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0))


def is_remote(address: str | None) -> bool:
    """Whether a cluster is joined, instead of starting one on this machine."""
    return bool(address or os.environ.get("RAY_ADDRESS") or ray.is_initialized())


def preflight(config: RunConfig | EvaluationConfig) -> None:
    """Refuse what cannot fit before anything is started, where the run would start its own cluster."""
    if is_remote(config.cluster.address):
        return
    gpus = local_gpus()
    if isinstance(config, RunConfig):
        need = needs(config, cluster_has_gpus=gpus > 0)
    else:
        need = evaluation_needs(config, cluster_has_gpus=gpus > 0)
    check_fits(need, cpus=available_cpus(), gpus=gpus)


def local_gpus() -> int:
    """NVIDIA GPUs of this machine that this process may use; looked up without loading CUDA."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([device for device in visible.split(",") if device.strip() not in ("", "-1")])
    return len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdigit()])


def reserve(need: Needs, *, timeout_s: float) -> PlacementGroup:
    """One placement group for the whole run. Raises UserError where it cannot be placed in time: the cluster has
    enough in total, but not on single nodes, or somebody else uses it."""
    group = placement_group([dict(bundle) for bundle in need.bundles], strategy="PACK")
    if not group.wait(timeout_s):
        remove_placement_group(group)
        free = ray.available_resources()
        raise UserError(
            f"the cluster could not place {len(need.bundles)} actors ({need.cpus:g} CPUs, {need.gpus:g} GPUs) within "
            f"{timeout_s:g} s; free now: {free.get('CPU', 0):g} CPUs, {free.get('GPU', 0):g} GPUs. Wait for other "
            "jobs, or lower the number of actors or ranks."
        )
    return group
