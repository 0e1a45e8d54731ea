"""What is looked at, in which order, and for how long.

    this process:  model, rows          --\\
    the cluster:   nodes -> probes -> reservation -> collectives  --> findings, worst status

The two sides are looked at at the same time. Each check has a deadline, and one that fails or hangs is a finding.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from r1ray.cluster import examine, joining, placement
from r1ray.cluster.examine import Answer, Probes
from r1ray.cluster.placement import Needs, Node, Reservation, nodes_of_cluster
from r1ray.cluster.probe import Disk, PathFacts, installed, is_hub_name, path_facts
from r1ray.config import EvaluationConfig, RunConfig
from r1ray.data.pair_layouts import PAIRS
from r1ray.data.sft_layouts import EXAMPLES
from r1ray.doctor import judging
from r1ray.doctor.findings import CLUSTER, DRIVER, Finding, bounded, counted
from r1ray.doctor.judging import green, red
from r1ray.doctor.model import check_model
from r1ray.doctor.object_store import NAME as OBJECT_STORE
from r1ray.doctor.object_store import check_object_store
from r1ray.doctor.rows import check_dialogues, check_prompts
from r1ray.doctor.trackers import check_trackers
from r1ray.errors import UserError
from r1ray.planning.memory import published_bytes
from r1ray.planning.placed import with_placement
from r1ray.planning.plan import Plan, plan_run, shape_name
from r1ray.recipes import build
from r1ray.stages.base import MANIFEST, Input, digest_of_stage, read_artifact
from r1ray.stages.prepare import Prepare

logger = logging.getLogger(__name__)

FILES_S = 120.0
"""Deadline of a check of a model or a data set, here."""
NODE_S = 60.0
"""Of a question to all nodes."""
COLLECTIVE_S = 120.0
"""Of each operation between the run's actors, and of starting them."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One stage of what would be run."""

    name: str
    """Empty where the recipe has only one."""
    config: RunConfig

    def key(self, key: str) -> str:
        """A key, as the user gives it for this stage."""
        return f"graph.{self.name}.{key}" if self.name else key


def examine_run(
    config: RunConfig,
    stages: Sequence[Planned],
    needed: Sequence[RunConfig | EvaluationConfig],
    *,
    address: str | None = None,
) -> list[Finding]:
    """Every finding about a run.

    Args:
        config: with a folder of this machine as ``output_dir``.
        address: of the object store that this folder stands for.
        stages: all that train, or read prompts.
        needed: what each of the stages asks the cluster for.
    """
    files = _Files(config, stages, address)
    side = threading.Thread(target=files.look, name="doctor files", daemon=True)
    side.start()
    cluster = _Cluster(config, stages, files)
    try:
        cluster.look(needed)
    finally:
        cluster.close()
    logger.info("waiting for the checks of model and data")
    side.join(FILES_S * (1 + 3 * len(stages)))  # each of its checks has a deadline; this is for their sum
    return [*files.findings, *cluster.findings, *cluster.sandboxes(files.programs)]


# ---------------------------------------------------------------------- model and data


def prepared(config: RunConfig) -> Path | None:
    """The folder of what ``prepare.maker`` makes, where an earlier run has made it."""
    if config.prepare.maker is None:
        return None
    digest = digest_of_stage(Prepare(config.prepare, seed=config.seed), {})
    folder = Path(config.output_dir).expanduser() / "artifacts" / f"base-{digest[:12]}"
    made = read_artifact(folder / MANIFEST, digest)
    return None if made is None else Path(made.path)


class _Files:
    """What this process sees of models and data."""

    def __init__(self, config: RunConfig, stages: Sequence[Planned], address: str | None) -> None:
        self._config, self._stages, self._address = config, stages, address
        self._base = prepared(config)
        self.findings: list[Finding] = []
        self.programs: set[str] = set()
        """Languages in which the first rows ask for programs."""
        self.models = self._models()

    def _local(self, path: str | None) -> str | None:
        """A path of the user's, or in what ``prepare`` made; None for what another stage is going to make."""
        if path is None or not path.startswith("@"):
            return str(Path(path).expanduser()) if path is not None and path.startswith("~") else path
        is_there = self._base is not None and path.partition("/")[0] == "@prepare"
        return f"{self._base}{path.removeprefix('@prepare')}" if is_there else None

    def _model_of(self, stage: Planned) -> str | None:
        return next((self._local(each.path) for each in build(stage.config).reads() if each.key == "model"), None)

    def _data_of(self, stage: Planned) -> list[Input]:
        """Return the rows that a stage reads, as far as they are there."""
        rows = [each for each in build(stage.config).reads() if each.kind in ("prompts", "dialogues", "pairs")]
        local = [(each, self._local(each.path)) for each in rows]
        return [replace(each, path=path) for each, path in local if path is not None]

    def _models(self) -> dict[str, str]:
        """Models that are there before the run, each with the key that names it."""
        found: dict[str, str] = {}
        for stage in self._stages:
            model = self._model_of(stage)
            if model is not None:
                found.setdefault(model, stage.key("model"))
        return found

    def look(self) -> None:
        self.findings += bounded("trackers", DRIVER, lambda: check_trackers(self._config.trackers), deadline_s=FILES_S)
        if (address := self._address) is not None:
            folder = Path(self._config.output_dir)
            self.findings += bounded(
                OBJECT_STORE, DRIVER, lambda: check_object_store(address, folder), deadline_s=FILES_S
            )
        if self._config.prepare.maker and self._base is None:
            found = f"prepare.maker={self._config.prepare.maker} makes them when the run starts"
            self.findings.append(green("model and data", DRIVER, found))
        tokenizers: dict[str, Any] = {}
        seen: set[Any] = set()
        for stage in self._stages:
            model = self._model_of(stage)
            if model is not None:
                self._look_at_model(stage, model, tokenizers, seen)
        for stage in self._stages:
            model = self._model_of(stage) or next(iter(tokenizers), None)  # later models have the first one's tokenizer
            for rows in self._data_of(stage):
                parts = stage.config.reward.parts
                looked_for = [name for name in ("accuracy", "language") if name in parts]
                settings = (
                    rows.key,
                    rows.path,
                    stage.config.data.template,
                    stage.config.data.max_prompt_tokens,
                    *looked_for,
                )
                if settings not in seen:
                    seen.add(settings)
                    self._look_at_rows(stage, rows, tokenizers.get(str(model)))

    def _look_at_model(self, stage: Planned, model: str, tokenizers: dict[str, Any], seen: set[Any]) -> None:
        def look() -> list[Finding]:
            checked = check_model(stage.config, model, key=stage.key("model"))
            if checked.tokenizer is not None:
                tokenizers.setdefault(model, checked.tokenizer)
            fresh = [finding for finding in checked.findings if _what(finding) not in seen]
            seen.update(map(_what, fresh))
            return fresh

        self.findings += bounded("model", DRIVER, look, deadline_s=FILES_S)

    def _look_at_rows(self, stage: Planned, rows: Input, tokenizer: Any) -> None:
        def look() -> list[Finding]:
            if rows.kind == "prompts":
                checked = check_prompts(stage.config, rows.key, rows.path, tokenizer)
            else:
                layouts = PAIRS if rows.kind == "pairs" else EXAMPLES
                checked = check_dialogues(stage.config, rows.key, rows.path, tokenizer, layouts=layouts)
            self.programs |= checked.programs
            return [
                finding if not stage.name else replace(finding, found=f"stage {stage.name}: {finding.found}")
                for finding in checked.findings
            ]

        self.findings += bounded("rows", DRIVER, look, deadline_s=FILES_S)


def _what(finding: Finding) -> tuple[str, str, str]:
    """What a finding says, whichever stage it was made for."""
    return finding.check, finding.found.partition("=")[2] or finding.found, finding.needed


def training_plans(config: RunConfig, stages: Sequence[Planned]) -> list[Plan]:
    """What ``r1ray plan`` says of the stages that train, as far as the shapes of their models are known."""
    models = {stage.name: str(stage.config.model) for stage in stages if stage.config.model}
    models |= {"prepare": shape_name(config)} if config.prepare.maker else {}
    plans = []
    for stage in stages:
        if stage.config.has_learner:
            with suppress(UserError):
                plans.append(plan_run(stage.config, name=stage.name, models=models))
    return plans


# ---------------------------------------------------------------------- the cluster


class _Cluster:
    """What the nodes say, and what lies between them."""

    def __init__(self, config: RunConfig, stages: Sequence[Planned], files: _Files) -> None:
        self._config, self._stages, self._files = config, stages, files
        self.findings: list[Finding] = []
        self._is_remote = joining.is_remote(config.cluster.address)
        self._output = Path(config.output_dir).expanduser().resolve()
        self._probes: Probes | None = None
        self._reservation: Reservation | None = None
        self._sections: dict[str, set[str]] = {}
        self._sandboxes: dict[Node, Answer[str]] = {}

    @cached_property
    def _plans(self) -> list[Plan]:
        """Made where a check asks first, and so under its deadline."""
        return training_plans(self._config, self._stages)

    def look(self, needed: Sequence[RunConfig | EvaluationConfig]) -> None:
        if not self._join():
            return
        nodes = nodes_of_cluster()
        logger.info(f"asking {counted(len(nodes), 'node')}")
        self._probes = Probes(nodes)
        need = self._place(needed, nodes)
        self.findings += self._present()
        checks: list[tuple[str, Callable[[], list[Finding]]]] = [
            ("versions", self._versions),
            ("gpus", self._gpus),
            ("limits", self._limits),
            ("shared memory", self._shared_memory),
            ("disk", self._disks),
            ("clock", self._clocks),
            ("ports", self._ports),
            ("storage", self._storage),
            ("paths", self._paths),
            ("sandbox", self._ask_sandboxes),
        ]
        for name, check in checks:
            self.findings += bounded(name, CLUSTER, check, deadline_s=3 * NODE_S)
        if self._reservation is not None and need is not None and need.count("learner"):
            logger.info("measuring between learner ranks and engines")
            self.findings += bounded("collectives", CLUSTER, self._collectives, deadline_s=4 * COLLECTIVE_S)

    def close(self) -> None:
        if self._probes is not None:
            self._probes.close()
        if self._reservation is not None:
            self._reservation.remove()

    def _join(self) -> bool:
        address = self._config.cluster.address
        logger.info("joining the cluster" if self._is_remote else "starting Ray on this machine")
        started = time.monotonic()
        try:
            cpus, gpus = joining.connect(address)  # in this thread: Ray sets signal handlers
        except UserError as error:
            advice = "start Ray there, and look at cluster.address, RAY_ADDRESS and RAY_AUTH_MODE."
            finding = red("cluster", DRIVER, str(error), "a Ray cluster", advice)
            self.findings.append(replace(finding, seconds=time.monotonic() - started))
            return False
        seconds = time.monotonic() - started
        where = f"{counted(len(nodes_of_cluster()), 'node')}, {cpus:g} CPUs, {gpus:g} GPUs"
        found = where if self._is_remote else f"{where}, started on this machine"
        self.findings.append(replace(green("cluster", DRIVER, found), seconds=seconds))
        return True

    def _place(self, needed: Sequence[RunConfig | EvaluationConfig], nodes: Sequence[Node]) -> Needs | None:
        """Look whether each stage fits, and reserve the places of the one with a learner that takes most."""
        gpus = sum(node.resources.get("GPU", 0.0) for node in nodes)
        placed = [with_placement(each, num_gpus=gpus) if isinstance(each, RunConfig) else each for each in needed]
        needs = [placement.needs(each, cluster_has_gpus=gpus > 0) for each in placed]
        wanted = "room for every actor of each stage"
        advice = "change these keys, or start more nodes."
        if not needs:
            return None
        problems = [problem for need in needs if (problem := placement.missing(need, nodes))]
        need = max(needs, key=lambda need: (need.count("learner") > 0, need.gpus, need.cpus))
        # Of a cluster that grows, what is missing may come while it is waited for; this machine does not grow.
        wait_s = self._config.cluster.wait_s if self._is_remote else 0.0
        if problems and not wait_s:
            self.findings += [red("placement", CLUSTER, problem, wanted, advice) for problem in dict.fromkeys(problems)]
            return None

        def reserve() -> list[Finding]:
            try:
                self._reservation = asyncio.run(placement.reserve(need, wait_s=wait_s))
            except UserError as error:
                return [red("placement", CLUSTER, str(error), wanted, "wait for other jobs, or change these keys.")]
            self._sections = examine.nodes_of(self._reservation, nodes)
            of = {node.id: node.address for node in nodes}
            placed = [
                f"{section} x {need.count(section)} on {', '.join(sorted(of[each] for each in ids))}"
                for section, ids in self._sections.items()
            ]
            return [green("placement", CLUSTER, "; ".join(placed), wanted)]

        self.findings += bounded("placement", CLUSTER, reserve, deadline_s=wait_s + NODE_S)
        return need

    def _ask(self, method: str, *arguments: Any, of: Any = None) -> dict[Node, Answer[Any]]:
        assert self._probes is not None
        return self._probes.ask(method, *arguments, deadline_s=NODE_S, of=of)

    def _judged(
        self, check: str, answers: Mapping[Node, Answer[Any]], judge: Callable[[Node, Any], Finding | list[Finding]]
    ) -> list[Finding]:
        """A finding of each node; one that did not answer has one too."""
        findings = []
        for node, answer in answers.items():
            if answer.error is not None:
                advice = "look at this node: r1ray has to be installed there, and answer."
                made: Finding | list[Finding] = red(check, node.address, answer.error, "an answer", advice)
            else:
                made = judge(node, answer.value)
            for finding in made if isinstance(made, list) else [made]:
                findings.append(replace(finding, seconds=answer.seconds))
        return findings

    def _has(self, node: Node, *sections: str) -> bool:
        """Whether actors of the sections run on a node; without a reservation they may run on any."""
        return not self._sections or any(node.id in self._sections.get(section, ()) for section in sections)

    def _uses_gpus(self, node: Node) -> bool:
        if self._reservation is None:
            return False
        need = self._reservation.need
        return any(kind.gpus and node.id in self._sections[kind.section] for kind in need.kinds)

    # ------------------------------------------------------------------ of each node

    def _present(self) -> list[Finding]:
        """Nodes that do not answer at all, each once: nothing more is asked of them."""
        assert self._probes is not None
        answers = self._ask("now")
        self._probes.leave_out([node for node, answer in answers.items() if answer.error is not None])
        return self._judged("node", answers, lambda node, _: [])

    def _versions(self) -> list[Finding]:
        driver = installed()
        return self._judged(
            "versions",
            self._ask("versions"),
            lambda node, here: judging.judge_versions(node.address, here, driver, has_gpus=self._uses_gpus(node)),
        )

    def _gpus(self) -> list[Finding]:
        claimed = self._config.rollout.gpu_memory_utilization
        return self._judged(
            "gpus",
            self._ask("gpus"),
            lambda node, found: judging.judge_gpus(
                node.address,
                found,
                offered=node.resources.get("GPU", 0.0),
                is_used=self._uses_gpus(node),
                utilization=claimed if self._uses_gpus(node) and self._has(node, "rollout", "eval") else None,
            ),
        )

    def _limits(self) -> list[Finding]:
        return self._judged(
            "limits", self._ask("limits"), lambda node, found: judging.judge_limits(node.address, found)
        )

    def _shared_memory(self) -> list[Finding]:
        return self._judged(
            "shared memory",
            self._ask("shared_memory"),
            lambda node, found: judging.judge_shared_memory(
                node.address,
                found,
                object_store_bytes=node.resources.get("object_store_memory", 0.0),
                uses_gpus=self._uses_gpus(node),
            ),
        )

    def _disks(self) -> list[Finding]:
        written = sum(plan.disk.whole for plan in self._plans if plan.disk is not None)
        what = "checkpoints, exports and rollouts" + ("" if written else " (the model's size is not known)")

        def judge(node: Node, disks: list[Disk]) -> list[Finding]:
            output, tmp, spilled = disks
            name, small = node.address, judging.LITTLE_TMP_BYTES
            needed = int(written) or small
            return [
                judging.judge_disk(name, output, what=what, needed_bytes=needed, key="change output_dir"),
                judging.judge_disk(name, tmp, what="temporary files", needed_bytes=small, key="set TMPDIR"),
                judging.judge_disk(
                    name, spilled, what="objects that Ray spills", needed_bytes=small, key="ray start --temp-dir"
                ),
            ]

        return self._judged("disk", self._ask("disks", [str(self._output)]), judge)

    def _clocks(self) -> list[Finding]:
        assert self._probes is not None
        answers = self._probes.clocks(deadline_s=NODE_S)
        return self._judged("clock", answers, lambda node, clock: judging.judge_clock(node.address, clock))

    def _ports(self) -> list[Finding]:
        assert self._probes is not None
        answers = self._probes.reach(deadline_s=NODE_S)
        return self._judged(
            "ports", answers, lambda node, wrong: judging.judge_ports(node.address, wrong, num_places=len(answers))
        )

    def _storage(self) -> list[Finding]:
        assert self._probes is not None
        try:
            answers = self._probes.exchange(self._output, deadline_s=NODE_S)
        except OSError as error:
            found = f"{self._output}: cannot be written: {error.strerror}"
            return [red("storage", DRIVER, found, "a folder that can be written", "change output_dir.")]
        return self._judged(
            "storage",
            answers,
            lambda node, problem: judging.judge_storage(
                node.address, str(self._output), problem, is_needed=self._has(node, "learner")
            ),
        )

    def _paths(self) -> list[Finding]:
        """Models on the nodes whose actors load them."""
        users: dict[str, tuple[str, tuple[str, ...]]] = {
            path: (key, ("learner", "rollout", "eval")) for path, key in self._files.models.items()
        }
        for stage in self._stages:
            for name, model in stage.config.reward.models.items():
                section = placement.model_section(name)
                if not str(model.model).startswith("@"):
                    users[str(model.model)] = (stage.key(f"{section}.model"), (section,))
            for key, path in stage.config.algo.teacher.by_key.items():
                if not path.startswith("@"):
                    users[path] = (stage.key(key), ("learner",))
            judge = stage.config.judge
            if judge.model is not None and judge.url is None and not judge.model.startswith("@"):
                users[judge.model] = (stage.key("judge.model"), ("judge.engine",))
        if not users:
            return []
        paths = {path: path if is_hub_name(path) else str(Path(path).expanduser().resolve()) for path in users}
        driver = {path: path_facts(path) for path in paths.values()}

        def judge_node(node: Node, here: dict[str, PathFacts]) -> list[Finding]:
            keys = {paths[path]: key for path, (key, sections) in users.items() if self._has(node, *sections)}
            return judging.judge_paths(node.address, keys, here, driver)

        return self._judged("paths", self._ask("paths", list(paths.values())), judge_node)

    def _ask_sandboxes(self) -> list[Finding]:
        settings = self._config.sandbox
        if all(stage.config.only_learner for stage in self._stages):
            return []

        def asked(node: Node) -> tuple[Any, ...] | None:
            return () if self._has(node, "reward") else None

        self._sandboxes = self._ask("sandbox", settings.mode, settings.python, of=asked)
        return []

    def sandboxes(self, programs: Collection[str]) -> list[Finding]:
        """Judged when it is known whether the data ask for programs."""
        mode = self._config.sandbox.mode
        return [
            replace(
                judging.judge_sandbox(node.address, answer.value, answer.error, asked=mode, programs=sorted(programs)),
                seconds=answer.seconds,
            )
            for node, answer in self._sandboxes.items()
        ]

    # ------------------------------------------------------------------ between nodes

    def _collectives(self) -> list[Finding]:
        assert self._reservation is not None
        deadlines = [plan.deadlines for plan in self._plans] or [self._config.deadlines.decided]
        keys = {
            "all-reduce": ("deadlines.learn_s", max(each.learn_s for each in deadlines)),
            "broadcast": ("deadlines.publish_s", max(each.publish_s for each in deadlines)),
        }
        start_s = max(each.start_s for each in deadlines)
        sent = max((int(published_bytes(plan.config, plan.shape)) for plan in self._plans), default=None)
        findings = []
        for measured in examine.measure(self._reservation, timeout_s=min(COLLECTIVE_S, start_s)):
            key, deadline_s = keys[measured.operation]
            judged = judging.judge_collective(measured, model_bytes=sent, deadline_s=deadline_s, key=key)
            findings.append(replace(judged, seconds=measured.took_s))
        return findings
