"""Going on with other settings: which keys may change when a run resumes, and which make it another run.

    MAY_CHANGE      what was learned is the same with any value: where it runs, memory, patience, what is written
    MEASURES        what is measured: may change too, unless a measurement decides something
    MAY_GROW        how long it trains: may grow, if the learning rate does not depend on it

Every other key is fixed. A key stands for all that is below it; ``*`` stands for one name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from r1ray.config.defaults import completed, unknown_keys
from r1ray.config.run import RunConfig

NO_KEY = "no such key"
GONE = "r1ray has none of this name; without that line in its config.yaml the run goes on"

_ENGINE = (
    "num_actors",
    "nodes_per_actor",
    "cpus_per_actor",
    "gpus_per_actor",
    "resources",
    "labels",
    "threads",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "cpu_kv_cache_gib",
    "engine_args.block_size",
    "engine_args.cpu_offload_gb",
    "engine_args.enable_chunked_prefill",
    "engine_args.enable_prefix_caching",
    "engine_args.enforce_eager",
    "engine_args.kv_cache_memory_bytes",
    "engine_args.max_cudagraph_capture_size",
    "engine_args.num_gpu_blocks_override",
    "engine_args.pipeline_parallel_size",
    "engine_args.tensor_parallel_size",
)
"""Keys of ``rollout``, and of the judge's engines."""

MAY_CHANGE = (
    *("name", "output_dir", "experiment", "stages", "artifacts"),
    *("cluster", "plan", "audit", "deadlines", "checkpoint", "weights", "placement", "colocated"),
    *("trackers", "tracking", "mirror"),
    *(f"rollout.{key}" for key in _ENGINE),
    *(f"judge.engine.{key}" for key in _ENGINE),
    *(f"rollout.{key}" for key in ("min_actors", "max_actors", "silent_s")),
    *(f"judge.engine.{key}" for key in ("min_actors", "max_actors", "silent_s")),
    "reward.parts.*.on_error",
    *("judge.api_key_env", "judge.deadline_s", "judge.max_in_flight"),
    *(f"environment.{key}" for key in ("num_actors", "cpus_per_actor", "resources", "labels")),
    *("environment.reset_timeout_s", "environment.step_timeout_s", "environment.agents.at_once"),
    "reward.num_actors",
    "reward.cpus_per_actor",
    "reward.resources",
    "reward.labels",
    "reward.max_in_flight",
    "reward.verifier.num_processes",
    "reward.models.*.num_actors",
    "reward.models.*.cpus_per_actor",
    "reward.models.*.gpus_per_actor",
    "reward.models.*.resources",
    "reward.models.*.labels",
    "reward.models.*.threads",
    "reward.models.*.batch_tokens",
    *("sandbox.mode", "sandbox.unsafe", "sandbox.num_slots"),
    "trust_remote_code",
    "learner.num_ranks",
    "learner.cpus_per_rank",
    "learner.gpus_per_rank",
    "learner.resources",
    "learner.labels",
    "learner.threads",
    "learner.max_restarts",
    "learner.max_tokens_per_microbatch",
    "learner.packing",
    "learner.gradient_checkpointing",
    "learner.offload_optimizer",
    "learner.offload_parameters",
    "learner.lora.export",
    *("eval.num_actors", "eval.slots"),
)
MEASURES = (
    "eval.every",
    "eval.num_prompts",
    "eval.samples",
    "eval.final_num_prompts",
    "eval.final_samples",
    "eval.temperature",
    "eval.top_p",
    "eval.compare",
    "supervised.eval_every",
    "supervised.eval_rows",
    "supervised.samples",
)
MAY_GROW = ("steps", "supervised.epochs")


@dataclass(frozen=True, slots=True)
class Change:
    """A key whose value is another one now."""

    key: str
    before: Any
    now: Any
    refused: str | None = None
    """Why the run cannot go on with it; empty where the key is simply fixed. None: it may change."""

    def __str__(self) -> str:
        why = f": {self.refused}" if self.refused else ""
        return f"{self.key} ({self.before} there, {self.now} now{why})"


def decisive(config: RunConfig) -> dict[str, Any]:
    """Return what makes two runs different runs: not where they run, on how many ranks and actors, nor how patient they
    are. A run may go on from its checkpoint with other values of these."""
    return only_decisive(asdict(config))


def only_decisive(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """The same of a configuration as nested dicts. What is measured is decisive of an evaluation alone; if it decides
    something else, :func:`changes` refuses it."""
    is_evaluation = values.get("recipe") == "evaluate"
    return _without(values, _pattern(MAY_CHANGE if is_evaluation else (*MAY_CHANGE, *MEASURES)))


def lasting(settings: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return of decisive settings those that have to be the same as long as a run goes on: without its length, if that
    may grow."""
    schedule = (settings.get("learner") or {}).get("schedule")
    return _without(settings, _pattern(MAY_GROW)) if schedule == "constant" else dict(settings)


def changes(before: Mapping[Any, Any], now: Mapping[Any, Any]) -> list[Change]:
    """Return what is different in two configurations, as nested dicts, of a run that is to go on.

    Args:
        before: of this version of r1ray or of another; a key that it lacks has its default.
    """
    before, now = completed(before), completed(now)
    gone = unknown_keys(before)
    free, measures = _pattern(MAY_CHANGE), _pattern(MEASURES)
    is_measured = _is_decided_by_measures(before) or _is_decided_by_measures(now)
    found = []
    for key, old, new in differences(before, now):
        refused: str | None = ""
        if free.fullmatch(key):
            refused = None
        elif measures.fullmatch(key):
            refused = "checkpoint.best, stop.metric or recipe=evaluate depends on it" if is_measured else None
        elif key in MAY_GROW:
            refused = _refused_length(old, new, _section(now, "learner").get("schedule"))
        if key in gone and new is None:
            new, refused = NO_KEY, refused if refused is None else GONE
        found.append(Change(key, old, new, refused))
    return found


def _refused_length(before: Any, now: Any, schedule: str | None) -> str | None:
    if schedule != "constant":
        return f"learner.schedule={schedule} depends on it"
    return None if isinstance(before, int) and now > before else "it may only grow"


def _is_decided_by_measures(values: Mapping[Any, Any]) -> bool:
    """Measurements are what the recipe makes, choose a checkpoint, or end training."""
    checkpoint, stop = _section(values, "checkpoint"), _section(values, "stop")
    ends = stop.get("window") and str(stop.get("metric")).startswith("eval/")
    return values.get("recipe") == "evaluate" or checkpoint.get("best") is not None or bool(ends)


def _section(values: Mapping[Any, Any], name: str) -> Mapping[Any, Any]:
    """Return a section; an empty one where a file has something else in its place."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield each dotted key whose values differ, with both."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}, key=str):
            yield from differences(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now:
        yield key, before, now


def _pattern(keys: tuple[str, ...]) -> re.Pattern[str]:
    """One that the keys match, and everything below them."""
    return re.compile("(" + "|".join(re.escape(key).replace(r"\*", r"[^.]+") for key in keys) + r")(\..+)?", re.DOTALL)


def _without(values: Mapping[Any, Any], left_out: re.Pattern[str], above: str = "") -> dict[Any, Any]:
    return {
        key: _without(value, left_out, f"{above}{key}.") if isinstance(value, dict) else value
        for key, value in values.items()
        if not left_out.fullmatch(f"{above}{key}")
    }
