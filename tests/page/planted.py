"""Planted runs for reports: folders as a run leaves them, with metrics, events and rollouts of every kind."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.telemetry.rollout_rows import SCHEMA, SEGMENT

HOSTILE = (
    '</script><script>document.title = "owned"</script><img src=x onerror="document.title = \'owned\'">'
    '<b onmouseover="document.title = \'owned\'">bold</b>&lt;\u2028\u2029\u202e\ufeff\0{{}}${1}`" \N{GRINNING FACE}'
)
"""What a model may write to take over the page of who reads it."""
BEGAN = 1_795_985_000.0
ADDED = {"tests": pa.struct([("passed", pa.int32()), ("run", pa.int32()), ("total", pa.int32())])}
ADDED_TO_SEGMENT = {"token_ends": pa.list_(pa.int32())}
"""Columns that are newer than some runs."""


def plant(
    folder: Path, *, num_steps: int = 20, groups: int = 3, size: int = 4, seed: int = 0, words: int = 12, **config: Any
) -> Path:
    """Make a run; one group in seven is dropped, uniform, or hacks its reward. Return its folder."""
    chance = random.Random(seed)
    (folder / "rollouts").mkdir(parents=True)
    (folder / "config.yaml").write_text(
        json.dumps({"name": folder.name, "seed": seed, "algo": {"group_size": size, "clip_high": 0.2} | config})
    )
    lines = list(metric_lines(num_steps, chance))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events(num_steps)))
    for step in range(1, num_steps + 1):
        rows = [row for group in range(groups) for row in group_rows(step, group, size, words, chance)]
        write_rows(folder / "rollouts" / f"step={step:06d}.parquet", rows)
    return folder


def metric_lines(num_steps: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the lines of metrics.jsonl; an evaluation every five steps, and one number that is none."""
    for step in range(num_steps + 1):
        done = step / num_steps
        line: dict[str, Any] = {"stage": "rl", "wall_time": BEGAN + 10 * step, "step": step, "policy_version": step}
        if step % 5 == 0:
            right = 0.2 + 0.7 * done
            line |= {"eval/heldout/pass@1": right, "eval/heldout/pass@1_low": right - 0.1}
            line |= {"eval/heldout/pass@1_high": min(1.0, right + 0.1), "eval/heldout/cons@16": min(1.0, right + 0.15)}
            line |= {"eval/heldout/length_mean": 10 + 12 * done}
        if step:
            line |= {"time/step_s": 9.0, "time/learn_s": 3.0, "time/idle_learner_s": 5.0, "time/publish_s": 1.0}
            line |= {"reward/mean": done + chance.gauss(0, 0.1), "reward/accuracy": done, "reward/format": 1.0}
            line |= {"completion/length_mean": 10 + 12 * done, "completion/truncated_rate": 0.1, "entropy": 2 - done}
            line |= {"kl/ref": 0.01 * step, "grad_norm": 1.0 if step != 3 else math.nan, "clip_fraction": 0.02}
            line |= {"mismatch/kl": 1e-4, "staleness/mean": 0.5, "staleness/max": 1.0, "loss/total": -0.01}
            line |= {"ledger/issued": 4 * step + 2, "ledger/trained": 3 * step, "ledger/dropped": step}
            line |= {"ledger/dropped/uniform": step, "ledger/in_flight": 2, "group/uniform_rate": 0.25}
            line |= {"faults/rollout_worker": 1.0 * (step >= 4), "learner/restarts": 1.0 * (step >= 9)}
            line |= {"throughput/generated_tokens_per_s": 800 + chance.gauss(0, 50)}
        yield line


def events(num_steps: int) -> Iterator[dict[str, Any]]:
    """Yield what the actors did."""

    def event(actor: str, kind: str, start: float, end: float, detail: str = "") -> dict[str, Any]:
        return {"actor": actor, "kind": kind, "start": BEGAN + start, "end": BEGAN + end, "detail": detail}

    for step in range(num_steps):
        at = 10.0 * step
        for engine in range(2):
            yield event(f"engine {engine}", "generate", at, at + 5 + engine)
            yield event(f"engine {engine}", "pause", at + 8, at + 9)
        yield event("reward worker 0", "score", at + 5, at + 5.5)
        yield event("learner rank 0", "learn", at + 6, at + 9)
        yield event("driver", "wait", at, at + 6)
    yield event("engine 1", "fault", 42, 42, "killed by signal 9")
    yield event("driver", "resume", 60, 60, "the command before: killed")


def group_rows(step: int, group: int, size: int, words: int, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the rows of a group."""
    number = step * 5 + group
    base = {
        "step": step,
        "stage": "rl",
        "group_id": f"0/{number}",
        "prompt_id": f"sum-{number}",
        "domain": "math" if group % 2 == 0 else "code",
        "language": "en",
        "prompt_text": f"What is {number} + {step}?",
        "answer": str(number + step),
        "group_status": "trained",
    }
    if number % 7 == 6:
        yield base | {"group_status": "dropped", "dropped_reason": "generation_failed"}
        return
    for index in range(size):
        right = chance.random() < 0.5
        text = " ".join(
            chance.choice(("so", "then", "x", "= 4,", "we", "add", "\N{GRINNING FACE}")) for _ in range(words)
        )
        text += " Wait, let me check." if index == 1 else ""
        if (step, group, index) == (1, 0, 0):
            text = HOSTILE
        pays_wrong = number % 7 == 3 and index == 2
        yield base | scored(
            text, right and not pays_wrong, index, reward=2.0 if right or pays_wrong else 1.0, step=step
        )


def scored(text: str, is_right: bool, index: int, *, reward: float, step: int) -> dict[str, Any]:
    """Return the columns of a trajectory of one segment, whose tokens are words."""
    return {
        "trajectory": index,
        "response_text": text,
        "extracted": "4" if is_right else None,
        "reward": reward,
        "rewards": [("accuracy", reward - 1.0), ("format", 1.0)],
        "outcome": "scored",
        "label": "correct" if is_right else "wrong",
        "detail": "",
        "advantage": reward - 1.5,
        "status": "truncated" if index == 3 else "finished",
        "num_policy_tokens": len(text.split(" ")),
        "num_context_tokens": 0,
        "num_turns": 1,
        "num_branches": 1,
        "versions": {"min": step - 1, "max": step},
        "learner_updates": index % 2,
        "seconds": {"generate": 1.5, "environment": 0.0, "reward": 0.01},
        "segments": [segment(text, step)],
    }


def segment(text: str, step: int, *, kind: str = "policy", role: str = "assistant", tool: str = "") -> dict[str, Any]:
    """Return a segment; a policy one with the log-probabilities of engine and learner, and of two versions."""
    words = text.split(" ")
    ends = [len(" ".join(words[: number + 1])) for number in range(len(words))]
    known = {"branch": 0, "kind": kind, "role": role, "text": text, "tool": tool, "stop": "", "token_ends": ends}
    known["tokens"] = list(range(len(words)))
    if kind == "context":
        return known
    half = len(words) // 2
    return known | {
        "logprobs": [-0.5] * len(words),
        "learner_logprobs": [-0.5 + 0.3 * math.sin(number) ** 9 for number in range(len(words))],
        "version": step - 1,
        "versions": [
            {"version": step - 1, "start": 0, "end": half},
            {"version": step, "start": half, "end": len(words)},
        ],
    }


def plant_turns(folder: Path) -> Path:
    """Make a run of one step whose trajectories call a tool, run tests, and have an environment."""
    plant(folder, num_steps=1, groups=1)
    row = next(group_rows(1, 0, 1, 4, random.Random(1)))
    turns = [
        segment("I multiply with the tool. <call>6*7</call>", 1),
        segment("42", 1, kind="context", role="tool", tool="calculator"),
        segment("So it is 42.", 1),
    ]
    row |= {
        "segments": turns,
        "num_turns": 2,
        "environment": "calculator",
        "tests": {"passed": 3, "run": 4, "total": 5},
    }
    row |= {"response_text": "I multiply with the tool. <call>6*7</call>So it is 42.", "detail": "test 4: expected 5"}
    write_rows(folder / "rollouts" / "step=000002.parquet", [row])
    return folder


def plant_recipe(folder: Path) -> Path:
    """Make a recipe's folder: fine-tuning, and reinforcement learning from what it made."""
    for number, (name, model) in enumerate((("fine_tuned", "/models/base"), ("rl", "@fine_tuned"))):
        stage = plant(folder / "stages" / name, num_steps=4, seed=number)
        manifest = {
            "stage": name,
            "settings": {"recipe": "sft" if number == 0 else "r1_zero", "model": model},
            "inputs": {} if number == 0 else {"fine_tuned": {"path": "hf/6"}},
            "artifact": {"path": f"{stage}/hf/4", "metrics": {"train_loss": 0.5, "pass@1": 0.4, "pass@1_low": 0.3}},
            "started": BEGAN + 100 * number,
            "seconds": 99.0,
        }
        (stage / "manifest.json").write_text(json.dumps(manifest))
    (folder / "lineage.json").write_text("{}")
    return folder


def write_rows(path: Path, rows: list[dict[str, Any]], *, is_old: bool = False) -> None:
    """Write rows of the rollout log.

    Args:
        is_old: without the newer columns.
    """
    schema = SCHEMA if is_old else newest()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")


def newest() -> pa.Schema:
    """Return the schema of rollouts with every column that a page knows."""
    segment_fields = [
        *SEGMENT,
        *(pa.field(name, kind) for name, kind in ADDED_TO_SEGMENT.items() if name not in names(SEGMENT)),
    ]
    fields = [
        field if field.name != "segments" else pa.field("segments", pa.list_(pa.struct(segment_fields)))
        for field in SCHEMA
    ]
    return pa.schema([*fields, *(pa.field(name, kind) for name, kind in ADDED.items() if name not in SCHEMA.names)])


def names(struct: pa.StructType) -> list[str]:
    return [field.name for field in struct]


def plant_steps(run: Path, num_steps: int) -> None:
    """Give a run many more steps, whose rollouts are those of its last one under other numbers."""
    paths = sorted((run / "rollouts").glob("step=*.parquet"))
    last = pq.read_table(paths[-1])
    for step in range(len(paths) + 1, num_steps + 1):
        numbered = last.set_column(0, "step", pa.array([step] * len(last), pa.int32()))
        pq.write_table(numbered, run / f"rollouts/step={step:06d}.parquet", compression="zstd")
    lines = metric_lines(num_steps, random.Random(0))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events(num_steps)))
