"""Step times that NeMo-RL 0.6 publishes for GRPO on H100 (docs/about/performance-summary.md), and the same as plans.

Two efficiencies of each model stand for what its trainer and engines reach there (Megatron with expert parallelism,
vLLM's tensor parallelism over nodes): they were chosen by two of its three rows. The third is predicted.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table."""

    model: str
    gpus: int
    staleness: int
    engine_gpus: int
    """Tensor-parallel size of an engine."""
    generating: int
    """GPUs that generate; in the rows that are on-policy all of them, which then learn."""
    prompts: int
    group_size: int
    longest: int
    """Tokens of a row, with the prompt."""
    mean: int
    step_s: float
    is_predicted: bool

    @property
    def name(self) -> str:
        return f"{self.model}-{self.gpus}-{self.staleness}"

    @property
    def learning(self) -> int:
        return self.gpus - self.generating if self.staleness else self.gpus


def row(model: str, gpus: int, staleness: int, mean: int, step_s: float, tensor: int, **other: int | bool) -> Row:
    """Return a row with what all rows of its model have."""
    sizes = {"v3": (32, 16, 1536), "235b": (16, 32, 8192), "30b": (64, 32, 4096)}[model]
    generating = int(other.get("generating", gpus // 2 if staleness else gpus))
    return Row(
        model=model,
        gpus=gpus,
        staleness=staleness,
        engine_gpus=tensor,
        generating=generating,
        prompts=sizes[0],
        group_size=sizes[1],
        longest=sizes[2],
        mean=mean,
        step_s=step_s,
        is_predicted=bool(other.get("is_predicted", False)),
    )


ROWS = (
    row("v3", 256, 0, 701, 134.0, 32),
    row("v3", 512, 0, 697, 111.0, 32),
    row("v3", 512, 1, 710, 64.1, 32, is_predicted=True),
    row("235b", 128, 0, 5698, 395.0, 16),
    row("235b", 256, 0, 5713, 312.0, 16),
    row("235b", 256, 1, 5721, 231.0, 8, is_predicted=True),
    row("30b", 32, 0, 3203, 192.0, 2),
    row("30b", 32, 1, 3201, 152.0, 2),
    row("30b", 192, 8, 3206, 34.5, 2, generating=64, is_predicted=True),
)
EFFICIENCIES = {"v3": (0.016, 0.25), "235b": (0.05, 0.4), "30b": (0.12, 0.6)}
"""plan.learn_efficiency and plan.generate_efficiency."""


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


def plan_of(one: Row, folder: Path, *, efficiencies: tuple[float, float] | None = None) -> Plan:
    """Return a row as a plan. Learner and engines of the rows that are on-policy are planned apart, on as many GPUs
    each: on-policy they never work at the same time."""
    learn, generate = efficiencies or EFFICIENCIES[one.model]
    nodes_per_engine = max(1, one.engine_gpus // 8)
    recomputes = one.model != "30b"
    return plan_run(
        compose(
            [
                f"model={model_folder(one.model, folder)}",
                "data.train=t",
                f"data.max_prompt_tokens={PROMPT}",
                f"algo.prompts_per_step={one.prompts}",
                f"algo.group_size={one.group_size}",
                "algo.minibatches_per_step=1",
                f"algo.max_completion_tokens={one.longest - PROMPT}",
                "algo.old_logprobs=learner",
                "algo.correction=token_tis",
                f"algo.max_staleness={one.staleness}",
                "algo.allow_unbounded_staleness=true",
                "algo.allow_unweighted_staleness=true",
                f"learner.num_ranks={one.learning}",
                f"learner.gradient_checkpointing={str(recomputes).lower()}",
                f"learner.max_tokens_per_microbatch={one.longest}",
                f"rollout.num_actors={one.generating // one.engine_gpus}",
                f"rollout.gpus_per_actor={one.engine_gpus}",
                f"rollout.nodes_per_actor={nodes_per_engine}",
                f"+rollout.engine_args={{tensor_parallel_size: {one.engine_gpus}, pipeline_parallel_size: 1}}",
                "rollout.max_num_seqs=1024",
                "plan.gpu=h100",
                f"plan.prompt_tokens={PROMPT}",
                f"plan.completion_tokens={one.mean - PROMPT}",
                f"plan.learn_efficiency={learn}",
                f"plan.generate_efficiency={generate}",
            ]
        )
    )
