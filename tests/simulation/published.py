"""Step times that NeMo-RL 0.6 publishes for GRPO on H100 (docs/about/performance-summary.md), and the same as plans.

Sizes are those of its recipes (examples/configs/recipes/llm/performance). One number of each model is chosen so that
its first row fits: the share of the peak that its Megatron learner reaches, without the pipeline's bubble, which is
computed. The engines' efficiency is the plan's default for all. Every other row is predicted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from r1ray.commands.compose import compose
from r1ray.planning.plan import Plan, plan_run
from r1ray.planning.shapes import SHIPPED

PROMPT = 110
"""Tokens of a prompt of OpenMathInstruct-2 with its template, about."""


REFIT_GB_S = 90
"""Of a publish: 5.5 s for Qwen3-235B and 14 s for DeepSeek-V3 (NeMo-RL's pull request 1379)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What all rows of a model share."""

    prompts: int
    group_size: int
    longest: int
    """Tokens of a row, with the prompt."""
    learn_efficiency: float
    """Of the learner without its bubble, by the first row."""
    recomputes: bool
    """Activations."""


MODELS = {
    "v3": Model(prompts=32, group_size=16, longest=1536, learn_efficiency=0.03, recomputes=True),
    "235b": Model(prompts=16, group_size=32, longest=8192, learn_efficiency=0.18, recomputes=True),
    "30b": Model(prompts=64, group_size=32, longest=4096, learn_efficiency=0.094, recomputes=False),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table."""

    model: str
    gpus: int
    staleness: int
    step_s: float
    mean: int
    """Tokens of a row, with the prompt."""
    tensor: int
    """GPUs of an engine."""
    generating: int
    """GPUs that generate; where it is on-policy all of them, which then learn."""
    pipeline: int
    """Stages of the learner."""
    of_replica: int
    """GPUs of one of the learner's data-parallel replicas."""
    updates: int = 1

    @property
    def name(self) -> str:
        return f"{self.model}-{self.gpus}-{self.staleness}"

    @property
    def learning(self) -> int:
        return self.gpus - self.generating if self.staleness else self.gpus

    @property
    def learn_efficiency(self) -> float:
        """Of all stages: each waits for its first micro-batch, and for the last of the stages behind it."""
        sizes = MODELS[self.model]
        rows = sizes.prompts * sizes.group_size * self.of_replica / self.learning / self.updates
        microbatches = max(1.0, rows / max(1, sizes.longest // self.mean))
        return sizes.learn_efficiency * microbatches / (microbatches + self.pipeline - 1)


ROWS = (
    Row("v3", 256, 0, 134.0, 701, tensor=32, generating=256, pipeline=16, of_replica=16),
    Row("v3", 512, 0, 111.0, 697, tensor=32, generating=512, pipeline=16, of_replica=16),
    Row("v3", 512, 1, 64.1, 710, tensor=32, generating=256, pipeline=16, of_replica=16),
    Row("235b", 128, 0, 395.0, 5698, tensor=16, generating=128, pipeline=8, of_replica=32),
    Row("235b", 256, 0, 312.0, 5713, tensor=16, generating=256, pipeline=8, of_replica=32),
    Row("235b", 256, 1, 231.0, 5721, tensor=8, generating=128, pipeline=8, of_replica=32),
    Row("30b", 32, 0, 192.0, 3203, tensor=2, generating=32, pipeline=1, of_replica=1, updates=4),
    Row("30b", 32, 1, 152.0, 3201, tensor=2, generating=16, pipeline=2, of_replica=2),
    Row("30b", 192, 8, 34.5, 3206, tensor=2, generating=64, pipeline=1, of_replica=1, updates=4),
)
"""The first of each model is the one that chose its efficiency."""


def model_folder(model: str, folder: Path) -> Path:
    """Return a folder with the shape of a model in bfloat16."""
    if model == "v3":
        config = json.loads((SHIPPED / "deepseek-ai--DeepSeek-V3-Base.json").read_text())
        del config["quantization_config"]
    else:
        config = json.loads((SHIPPED / "Qwen--Qwen3-30B-A3B-Base.json").read_text())
    if model == "235b":
        config |= {
            "hidden_size": 4096,
            "num_hidden_layers": 94,
            "num_attention_heads": 64,
            "moe_intermediate_size": 1536,
            "intermediate_size": 12288,
        }
    made = folder / model
    made.mkdir(exist_ok=True)
    (made / "config.json").write_text(json.dumps(config))
    return made


def plan_of(row: Row, folder: Path) -> Plan:
    """Return a row as a plan. Learner and engines of the rows that are on-policy are planned apart, on as many GPUs
    each: on-policy they never work at the same time."""
    sizes = MODELS[row.model]
    return plan_run(
        compose(
            [
                f"model={model_folder(row.model, folder)}",
                "data.train=t",
                f"data.max_prompt_tokens={PROMPT}",
                f"algo.prompts_per_step={sizes.prompts}",
                f"algo.group_size={sizes.group_size}",
                f"algo.minibatches_per_step={row.updates}",
                f"algo.max_completion_tokens={sizes.longest - PROMPT}",
                "algo.old_logprobs=learner",
                "algo.correction=token_tis",
                f"algo.max_staleness={row.staleness}",
                "algo.allow_unbounded_staleness=true",
                "algo.allow_unweighted_staleness=true",
                f"learner.num_ranks={row.learning}",
                f"learner.sequence_parallel_size={row.of_replica}",
                f"learner.gradient_checkpointing={str(sizes.recomputes).lower()}",
                f"learner.max_tokens_per_microbatch={sizes.longest}",
                f"rollout.num_actors={row.generating // row.tensor}",
                f"rollout.gpus_per_actor={row.tensor}",
                f"rollout.nodes_per_actor={max(1, row.tensor // 8)}",
                f"+rollout.engine_args={{tensor_parallel_size: {row.tensor}, pipeline_parallel_size: 1}}",
                "rollout.max_num_seqs=1024",
                "plan.gpu=h100",
                f"plan.node_network_gb_s={8 * REFIT_GB_S}",
                "plan.network_efficiency=1",
                f"plan.prompt_tokens={PROMPT}",
                f"plan.completion_tokens={row.mean - PROMPT}",
                f"plan.learn_efficiency={row.learn_efficiency}",
            ]
        )
    )
