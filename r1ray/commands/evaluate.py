"""``r1ray eval``: the metrics of one model, or of two, on benchmarks."""

from __future__ import annotations

from collections.abc import Sequence

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.config import EvaluationConfig


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    return Parser(
        "eval",
        "Compute pass@1, cons@k and the other metrics of a benchmark, with intervals; against=PATH compares two\n"
        "models. The same command asks only what was not answered before.",
        usage="model=PATH benchmark=NAME [data=PATH] [against=PATH] [key=value ...]",
        examples="""
            r1ray eval model=runs/mine/hf/120 benchmark=math_500 data=math_500.jsonl
            r1ray eval model=runs/mine/hf/120 against=/models/base benchmark=prompts data=heldout.parquet
        """,
    )


def command(arguments: Sequence[str]) -> None:
    """Evaluate a model, or two."""
    # conf/benchmark/ makes a config group of the name, and a group takes one file and no list.
    overrides = [
        word.replace("benchmark=", "benchmarks=", 1) if word.startswith("benchmark=") else word
        for word in parser().read(arguments).words
    ]
    config = compose(overrides, schema=EvaluationConfig, name="eval")
    from r1ray.cluster.placement import preflight
    from r1ray.stages.evaluate.stage import evaluate_models

    preflight(config)
    evaluate_models(config)
