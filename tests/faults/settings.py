"""The configuration of a run that is to meet faults: small, with gates in it, and with deadlines that are soon over."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from tests.faults.doors_reward import HELD_OUT
from tests.faults.gate import FOLDER
from tests.real.running import SMALL

SETTINGS = (
    *(each for each in SMALL if not each.startswith(("+reward", "steps=", "eval.every"))),
    *("steps=1000", "stop.metric=reward/going_on", "stop.window=1", "stop.min_gain=-0.01", "stop.after=0"),
    *("name=faults", "eval.every=2", "checkpoint.every=2", "algo.max_staleness=1", "learner.max_restarts=20"),
    *("data.template=none", "data.max_prompt_tokens=16"),
    *("rollout.num_actors=2", "rollout.cpus_per_actor=0.25", "learner.num_ranks=2", "learner.cpus_per_rank=0.25"),
    *("cluster.group_workers=2", "reward.num_actors=2"),
    *("rollout.silent_s=15", "deadlines.learn_s=25", "deadlines.publish_s=60"),
    *("deadlines.checkpoint_s=25", "deadlines.start_s=240", "deadlines.score_s=12"),
    *("reward.parts.accuracy.deadline_s=10", "reward.parts.format.deadline_s=10"),
    "algo.surrogate=tests.faults.doors_learner:surrogate",
    '+reward.parts.even={weight: 1.0, deadline_s: 10, function: "tests.faults.doors_reward:even"}',
    '+reward.parts.going_on={weight: 0.0, deadline_s: 10, function: "tests.faults.doors_reward:going_on"}',
    "+rollout.engine_args={logits_processors: ['tests.faults.doors_engine:Unchanged']}",
)

IN_WORLDS = (
    *("data.environment=turns", "environment.num_actors=2", "environment.max_trajectory_tokens=64"),
    "+environment.worlds.turns={path: 'tests.faults.doors_world:TwoTurns'}",
    "learner.max_tokens_per_microbatch=512",
)
"""Further ones of runs that lose environment workers: all prompts have an environment."""

AGENT = Path(__file__).with_name("calling_agent.py")
IN_AGENTS = (
    *("data.environment=agent", "environment.num_actors=2", "environment.max_trajectory_tokens=64"),
    *(
        f"environment.command=[python, -I, -S, {AGENT}, '{{prompt}}']",
        f"+environment.worlds.agent={{options: {{sandbox: false, env: {{{FOLDER}: null}}}}}}",
    ),
    "learner.max_tokens_per_microbatch=512",
)
"""Of runs that lose the endpoint of agents: each trajectory is one."""


def own_files(work: Path, task: Path) -> list[str]:
    """Write the prompts; those of evaluations have a domain of their own. Returns the overrides."""
    for name, domain in (("train", "math"), ("heldout", HELD_OUT)):
        rows = pq.read_table(task / f"{name}.parquet").to_pylist()
        lines = [json.dumps(row | {"domain": domain}) for row in rows]
        (work / f"{name}.jsonl").write_text("\n".join([*lines, ""]))
    return [f"data.train={work / 'train.jsonl'}", f"data.eval={work / 'heldout.jsonl'}"]
