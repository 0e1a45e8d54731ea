"""What the run needs of a Ray cluster, whether it is there, and reserving it.

One placement group for each strategy: learner ranks on as few nodes as possible, then everything with a model in it
(an engine is one bundle, and so inside one node, or one bundle for each of its nodes), then the reward actors, spread.
Where engines and learner take turns, ranks are in the bundles of engines.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from r1ray.cluster.joining import available_cpus, is_remote, local_gpus, reachable
from r1ray.config import (
    LABEL_SELECTOR,
    EnvironmentConfig,
    EvaluationConfig,
    JudgeConfig,
    LearnerConfig,
    RewardConfig,
    RewardModelConfig,
    RolloutConfig,
    RunConfig,
)
from r1ray.config.router import RouterConfig
from r1ray.errors import UserError

logger = logging.getLogger(__name__)

STRATEGIES = {"learner": "PACK", "models": "PACK", "reward": "SPREAD"}
"""Ray's strategy of each group of bundles."""
SPREAD_WITH = {"environment": "reward"}
"""Groups of sections that have none of their own."""
ENOUGH = 1e-6
POLL_S = 1.0


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
    resources: Mapping[str, float] = field(default_factory=dict)
    """Custom ones of one."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """That its node has to have, as Ray's selectors."""
    nodes: int = 1
    """That one is spread over, in equal parts."""
    is_shared: bool = False
    """Its bundles are for others too, which take turns with it."""
    beside: str = ""
    """The section whose bundles these actors are in; empty: they have bundles of their own."""

    @property
    def bundle(self) -> dict[str, float]:
        """The resources of one, or of its part on one of its nodes; empty where it takes none at all."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return {name: amount / self.nodes for name, amount in amounts.items() if amount}

    @property
    def num_bundles(self) -> int:
        """Of all of them together."""
        return self.count * self.nodes if self.bundle and not self.beside else 0

    @property
    def group(self) -> str:
        """Of :data:`STRATEGIES`."""
        section = self.beside or self.section
        return SPREAD_WITH.get(section, section if section in STRATEGIES else "models")

    @property
    def taken(self) -> dict[str, float]:
        """Resources that one takes of its bundle; of a shared one half of its GPU, and nothing else that Ray counts."""
        if self.is_shared or self.beside:
            return {"GPU": 0.5} if self.gpus else {}
        return self.bundle

    def key(self, resource: str) -> str:
        """The key that says how much of a resource one takes."""
        section = self.like or self.section
        in_section = f"{resource.lower()}s_per_{self.each}" if resource in ("CPU", "GPU") else f"resources.{resource}"
        return f"{section}.{in_section}"

    def term(self, resource: str) -> str:
        """What they take together, as a product of keys."""
        return f"{self.section}.num_{self.each}s={self.count} x {self._setting(resource)}"

    def part(self, resource: str) -> str:
        """What a bundle takes, as a key or a quotient of two."""
        spread = f" / {self.like or self.section}.nodes_per_{self.each}={self.nodes}" if self.nodes > 1 else ""
        return f"{self._setting(resource)}{spread}"

    def _setting(self, resource: str) -> str:
        return f"{self.key(resource)}={self.amount(resource):g}"

    def amount(self, resource: str) -> float:
        """What one takes of a resource, on all of its nodes."""
        return self.bundle.get(resource, 0.0) * self.nodes


@dataclass(frozen=True, slots=True)
class Needs:
    """The actors of a run, kind by kind, in the order of their bundles."""

    kinds: tuple[Kind, ...]

    @property
    def bundles(self) -> tuple[dict[str, float], ...]:
        return tuple(kind.bundle for kind in self.kinds for _ in range(kind.num_bundles))

    def of_group(self, group: str) -> list[Kind]:
        """The kind of each bundle of a placement group, in their order there."""
        return [kind for kind in self.kinds if kind.group == group for _ in range(kind.num_bundles)]

    def bundle(self, section: str, index: int, part: int = 0) -> int | None:
        """Which bundle of its group is that of an actor, or of its part on one of its nodes; None where its kind takes
        nothing."""
        kind = self.of(section)
        if kind.beside:
            host = self.of(kind.beside)
            return self.of_group(host.group).index(host) + index * host.num_bundles // kind.count
        return self.of_group(kind.group).index(kind) + index * kind.nodes + part if kind.bundle else None

    def of(self, section: str) -> Kind:
        return next(kind for kind in self.kinds if kind.section == section)

    def count(self, section: str) -> int:
        """How many actors there are of a kind; none of a kind that is not there."""
        return sum(kind.count for kind in self.kinds if kind.section == section)

    def total(self, resource: str) -> float:
        return sum(bundle.get(resource, 0.0) for bundle in self.bundles)

    @property
    def resources(self) -> list[str]:
        """The names of everything that some actor takes."""
        return list(dict.fromkeys(name for bundle in self.bundles for name in bundle))

    @property
    def is_colocated(self) -> bool:
        """Learner ranks are in the bundles of engines."""
        return any(kind.beside for kind in self.kinds)

    @property
    def cpus(self) -> float:
        return self.total("CPU")

    @property
    def gpus(self) -> float:
        return self.total("GPU")


def needs(config: RunConfig | EvaluationConfig, *, cluster_has_gpus: bool) -> Needs:
    """Return the actors of a run, or of ``r1ray eval``, on a cluster with or without GPUs."""
    if isinstance(config, EvaluationConfig):
        return evaluation_needs(
            config.rollout,
            config.reward,
            config.judge,
            config.reward_model,
            cluster_has_gpus=cluster_has_gpus,
            environment=config.environment if config.in_environment else None,
        )
    if config.only_learner:
        return learner_needs(config.learner, cluster_has_gpus=cluster_has_gpus)
    return training_needs(
        config.learner,
        config.rollout,
        config.reward,
        num_eval_engines=config.eval.num_actors,
        max_model_len=config.max_model_len,
        cluster_has_gpus=cluster_has_gpus,
        is_colocated=config.is_colocated,
        environment=config.environment,
    )


def learner_needs(learner: LearnerConfig, *, cluster_has_gpus: bool) -> Needs:
    """Return the ranks of a learner by itself."""
    ranks = Kind(
        section="learner",
        each="rank",
        count=learner.num_ranks,
        cpus=learner.cpus_per_rank,
        gpus=_decided(learner.gpus_per_rank, cluster_has_gpus),
        resources=learner.resources,
        labels=learner.labels,
    )
    return Needs((ranks,))


def training_needs(
    learner: LearnerConfig,
    rollout: RolloutConfig,
    reward: RewardConfig,
    *,
    num_eval_engines: int,
    max_model_len: int,
    cluster_has_gpus: bool,
    is_colocated: bool = False,
    environment: EnvironmentConfig | None = None,
) -> Needs:
    """Return the actors of reinforcement learning; ``environment``: None where no prompt has one. Raises UserError
    where some of them cannot be placed at all."""
    engines = _engines("rollout", rollout, cluster_has_gpus)
    if problem := rollout.why_not_seeded("rollout", engines.gpus, max_model_len):
        raise UserError(f"{problem}.")
    kinds = [*learner_needs(learner, cluster_has_gpus=cluster_has_gpus).kinds, engines]
    if is_colocated:
        kinds = in_turns(*kinds)
    if num_eval_engines:
        kinds.append(replace(engines, section="eval", like="rollout", count=num_eval_engines))
    kinds.append(_actors("reward", reward, 0))
    if environment is not None:
        kinds.append(_actors("environment", environment, 0))
    for name, model in reward.models.items():
        kinds.append(_reward_models(model_section(name), model, cluster_has_gpus))
    return Needs(tuple(kinds))


def in_turns(ranks: Kind, engines: Kind) -> list[Kind]:
    """Return ranks in the bundles of engines, of which each has what the larger side needs. Raises UserError where
    they do not share the same GPUs."""
    setting = f"{ranks.term('GPU')}, {engines.term('GPU')}"
    if bool(ranks.gpus) != bool(engines.gpus):
        raise UserError(f"placement=colocated: {setting} have no GPU in common; needs 1 for both, or 0 for both.")
    if engines.gpus and not (engines.gpus == engines.nodes == 1 and ranks.count == engines.count):
        raise UserError(
            f"placement=colocated: {setting} are not one rank and one engine on each GPU; needs "
            f"rollout.gpus_per_actor=1, rollout.nodes_per_actor=1, and as many actors as ranks."
        )
    together = math.ceil(ranks.count / engines.num_bundles) * engines.nodes  # ranks beside one engine, on all its nodes
    names = engines.resources.keys() | ranks.resources.keys()
    shared = replace(
        engines,
        cpus=max(engines.cpus, together * ranks.cpus),
        resources={
            name: max(engines.resources.get(name, 0.0), together * ranks.resources.get(name, 0.0))
            for name in sorted(names)
        },
        labels={**ranks.labels, **engines.labels},
        is_shared=True,
    )
    return [replace(ranks, beside=engines.section), shared]


def evaluation_needs(
    rollout: RolloutConfig,
    reward: RewardConfig,
    judge: JudgeConfig,
    reward_model: RewardModelConfig,
    *,
    cluster_has_gpus: bool,
    environment: EnvironmentConfig | None = None,
) -> Needs:
    """Return the actors of an evaluation; ``environment``: None where no question has one."""
    kinds = [_engines("rollout", rollout, cluster_has_gpus), _actors("reward", reward, 0)]
    if environment is not None:
        kinds.append(_actors("environment", environment, 0))
    if judge.is_served:
        kinds.append(_engines("judge.engine", judge.engine, cluster_has_gpus))
    if reward_model.model is not None:
        kinds.append(_reward_models("reward_model", reward_model, cluster_has_gpus))
    return Needs(tuple(kinds))


def model_section(name: str) -> str:
    """Return the section of a preference model."""
    return f"reward.models.{name}"


def _decided(gpus: int | None, cluster_has_gpus: bool) -> int:
    return int(cluster_has_gpus) if gpus is None else gpus


def _engines(section: str, config: RolloutConfig, cluster_has_gpus: bool) -> Kind:
    gpus = config.num_gpus(cluster_has_gpus)
    if problem := config.why_not(section, gpus):
        raise UserError(f"{problem}.")
    return replace(_actors(section, config, gpus), nodes=config.nodes_per_actor)


def _reward_models(section: str, config: RewardModelConfig, cluster_has_gpus: bool) -> Kind:
    return _actors(section, config, _decided(config.gpus_per_actor, cluster_has_gpus))


def _actors(
    section: str, config: RolloutConfig | RewardModelConfig | RewardConfig | EnvironmentConfig, gpus: int
) -> Kind:
    return Kind(
        section=section,
        each="actor",
        count=config.num_actors,
        cpus=config.cpus_per_actor,
        gpus=gpus,
        resources=config.resources,
        labels=config.labels,
    )


# ---------------------------------------------------------------------- is it there


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node of the cluster: what it has in all, and its labels. Equal to itself alone."""

    resources: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)
    id: str = ""
    address: str = ""

    def is_labelled(self, labels: Mapping[str, str]) -> bool:
        return all(matches(self.labels.get(name), selector) for name, selector in labels.items())

    def holds(self, bundle: Mapping[str, float]) -> bool:
        return all(self.resources.get(name, 0.0) >= amount - ENOUGH for name, amount in bundle.items())

    def without(self, bundle: Mapping[str, float]) -> Node:
        """What is left of it beside a bundle."""
        left = {name: amount - bundle.get(name, 0.0) for name, amount in self.resources.items()}
        return replace(self, resources=left)


def nodes_of_cluster() -> list[Node]:
    """The nodes that are alive, in the order of their addresses."""
    found = [
        Node(node["Resources"], node["Labels"], node["NodeID"], node["NodeManagerAddress"])
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(found, key=lambda node: (node.address, node.id))


def matches(value: str | None, selector: str) -> bool:
    """Whether a label's value, None where a node has no such label, is one that Ray's selector takes.

    >>> [matches("a", s) for s in ("a", "!a", "in(a, b)", "!in(b, c)")], matches(None, "a"), matches(None, "!a")
    ([True, False, True, True], False, True)
    """
    found = LABEL_SELECTOR.fullmatch(selector)
    assert found is not None, selector  # checked with the configuration
    values = [found["one"]] if found["one"] else [each.strip() for each in found["many"].split(",")]
    return (value in values) != bool(found["no"])


def check_fits(need: Needs, *, cpus: float, gpus: float) -> Needs:
    """The same needs. Raises UserError, with the arithmetic and the keys, where there are fewer CPUs or GPUs."""
    if problem := _too_few(need, {"CPU": cpus, "GPU": gpus}):
        raise UserError(f"{problem}: lower one of these keys.")
    return need


def missing(need: Needs, nodes: Sequence[Node]) -> str | None:
    """What a cluster lacks to hold a run that has it to itself, with the keys that ask for it; None where nothing."""
    for kind in need.kinds:
        if problem := _unplaceable(kind, nodes):
            return problem
    totals = {name: sum(node.resources.get(name, 0.0) for node in nodes) for name in need.resources}
    return _too_few(need, totals) or (None if order_of_groups(need, nodes) else _split(need, nodes))


def _too_few(need: Needs, totals: Mapping[str, float]) -> str | None:
    for resource, found in totals.items():
        if (needed := need.total(resource)) > found + ENOUGH:
            terms = [kind.term(resource) for kind in need.kinds if kind.num_bundles and kind.amount(resource)]
            return f"the run needs {_amounts({resource: needed})} ({' + '.join(terms)}), but there are {found:g}"
    return None


def _unplaceable(kind: Kind, nodes: Sequence[Node]) -> str | None:
    """Why no node can hold even one actor of a kind, or those with its labels cannot hold all."""
    section = kind.like or kind.section
    for name, selector in kind.labels.items():
        if not any(node.is_labelled({name: selector}) for node in nodes):
            values = sorted({node.labels[name] for node in nodes if name in node.labels})
            there = f"nodes have {', '.join(values)}" if values else "no node has that label"
            return f"no node's label {name} is {selector} ({section}.labels): {there}"
    labelled = [node for node in nodes if node.is_labelled(kind.labels)]
    if not labelled:
        asked = ", ".join(f"{name}={selector}" for name, selector in kind.labels.items())
        return f"no node has all the labels {asked} ({section}.labels)"
    among = f" with {section}.labels" if kind.labels else ""
    for resource, amount in kind.bundle.items():
        largest = max(node.resources.get(resource, 0.0) for node in labelled)
        if largest < amount - ENOUGH:
            return (
                f"no node{among} has {_amounts({resource: amount})} at once ({kind.part(resource)}), the largest has "
                f"{largest:g}"
            )
    if not any(node.holds(kind.bundle) for node in labelled):
        keys = ", ".join(kind.part(resource) for resource in kind.bundle)
        return (
            f"no node{among} has {_amounts(kind.bundle)} at once ({keys}); there are {_described(nodes, kind.bundle)}"
        )
    for resource, amount in kind.bundle.items():
        found = sum(node.resources.get(resource, 0.0) for node in labelled)
        if kind.labels and amount * kind.num_bundles > found + ENOUGH:
            needed = _amounts({resource: amount * kind.num_bundles})
            return f"nodes{among} have {_amounts({resource: found})} in all, but {kind.term(resource)} is {needed}"
    return None


def _split(need: Needs, nodes: Sequence[Node]) -> str:
    """Why a run does not fit, although every actor does and there is enough in all."""
    group, placed = _first_unplaced(need, nodes, tuple(STRATEGIES))
    kinds = need.of_group(group)
    kind = next(kind for kind in kinds if placed[kind.section] < kind.num_bundles)
    parts, spread = f"{kind.each}s", []
    if kind.nodes > 1:
        parts, spread = f"parts of {parts}", [f"{kind.section}.nodes_per_{kind.each}"]
    keys = ", ".join(
        dict.fromkeys([f"{kind.section}.num_{kind.each}s", *spread, *(kind.key(resource) for resource in kind.bundle)])
    )
    return (
        f"there is enough in all, but it is split so that only {placed[kind.section]} of {kind.num_bundles} "
        f"{kind.section} {parts} find a node with {_amounts(kind.bundle)} beside the others (nodes: "
        f"{_described(nodes, kind.bundle)}); change {keys}, or labels that bind others to the same nodes"
    )


def _amounts(bundle: Mapping[str, float]) -> str:
    """``1 CPU and 8 GPUs``."""
    plural = {name: "s" for name, amount in bundle.items() if name in ("CPU", "GPU") and amount != 1}
    return " and ".join(f"{amount:g} {name}{plural.get(name, '')}" for name, amount in bundle.items())


def _described(nodes: Sequence[Node], resources: Mapping[str, float]) -> str:
    """How many nodes have how much: ``2 x (8 CPUs and 4 GPUs), 1 x (2 CPUs and 0 GPUs)``."""
    kinds = Counter(_amounts({name: node.resources.get(name, 0.0) for name in resources}) for node in nodes)
    return ", ".join(f"{count} x ({amounts})" for amounts, count in kinds.most_common())


def order_of_groups(need: Needs, nodes: Sequence[Node]) -> tuple[str, ...] | None:
    """In which order the placement groups find room on empty nodes; None where none was found."""
    learner, models, reward = STRATEGIES
    for order in ((learner, models, reward), (models, learner, reward)):
        if _first_unplaced(need, nodes, order)[0] == "":
            return order
    return None


def _first_unplaced(need: Needs, nodes: Sequence[Node], order: Sequence[str]) -> tuple[str, Counter[str]]:
    """The first group of which not every bundle finds a node, "" where all do, and how many of each kind did. As Ray
    does it: large bundles first, PACK fills the nodes that the group already has, SPREAD goes round."""
    left, placed = list(nodes), Counter[str]()
    for group in order:
        used: Counter[int] = Counter()
        is_packed = STRATEGIES[group] == "PACK"
        for kind in sorted(need.of_group(group), key=lambda kind: (-kind.gpus / kind.nodes, -kind.cpus / kind.nodes)):
            fitting = [i for i, node in enumerate(left) if node.is_labelled(kind.labels) and node.holds(kind.bundle)]
            if not fitting:
                return group, placed
            best = max(fitting, key=lambda i: (bool(used[i]) if is_packed else -used[i], _room(left[i], kind)))
            left[best] = left[best].without(kind.bundle)
            used[best] += 1
            placed[kind.section] += 1
    return "", placed


def _room(node: Node, kind: Kind) -> float:
    """The share of a node's resources that a bundle would leave, as Ray prefers nodes."""
    return sum((node.resources[name] - amount) / node.resources[name] for name, amount in kind.bundle.items())


# ---------------------------------------------------------------------- reserving


def preflight(config: RunConfig | EvaluationConfig) -> None:
    """Refuse, before anything is started, an address where no Ray answers, and what cannot fit where the run would
    start its own cluster."""
    if is_remote(config.cluster.address):
        reachable(config.cluster.address)
        return
    gpus = local_gpus()
    need = needs(config, cluster_has_gpus=gpus > 0)
    if isinstance(config, RunConfig) and not config.only_learner:
        check_backend(config.weights.backend, need)
        check_replay(config.learner.router, need)
    check_fits(need, cpus=available_cpus(), gpus=gpus)
    if problem := missing(need, [Node({"CPU": available_cpus(), "GPU": gpus})]):
        raise UserError(f"on this machine {problem}.")


def check_backend(backend: str, need: Needs) -> None:
    """Raise UserError if NCCL or CUDA IPC is to carry the weights where learner or engines have no GPU."""
    ranks, engines = need.of("learner").gpus, need.of("rollout").gpus
    if backend in ("nccl", "ipc") and not (ranks and engines):
        raise UserError(
            f"weights.backend={backend} needs GPUs in learner and rollout actors; a rank has {ranks}, an engine "
            f"{engines}: use gloo, or auto."
        )


def check_replay(router: RouterConfig, need: Needs) -> None:
    """Raise UserError if the learner is to take experts that engines without a GPU chose."""
    if router.replay and not need.of("rollout").gpus:
        raise UserError(
            "learner.router.replay=true: engines on CPUs do not say which experts they chose; needs engines on GPUs, "
            "or false."
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """The placement groups of a run."""

    need: Needs
    groups: Mapping[str, PlacementGroup]
    joined: dict[tuple[str, int], PlacementGroup] = field(default_factory=dict)
    """Groups of actors beyond those that the run needs: each has a group of its own."""

    def options(self, section: str, index: int, part: int = 0) -> dict[str, Any]:
        """What ``ray.remote`` has to know of an actor, or of its part on one of its nodes: what it takes, and where it
        runs."""
        kind, group = self.need.of(section), self.joined.get((section, index))
        bundle = part if group is not None else self.need.bundle(section, index, part)
        amounts = {"CPU": 0.0, "GPU": 0.0} | kind.taken
        taken = {"num_cpus": amounts.pop("CPU"), "num_gpus": amounts.pop("GPU"), "resources": amounts}
        if bundle is None:
            return taken | ({"label_selector": dict(kind.labels)} if kind.labels else {})
        group = group or self.groups[kind.group]
        return taken | {"scheduling_strategy": PlacementGroupSchedulingStrategy(group, bundle)}

    def beside(self, section: str, index: int, part: int = 0) -> dict[str, Any]:
        """The same of a task that runs where an actor with a bundle does, or that part of it, and takes nothing."""
        return {"num_cpus": 0, "scheduling_strategy": self.options(section, index, part)["scheduling_strategy"]}

    def nodes(self, section: str) -> list[str]:
        """Ids of the nodes that actors of a kind run on, each once; none where its kind takes nothing."""
        kind = self.need.of(section)
        if not kind.bundle:
            return []
        placed = placement_group_table(self.groups[kind.group])["bundles_to_node_id"]
        first = self.need.bundle(section, 0) or 0
        return list(dict.fromkeys(placed[index] for index in range(first, first + kind.num_bundles)))

    def node(self, section: str, index: int, part: int = 0) -> str | None:
        """Return the id of the node of an actor with a bundle, or of that part of it; None while it has none."""
        place = self.options(section, index, part)["scheduling_strategy"]
        nodes: dict[int, str] = placement_group_table(place.placement_group)["bundles_to_node_id"]
        return nodes.get(place.placement_group_bundle_index)

    def ask_for_room(self, section: str, index: int) -> None:
        """Ask for room for one more actor of a kind, on whatever node comes to have it."""
        kind = self.need.of(section)
        bundles, labels = [kind.bundle] * kind.nodes, [dict(kind.labels)] * kind.nodes
        strategy = STRATEGIES[kind.group]
        self.joined[section, index] = placement_group(bundles, strategy=strategy, bundle_label_selector=labels)

    def has_room(self, section: str, index: int) -> bool:
        """Return whether the room that was asked for is there."""
        return str(placement_group_table(self.joined[section, index])["state"]) == "CREATED"

    def remove(self) -> None:
        for group in (*self.groups.values(), *self.joined.values()):
            remove_placement_group(group)


async def reserve(need: Needs, *, wait_s: float) -> Reservation:
    """Reserve everything, and wait for nodes that are not there yet, or that others use.

    Args:
        wait_s: the longest wait, seconds.

    Raises UserError that says what is missing.
    """
    deadline = time.monotonic() + wait_s
    order = order_of_groups(need, nodes_of_cluster()) or tuple(STRATEGIES)
    # All at once: Ray places them in their order, so that of two runs one gets everything. Pending ones are also what
    # makes an autoscaler start nodes.
    reservation = Reservation(need, dict(_placement_groups(need, order)))
    said: str | None = None
    try:
        while not _is_ready(reservation):
            problem = missing(need, nodes_of_cluster()) or _used(need)
            if time.monotonic() >= deadline:
                raise UserError(
                    f"the cluster cannot place the run: {problem}. Waited {wait_s:g} s for it (cluster.wait_s)."
                )
            if problem.partition(";")[0] != said:
                logger.info(f"waiting for the cluster, at most {wait_s:g} s (cluster.wait_s): {problem}")
                said = problem.partition(";")[0]
            await asyncio.sleep(POLL_S)  # so that Ctrl-C and SIGTERM end the wait
    except BaseException:
        reservation.remove()
        raise
    return reservation


def _placement_groups(need: Needs, order: Sequence[str]) -> Iterator[tuple[str, PlacementGroup]]:
    for group in order:
        if kinds := need.of_group(group):
            yield (
                group,
                placement_group(
                    [kind.bundle for kind in kinds],
                    strategy=STRATEGIES[group],
                    bundle_label_selector=[dict(kind.labels) for kind in kinds],
                ),
            )


def _is_ready(reservation: Reservation) -> bool:
    """Whether all groups are placed, after a moment at most for the first that is not, and what takes nothing finds a
    node with its labels."""
    if not all(group.wait(POLL_S) for group in reservation.groups.values()):
        return False
    labelled = [kind for kind in reservation.need.kinds if kind.labels and not kind.bundle]
    return not labelled or all(_unplaceable(kind, nodes_of_cluster()) is None for kind in labelled)


def _used(need: Needs) -> str:
    """That the cluster has everything, but somebody uses it."""
    free = ray.available_resources()
    needed = _amounts({resource: need.total(resource) for resource in need.resources})
    there = _amounts({resource: free.get(resource, 0.0) for resource in need.resources})
    return f"the run needs {needed}, of which others use a part; free now: {there}"
