"""``r1ray eval``: the metrics of one model, or of two, on benchmarks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.commands.run_folder import output_folder, removed_if_refused
from r1ray.config import EvaluationConfig
from r1ray.config.folder import own_folder
from r1ray.config.keys import sections_of
from r1ray.errors import UserError


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
        sections=lambda: sections_of(EvaluationConfig),
    )


def command(arguments: Sequence[str]) -> None:
    """Evaluate a model, or two."""
    given = parser().read(arguments)
    evaluate_benchmarks(given.words, config_dir=given.config_dir)


def evaluate_benchmarks(words: Sequence[str], *, config_dir: str | None = None) -> list[dict[str, Any]]:
    """Evaluate what overrides ask for. Returns the results: of the model on each benchmark, then of the other one.
    Raises R1RayError."""
    # conf/benchmark/ makes a config group of the name, and a group takes one file and no list.
    overrides = [re.sub(r"^(\+{0,2})benchmark=", r"\1benchmarks=", word) for word in words]
    config = compose(overrides, schema=EvaluationConfig, name="eval", config_dir=config_dir)
    config.benchmarks = _with_own(config.benchmarks, own_folder(config_dir))
    from r1ray.cluster.placement import preflight
    from r1ray.stages.evaluate.stage import evaluate_models
    from r1ray.stages.evaluate.task import memo_of

    output_folder(config.output_dir)
    preflight(config)
    memo = memo_of(config.output_dir)
    is_new = not memo.exists()
    with removed_if_refused(memo.parent):
        try:
            return evaluate_models(config)
        except UserError:
            if is_new:
                memo.unlink(missing_ok=True)
            raise


def _with_own(benchmarks: Any, own: Path | None) -> Any:
    """Return the benchmarks with the path of its file for each name that is one in a folder of the user's."""
    if isinstance(benchmarks, list):
        return [_with_own(each, own) for each in benchmarks]
    file = own / "benchmark" / f"{benchmarks}.yaml" if own else None
    return str(file) if file and file.is_file() else benchmarks
