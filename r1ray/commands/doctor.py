"""``r1ray doctor``: would this run work here?"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose
from r1ray.commands.run_folder import on_disk
from r1ray.commands.unnamed import with_unnamed
from r1ray.config import RunConfig
from r1ray.config.keys import sections_of
from r1ray.runtime.exit_codes import DONE, NOT_RIGHT


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "doctor",
        "Check cluster, model and data of a run. Each check is green, yellow or red; a red one ends with 1.",
        usage="[the overrides of a run]",
        examples="""
            r1ray doctor model=/models/base data.train=train.parquet data.eval=test.parquet
            r1ray doctor --smoke --json
        """,
        sections=lambda: sections_of(RunConfig),
    )
    made.flags.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    made.flags.add_argument(
        "--smoke",
        action="store_true",
        help="make two real steps of a tiny model on that cluster instead, in the configured dtypes and over the "
        "configured transport, and show the seconds of each phase; needs neither model nor data",
    )
    return made


def command(arguments: Sequence[str]) -> int:
    """Look whether a run would work, or try it with a tiny model; returns 1 if something is red, or fails."""
    given = parser().read(arguments)
    is_right = _smoke if given.smoke else _examine
    is_all_right = is_right(given.words, config_dir=given.config_dir, as_json=given.json)
    return DONE if is_all_right else NOT_RIGHT


def _examine(overrides: list[str], *, config_dir: str | None, as_json: bool) -> bool:
    """Print what is found; returns if nothing is red."""
    given = compose(overrides, config_dir=config_dir)
    config = on_disk(given)
    from r1ray.doctor.examination import Planned, examine_run
    from r1ray.doctor.findings import show, to_json, worst
    from r1ray.recipes import configs_by_name, configs_of, stages_of
    from r1ray.stages.lookups import check_names

    stages = stages_of(config)
    configs = configs_by_name(config, stages)
    check_names(configs)
    planned = [Planned(name, each) for name, each in configs.items()]
    address = given.output_dir if config.output_dir != given.output_dir else None
    findings = examine_run(config, planned, configs_of(config, stages), address=address)
    if as_json:
        print(to_json(findings))
    else:
        show(findings)
    return worst(findings) != "red"


def _smoke(overrides: list[str], *, config_dir: str | None, as_json: bool) -> bool:
    """Make two steps of a tiny model on the run's cluster; returns if they were made."""
    recipe, stages = with_unnamed(overrides, partial(_stages, config_dir=config_dir))
    from r1ray.doctor.smoke import smoke
    from r1ray.doctor.smoke_report import report_json, report_text
    from r1ray.doctor.tiny import loop_config

    report = smoke(loop_config(stages, recipe=recipe))
    print(report_json(report) if as_json else report_text(report))
    return report.failure is None


def _stages(overrides: list[str], *, config_dir: str | None) -> tuple[str, dict[str, RunConfig]]:
    """Return the recipe, and the configurations of its stages by their names."""
    config = on_disk(compose(overrides, config_dir=config_dir))
    from r1ray.recipes import configs_by_name, stages_of

    return config.recipe, configs_by_name(config, stages_of(config))
