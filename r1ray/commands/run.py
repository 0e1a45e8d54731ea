"""``r1ray run``: a recipe, or one stage of it, in its run folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from r1ray.commands.arguments import Parser
from r1ray.commands.compose import compose, to_yaml
from r1ray.commands.next_commands import next_commands
from r1ray.commands.run_folder import address_of, claim_run_folder, on_disk, reserved, run_folder, shared_folder
from r1ray.config import RunConfig
from r1ray.config.keys import sections_of
from r1ray.config.mirror import MirrorConfig
from r1ray.mirror.address import require_disk
from r1ray.runtime.run_files import CURVES, REPORT

if TYPE_CHECKING:
    from r1ray.stages.base import Artifact, Context, Stage

logger = logging.getLogger(__name__)


def parser() -> Parser:
    """Return the parser of the command's arguments."""
    made = Parser(
        "run",
        "Run a recipe, or one stage of it. The same command resumes an interrupted run, and skips what is finished.\n"
        "A run of your own needs model=PATH data.train=PATH and should have data.eval=PATH; with recipe=sft or\n"
        "reward_model it needs model=PATH supervised.train=PATH, and supervised.eval=PATH.",
        usage="[recipe=NAME] [experiment=NAME] [key=value ...]",
        examples="""
            r1ray run experiment=quickstart
            r1ray run model=/models/base data.train=train.parquet data.eval=test.parquet steps=100
            r1ray run recipe=r1 model=/models/base data.train=train.parquet --cfg job
        """,
        sections=lambda: sections_of(RunConfig),
    )
    made.flags.add_argument("--cfg", choices=["job"], help="print everything that would be run, and run nothing")
    made.flags.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show what vLLM, DeepSpeed and Ray print; it is in RUN_DIR/logs/ too",
    )
    return made


def command(arguments: Sequence[str]) -> None:
    """Run the configured recipe in its run folder, or show what would be run."""
    given = parser().read(arguments)
    config = compose(given.words, config_dir=given.config_dir)
    if given.cfg:
        config, stages = _planned(config)
        return _show(config, stages)
    run_recipe(config, with_chatter=given.verbose)


def run_recipe(config: RunConfig, *, with_chatter: bool = False) -> Path:
    """Run a recipe in its run folder, which is returned. Raises R1RayError.

    Args:
        with_chatter: show what libraries print, of every process.
    """
    from r1ray.cluster.placement import preflight
    from r1ray.recipes import configs_by_name, configs_of
    from r1ray.stages.base import Context
    from r1ray.stages.inputs import check_inputs
    from r1ray.stages.lookups import check_names
    from r1ray.stages.machine import check_memory, placed_here
    from r1ray.telemetry.trackers.needs import check_needs

    check_needs(config.trackers)
    given, config = config, on_disk(config)
    asked = placed_here(config)  # turns that are decided already could not be decided anew for what would fit
    config, stages = _planned(config)
    run_dir = run_folder(config)
    address = address_of(given, run_dir)
    if address is not None:
        require_disk(run_dir.parent, given.output_dir)
    configs = configs_by_name(config, stages)
    check_names(configs)
    check_inputs(stages, run_dir)
    for stage_config in configs_of(config, stages):
        preflight(stage_config)
    check_memory(asked, configs_by_name(asked, stages))
    context = Context(run_dir, shared_folder(run_dir, address))
    with reserved(run_dir), _copied(run_dir, address, config.mirror):
        _run_alone(replace(config, output_dir=given.output_dir), stages, context, with_chatter=with_chatter)
    return run_dir


@contextmanager
def _copied(run_dir: Path, address: str | None, settings: MirrorConfig) -> Iterator[None]:
    """Have the run's folder copied to its address, if it has one, while the block lasts."""
    if address is None:
        yield
        return
    from r1ray.mirror.supervision import mirrored

    with mirrored(run_dir, address, settings):
        logger.info(f"run folder: {run_dir}, copied to {address}")
        yield


def _planned(config: RunConfig) -> tuple[RunConfig, Sequence[Stage]]:
    """Return the configuration placed on this machine and with its deadlines, and its stages."""
    from r1ray.recipes import stages_of
    from r1ray.stages.deadlines import with_deadlines
    from r1ray.stages.machine import placed_here

    config = placed_here(config)
    if not config.graph:  # each stage of a graph decides its own when it has its model
        config = with_deadlines(config)
    return config, stages_of(config)


def _run_alone(config: RunConfig, stages: Sequence[Stage], context: Context, *, with_chatter: bool) -> None:
    """Run the stages in a folder that no other process works in."""
    from r1ray.stages.base import run_stages
    from r1ray.stages.graph import finish_graph
    from r1ray.telemetry.driver_status import told
    from r1ray.telemetry.trackers.supervision import tracked

    run_dir = claim_run_folder(context.run_dir, config)
    logger.info(f"run folder: {run_dir}")
    was_done = all((run_dir / "stages" / stage.name / "manifest.json").exists() for stage in stages)
    with told(run_dir, with_chatter=with_chatter), tracked(run_dir, config.trackers, config.tracking):
        made = run_stages(stages, context, only=config.stages, given=config.artifacts)
        if config.graph:
            finish_graph(context, stages, made)
    if was_done:
        logger.info("this run was finished before; name=ANOTHER runs the same settings once more")
    _say_what_is_there(run_dir, config, made)


def _say_what_is_there(run_dir: Path, config: RunConfig, made: Mapping[str, Artifact]) -> None:
    """Log the folder of a run, its picture and page, and the commands that follow."""
    page = run_dir / REPORT
    lines = [f"run folder: {run_dir}"]
    lines += [f"plot:       {run_dir / CURVES}"] if (run_dir / CURVES).exists() else []
    lines += [f"report:     {page}" + ("" if page.exists() else " (r1ray report writes it)")]
    model = Path(list(made.values())[-1].path) if made else None
    held_out = Path(made["base"].path) / "heldout.parquet" if "base" in made else None
    found = str(held_out) if held_out is not None and held_out.exists() else config.data.eval
    lines += ["next:", *(f"  {line}" for line in next_commands(run_dir, config, model=model, held_out=found))]
    logger.info("\n".join(lines))


def _show(config: RunConfig, stages: Sequence[Stage]) -> None:
    """Print everything that would be run: the configuration, and that of every stage of a graph."""
    from r1ray.recipes import configs_by_name

    graph = {"graph": {name: asdict(each) for name, each in configs_by_name(config, stages).items()}}
    print(to_yaml(asdict(config) | (graph if config.graph else {})), end="")
