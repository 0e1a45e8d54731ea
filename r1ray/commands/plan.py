"""``r1ray plan``: what a run will need, before anything is started."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.commands.unnamed import with_unnamed
from r1ray.config import RunConfig
from r1ray.config.keys import sections_of
from r1ray.errors import UserError

if TYPE_CHECKING:
    from r1ray.planning.plan import Plan


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "plan",
        "Show the memory of each actor, the batch arithmetic, the time of a step, disk and cost of a run. It needs\n"
        "neither GPUs nor the model's files. A run that cannot fit ends with 2 and the nearest change that would.",
        usage="[the overrides of a run]",
        examples="""
            r1ray plan model=qwen2.5_7b cluster=one_node_8 plan.gpu=a100-80 plan.price=2.5
            r1ray plan experiment=quickstart --json
            r1ray plan model=qwen2.5_7b cluster=eight_nodes_8 algo=async --simulate
        """,
        sections=lambda: sections_of(RunConfig, first=("plan",)),
    )
    one = made.flags.add_mutually_exclusive_group()
    one.add_argument("--json", action="store_true", help="print one JSON object a stage")
    one.add_argument(
        "--ending", action="store_true", help="print the seconds alone that a run needs to end when it is asked to"
    )
    made.flags.add_argument(
        "--simulate",
        action="store_true",
        help="simulate the loop: what waits for what, and the best split of the GPUs",
    )
    return made


def command(arguments: Sequence[str]) -> None:
    """Show what a run will need. Raises UserError, with what would help, if it cannot work."""
    given = parser().read(arguments)
    stages, models = with_unnamed(given.words, partial(_planned, config_dir=given.config_dir), but=("model",))
    from r1ray.planning.advice import nearest_change
    from r1ray.planning.plan import plan_run
    from r1ray.planning.report import as_json, refusal, report, stages_table
    from r1ray.planning.ways import ways_of

    plans = [plan_run(config, name=name, models=models) for name, config in stages.items() if config.starts_actors]
    failed = next((each for each in plans if each.problems), None)
    advice = nearest_change(failed, models=models) if failed else None
    simulated = _simulated(plans, models) if given.simulate and not given.ending else {}
    if given.ending:
        print(max((math.ceil(each.ending_s) for each in plans), default=0))
    elif given.json:
        known = [(each, advice if each is failed else None, ways_of(each, models=models)) for each in plans]
        print(json.dumps([as_json(*each) | simulated.get(each[0].name, ("", {}))[1] for each in known], indent=2))
    elif not plans:
        print("nothing of this starts an actor")
    elif len(plans) == 1:
        print(report(plans[0], ways_of(plans[0], models=models)))
    else:
        worst = failed or max(plans, key=lambda each: each.tightest.bytes / each.tightest.capacity)
        print(f"{stages_table(plans)}\n\nThe tightest of them:\n\n{report(worst, ways_of(worst, models=models))}")
    if not given.json:
        for name, (text, _) in simulated.items():
            print(f"{name} {text}".lstrip())
    if failed:
        raise UserError(refusal(failed, advice))


def _simulated(plans: Sequence[Plan], models: Mapping[str, str]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Simulate the stages that can work and have a loop; return text and JSON of each by its name. Raises UserError
    where there is none."""
    from r1ray.planning.placed import is_reinforcement
    from r1ray.simulation.report import as_json, report
    from r1ray.simulation.result import simulate
    from r1ray.simulation.splits import splits_of

    looping = [each for each in plans if is_reinforcement(each.config)]
    if not looping:
        raise UserError(
            "--simulate: needs a stage with both a learner and engines (recipe=r1_zero), and this has none."
        )
    found = {}
    for plan in looping:
        if not plan.problems:
            one, splits = simulate(plan), splits_of(plan, models=models)
            found[plan.name] = report(plan, one, splits), {"simulated": as_json(one, splits)}
    return found


def _planned(overrides: list[str], *, config_dir: str | None) -> tuple[dict[str, RunConfig], dict[str, str]]:
    """Return the configuration of each stage by its name (that of a recipe without stages under an empty name), and
    whose shape the stages' models have."""
    from r1ray.planning.plan import gpu_name, shape_name
    from r1ray.stages.graph import stage_config
    from r1ray.stages.students import with_students

    config = compose(overrides, config_dir=config_dir)
    if not config.graph:
        return {"": config}, {}
    whole = with_students(replace(config, plan=replace(config.plan, gpu=gpu_name(config))))
    stages = {name: stage_config(whole, name) for name in whole.graph}
    models = {name: str(stage.model) for name, stage in stages.items() if stage.model}
    asked = {name: stage for name, stage in stages.items() if name in (config.stages or stages)}
    return asked, models | ({"prepare": shape_name(config)} if config.prepare.maker else {})
