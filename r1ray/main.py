"""The command line: Hydra overrides in, exit code out.

Arguments are checked before anything heavy is imported, and nothing starts for a bad one. Exit codes: 0 done, 1 a part
of the system failed, 2 the user's mistake (one or two sentences, no traceback), 130 interrupted, 143 ended by SIGTERM.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from r1ray import __version__
from r1ray.config.folder import config_folder
from r1ray.config.renamed import new_name
from r1ray.errors import R1RayError, Terminated, UserError
from r1ray.runtime.termination import interrupts_on_sigterm, was_terminated
from r1ray.telemetry.logs import console

if TYPE_CHECKING:
    from r1ray.config import RunConfig
    from r1ray.stages.base import Context, Stage

USAGE = f"""r1ray {__version__}: DeepSeek-R1's reinforcement learning on Ray, vLLM and DeepSpeed

usage: r1ray run [recipe=r1|r1_zero|sft|...] [experiment=quickstart] [algo=paper|verl|dapo|...] [key=value ...]
       r1ray eval model=PATH benchmark=NAME data=PATH [against=PATH] [key=value ...]
       r1ray score FILE [reward=check|r1_zero|reasoning] [output=FILE] [key=value ...]
       r1ray plan [--json] [the same overrides as run]
       r1ray doctor [--smoke] [--json] [the same overrides as run]
       r1ray export RUN_DIR [version=N|best] [stage=NAME] [--out DIR]
       r1ray submit [--address URL] [--no-wait | --stop | --status] [the overrides of a run, or its name]

  run     run a recipe; the same command resumes an interrupted run, and skips what is finished
  eval    pass@1, cons@k and the other figures of a benchmark, with intervals; two models are compared
  score   rewards of given responses: JSON lines or Parquet in, one outcome a line out
  plan    memory of each actor, batch arithmetic, time of a step, disk and cost, before anything is asked for; what
          cannot fit is refused with the nearest change that would
  doctor  would this run work here? Checks of cluster, model and data, each green, yellow or red; ends with 1 for a red
          --smoke: two real steps of a tiny model on that cluster instead, in the configured dtypes and over the
          configured transport, and the seconds of each phase; needs neither model nor data
  export  a Hugging Face folder of a checkpoint (the newest, version=N, or the best), in RUN_DIR/hf/ or in DIR; needs
          neither GPUs nor Ray. Of a recipe, of the newest stage that has it, or of stage=NAME. With adapters,
          learner.lora.export=merged or adapter chooses what is written
  submit  the same run as a job of the Ray cluster at URL (http://HEAD:8265) or RAY_ADDRESS; follows its log and ends
          with its exit code; the same command again follows it, or resumes it where it has ended

Recipes: r1, distill, distill_vs_rl (several stages); r1_zero, sft, reward_model, collect, extend, evaluate (one).
`r1ray run ... --cfg job` prints everything that would be run.
Everything after the verb is Hydra override syntax: algo.group_size=8, learner.lr=1e-6.
model=NAME and cluster=NAME take settings that ship (qwen2.5_7b, one_node_8, ...: conf/model/, conf/cluster/).
A run of your own needs  model=PATH data.train=PATH  and should have  data.eval=PATH;
with recipe=sft or reward_model  model=PATH supervised.train=PATH  and  supervised.eval=PATH.
Every key, with its meaning and default, is in r1ray/config/; the settings that ship are in conf/.
"""
logger = logging.getLogger(__name__)

S = TypeVar("S")
T = TypeVar("T")
EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 130, 143
SHOWN = ("run", "eval")
"""Commands whose output is what they log: it goes to stdout as it is, that of the others to stderr, marked."""
RESUMES = {
    "run": "; the same command goes on from the last checkpoint",
    "eval": "; the same command asks what is not answered yet",
}
OPEN_KEYS = re.compile(r"[\w.]+\.(resources|labels|engine_args|deepspeed)[.=]|collect\.sources\.")
"""Sections whose keys are names that the user chose."""
NOT_SET = re.compile(r"(?:graph\.(\w+): )?((?:data|supervised|collect)\.\w+|model) is not set")
"""A model or file that a run needs. `doctor --smoke` needs none of them, a plan only the model."""
GROUPS = ("recipe", "algo", "reward", "experiment", "model", "cluster")


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    try:
        verb = VERBS.get(arguments[0])
        if verb is None:
            raise UserError(f"{arguments[0]}: no such command; needs one of {', '.join(VERBS)} (see r1ray --help).")
        is_shown = arguments[0] in SHOWN
        with console(sys.stdout if is_shown else sys.stderr, prefix="" if is_shown else "r1ray: "):
            return verb(arguments[1:]) or 0
    except UserError as error:
        print(f"r1ray: {error}", file=sys.stderr)
        return EXIT_USER
    except Terminated as error:
        print(f"r1ray: {error}.", file=sys.stderr)
        return EXIT_TERMINATED
    except R1RayError as error:
        print(f"r1ray: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"r1ray: interrupted{RESUMES.get(arguments[0], '')}.", file=sys.stderr)
        return EXIT_TERMINATED if was_terminated() else EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def entrypoint() -> None:
    """The ``r1ray`` console script."""
    sys.path.insert(0, os.getcwd())  # as for `python -m`: where a user's own reward functions are
    interrupts_on_sigterm()
    sys.exit(main(sys.argv[1:]))


# ---------------------------------------------------------------------- run


def _show(config: RunConfig, stages: Sequence[Stage]) -> None:
    """Print everything that would be run: the configuration, and that of every stage of a graph."""
    from dataclasses import asdict

    from omegaconf import OmegaConf

    from r1ray.recipes import configs_by_name

    graph = {"graph": {name: asdict(each) for name, each in configs_by_name(config, stages).items()}}
    print(OmegaConf.to_yaml(OmegaConf.create(asdict(config) | (graph if config.graph else {}))), end="")


def _added(argument: str) -> str:
    """Overrides of what has no fixed keys, as Hydra wants them: ``++graph.NAME.KEY=VALUE``."""
    is_open = argument.startswith(("graph.", "graph=", "artifacts.", "students.")) or OPEN_KEYS.match(argument)
    return f"++{argument}" if is_open else argument


def run(arguments: Sequence[str]) -> None:
    """Run the configured recipe in its run folder, or show what would be run."""
    shown = [argument for argument in arguments if argument in ("--cfg", "job")]
    config = compose([argument for argument in arguments if argument not in shown])
    from r1ray.cluster.placement import preflight
    from r1ray.recipes import configs_of, stages_of
    from r1ray.runtime.folder_lock import locked
    from r1ray.stages.base import Context
    from r1ray.stages.deadlines import with_deadlines
    from r1ray.stages.graph import check_paths

    if not config.graph:  # each stage of a graph decides its own when it has its model
        config = with_deadlines(config)
    stages = stages_of(config)
    if shown:
        return _show(config, stages)
    check_paths(stages)
    for stage_config in configs_of(config, stages):
        preflight(stage_config)
    output_dir = Path(config.output_dir).expanduser().resolve()
    run_dir = output_dir / (config.name or default_name(config))
    context = Context(run_dir, output_dir / "artifacts")
    with locked(run_dir):
        _run_alone(config, stages, context)


def _run_alone(config: RunConfig, stages: Sequence[Stage], context: Context) -> None:
    """Run the stages in a folder that no other process works in."""
    from r1ray.stages.base import run_stages
    from r1ray.stages.graph import finish_graph

    run_dir = claim_run_folder(context.run_dir, config)
    logger.info(f"run folder: {run_dir}")
    was_done = all((run_dir / "stages" / stage.name / "manifest.json").exists() for stage in stages)
    made = run_stages(stages, context, only=config.stages, given=config.artifacts)
    if config.graph:
        finish_graph(context, stages, made)
    if was_done:
        logger.info("this run was finished before; name=ANOTHER runs the same settings once more")
    plot = run_dir / "curves.png"
    logger.info(f"run folder: {run_dir}" + (f"\nplot:       {plot}" if plot.exists() else ""))


def default_name(config: RunConfig) -> str:
    """``<experiment>-seed<seed>-<digest>``: a function of the configuration, so that a command finds its own run."""
    from r1ray.config import decisive
    from r1ray.runtime.files import digest_of

    return f"{config.experiment or config.recipe}-seed{config.seed}-{digest_of(decisive(config))[:6]}"


def claim_run_folder(folder: Path, config: RunConfig) -> Path:
    """Create the folder with its config.yaml, or check that it belongs to this configuration. Raises UserError."""
    from dataclasses import asdict

    from omegaconf import OmegaConf

    from r1ray.config import decisive, only_decisive

    saved = folder / "config.yaml"
    if saved.exists():
        before = OmegaConf.to_container(OmegaConf.load(saved))
        assert isinstance(before, dict)
        differences = _differences(only_decisive(before), decisive(config))
        changed = [
            f"{key} ({old} there, {new} now)"
            for key, old, new in differences
            if not key.startswith("graph.")  # each stage looks for itself
        ]
        if changed:
            raise UserError(
                f"name={folder.name}: {folder} holds a run with other settings: {', '.join(changed[:3])}; "
                "give another name."
            )
        OmegaConf.save(OmegaConf.create(asdict(config)), saved)  # how many ranks and actors may have changed
        return folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"output_dir={config.output_dir}: {folder} cannot be made: {error}.") from error
    OmegaConf.save(OmegaConf.create(asdict(config)), saved)
    return folder


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif before != now:
        yield key, before, now


# ---------------------------------------------------------------------- eval


def evaluate(arguments: Sequence[str]) -> None:
    """Evaluate a model, or two."""
    from r1ray.config import EvaluationConfig

    # conf/benchmark/ makes a config group of the name, and a group takes one file and no list.
    overrides = [
        argument.replace("benchmark=", "benchmarks=", 1) if argument.startswith("benchmark=") else argument
        for argument in arguments
    ]
    config = compose(overrides, schema=EvaluationConfig, name="eval")
    from r1ray.cluster.placement import preflight
    from r1ray.stages.evaluate.stage import evaluate_models

    preflight(config)
    evaluate_models(config)


# ---------------------------------------------------------------------- score


def score(arguments: Sequence[str]) -> None:
    """Score a file of responses."""
    from r1ray.config import ScoreConfig

    files = [argument for argument in arguments if "=" not in argument or Path(argument).is_file()]
    if len(files) != 1:
        raise UserError(
            f"score needs one FILE and key=value overrides, found {len(files)} files: {', '.join(files) or 'none'}."
        )
    overrides = [argument for argument in arguments if argument not in files]
    config = compose(overrides, schema=ScoreConfig, name="score")
    from r1ray.evaluation.score_file import score_file

    if config.output is None:
        score_file(files[0], config.reward, config.sandbox, sys.stdout)
        return
    output = Path(config.output).expanduser()
    aside = output.with_name(f".writing-{output.name}")  # so that neither the input nor an old result is lost
    try:
        sink = aside.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"output={config.output}: cannot be written: {error}.") from error
    with sink:
        score_file(files[0], config.reward, config.sandbox, sink)
    aside.replace(output)


# ---------------------------------------------------------------------- plan


def plan(arguments: Sequence[str]) -> None:
    """Show what a run will need. Raises UserError, with what would help, where it cannot work."""
    stages, models = _planned([argument for argument in arguments if argument != "--json"])
    from r1ray.planning.advice import nearest_change
    from r1ray.planning.plan import plan_run
    from r1ray.planning.report import as_json, refusal, report, stages_table

    plans = [plan_run(config, name=name, models=models) for name, config in stages.items() if config.recipe != "extend"]
    failed = next((each for each in plans if each.problems), None)
    advice = nearest_change(failed, models=models) if failed else None
    if not plans:
        print("[]" if "--json" in arguments else "nothing of this starts an actor")
    elif "--json" in arguments:
        import json

        print(json.dumps([as_json(each, advice if each is failed else None) for each in plans], indent=2))
    elif len(plans) == 1:
        print(report(plans[0]))
    else:
        worst = failed or max(plans, key=lambda each: each.tightest.bytes / each.tightest.capacity)
        print(f"{stages_table(plans)}\n\nThe tightest of them:\n\n{report(worst)}")
    if failed:
        raise UserError(refusal(failed, advice))


def _planned(overrides: list[str]) -> tuple[dict[str, RunConfig], dict[str, str]]:
    """The configuration of each stage, by its name, that of a recipe without stages under an empty name; and whose
    shape the stages' models have. Files that are not named yet are none of a plan's."""
    from dataclasses import replace

    from r1ray.planning.plan import gpu_name, shape_name
    from r1ray.stages.graph import stage_config
    from r1ray.stages.students import with_students

    def build(overrides: list[str]) -> tuple[dict[str, RunConfig], dict[str, str]]:
        config = compose(overrides)
        if not config.graph:
            return {"": config}, {}
        whole = with_students(replace(config, plan=replace(config.plan, gpu=gpu_name(config))))
        stages = {name: stage_config(whole, name) for name in whole.graph}
        models = {name: str(stage.model) for name, stage in stages.items() if stage.model}
        asked = {name: stage for name, stage in stages.items() if name in (config.stages or stages)}
        return asked, models | ({"prepare": shape_name(config)} if config.prepare.maker else {})

    return _with_unnamed(overrides, build, but=("model",))


def _with_unnamed(overrides: list[str], build: Callable[[list[str]], T], *, but: Collection[str] = ()) -> T:
    """Call ``build`` with the overrides, and with ``KEY=unnamed`` for each model or file that it finds not set.

    Args:
        but: keys that have to be set nevertheless.
    """
    while True:
        try:
            return build(overrides)
        except UserError as error:
            missing = NOT_SET.match(str(error))
            if missing is None or missing[2] in but:
                raise
            added = f"graph.{missing[1]}.{missing[2]}" if missing[1] else missing[2]
            if f"{added}=unnamed" in overrides:
                raise
            overrides = [*overrides, f"{added}=unnamed"]


# ---------------------------------------------------------------------- doctor


def doctor(arguments: Sequence[str]) -> int:
    """Look whether a run would work, or try it with a tiny model; returns 1 where something is red, or fails."""
    overrides = [argument for argument in arguments if argument not in ("--json", "--smoke")]
    if unknown := [override for override in overrides if override.startswith("-")]:
        raise UserError(f"{unknown[0]}: no such option; doctor has --json and --smoke.")
    if "--smoke" in arguments:
        return _smoke(overrides, as_json="--json" in arguments)
    config = compose(overrides)
    from r1ray.doctor.examination import Planned, examine_run
    from r1ray.doctor.findings import show as show_findings
    from r1ray.doctor.findings import to_json, worst
    from r1ray.recipes import configs_by_name, configs_of, stages_of

    stages = stages_of(config)
    planned = [Planned(name, each) for name, each in configs_by_name(config, stages).items()]
    findings = examine_run(config, planned, configs_of(config, stages))
    if "--json" in arguments:
        print(to_json(findings))
    else:
        show_findings(findings)
    return EXIT_FAILED if worst(findings) == "red" else 0


def _smoke(overrides: list[str], *, as_json: bool) -> int:
    """Make two steps of a tiny model on the run's cluster; returns 1 if they fail."""

    def build(overrides: list[str]) -> tuple[str, dict[str, RunConfig]]:
        config = compose(overrides)
        from r1ray.recipes import configs_by_name, stages_of

        return config.recipe, configs_by_name(config, stages_of(config))

    recipe, stages = _with_unnamed(overrides, build)
    from r1ray.doctor.smoke import smoke
    from r1ray.doctor.smoke_report import report_json, report_text
    from r1ray.doctor.tiny import loop_config

    report = smoke(loop_config(stages, recipe=recipe))
    print(report_json(report) if as_json else report_text(report))
    return EXIT_FAILED if report.failure else 0


# ---------------------------------------------------------------------- export


def export(arguments: Sequence[str]) -> None:
    """Make a Hugging Face folder of a checkpoint, and print where it lies."""
    run_dirs, given = [], dict[str, str]()
    keys = ("version", "stage", "learner.lora.export", "--out")
    rest = iter(arguments)
    for argument in rest:
        key, is_set, value = argument.partition("=")
        if key == "--out" and not is_set:
            value = next(rest, "")
        if key in keys and (is_set or key == "--out"):
            given[key] = value
        elif argument.startswith("-") or (is_set and not Path(argument).exists()):
            raise UserError(f"{argument}: export has no such option; it has {', '.join(keys)}.")
        else:
            run_dirs.append(argument)
    if len(run_dirs) != 1:
        raise UserError(f"export needs one RUN_DIR, found {len(run_dirs)}: {', '.join(run_dirs) or 'none'}.")
    for key, value in given.items():
        if not value:
            raise UserError(f"{key}: needs a value.")
    version, kind, out = given.get("version"), given.get("learner.lora.export"), given.get("--out")
    if version is not None and version != "best" and not (version.isascii() and version.isdigit()):
        raise UserError(f"version={version}: needs a version's number, or best.")
    if kind not in (None, "merged", "adapter"):
        raise UserError(f"learner.lora.export={kind}: needs one of merged, adapter.")
    from r1ray.stages.export import export_checkpoint, find_folder

    number = int(version) if version is not None and version != "best" else version
    folder = find_folder(Path(run_dirs[0]).expanduser().resolve(), version=number, stage=given.get("stage"))
    target = Path(out).expanduser().resolve() if out else None
    print(export_checkpoint(folder, version=number, out=target, kind=kind))


# ---------------------------------------------------------------------- submit


def submit(arguments: Sequence[str]) -> int:
    """Run on a cluster, as a job that is found again by the run's name; returns the exit code of the run."""
    address, verb, overrides = _submit_options(arguments)
    from r1ray.config import decisive
    from r1ray.recipes import stages_of
    from r1ray.runtime.files import digest_of

    if verb in ("--stop", "--status") and len(overrides) == 1 and "=" not in overrides[0]:
        config, name = None, overrides[0]
    else:
        config = compose(overrides)
        _check_shared(config, stages_of(config))
        name = config.name or default_name(config)
    from r1ray.cluster.jobs import Jobs, exit_code

    jobs = Jobs(address)
    before = jobs.of_run(name)
    newest = before[-1] if before else None
    again = f"r1ray submit --address {jobs.address} --stop {name}"
    if verb in ("--stop", "--status"):
        if newest is None:
            raise UserError(f"{name}: {jobs.address} knows no job of a run of this name.")
        if verb == "--stop" and not newest.is_over:
            newest = jobs.stop(newest.id)
        for job in [*before[:-1], newest]:
            print(f"{job.id}  {job.status.value}" + (f"  exit code {exit_code(job)}" if job.is_over else ""))
        return 0
    assert config is not None
    settings = digest_of({"settings": decisive(config), "output_dir": config.output_dir})
    if newest is None or newest.is_over:
        inside = Path(config.output_dir)
        excludes = [f"/{inside.relative_to(Path.cwd())}"] if inside.is_relative_to(Path.cwd()) else []
        named = overrides if config.name else [*overrides, f"name={name}"]
        job_id = jobs.submit(name, settings=settings, arguments=["run", *named], folder=Path.cwd(), excludes=excludes)
        logger.info(
            f"{job_id}: submitted to {jobs.address}" + (f"; {newest.id} ended, the run resumes" if newest else "")
        )
    elif newest.settings != settings:
        raise UserError(
            f"name={name}: {newest.id} is running, with other settings or another output_dir; needs another name, or "
            f"an end to that one: {again}"
        )
    else:
        job_id = newest.id
        logger.info(f"{job_id}: runs already; following it")
    if verb == "--no-wait":
        return 0
    try:
        ended = jobs.follow(job_id, show=lambda text: print(text, end="", flush=True))
    except KeyboardInterrupt:
        logger.info(f"{job_id} goes on; the same command follows it again, and this one stops it: {again}")
        return EXIT_TERMINATED if was_terminated() else EXIT_INTERRUPTED
    code = exit_code(ended)
    if code and ended.exit_code is None:
        logger.info(f"{job_id}: {ended.message}")  # not what the run said, but what became of it
    logger.info(f"{job_id}: {ended.status.value}, exit code {code}" + ("; the same command resumes it" if code else ""))
    return code


def _submit_options(arguments: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """The address, which of the options that say what to do, and the overrides. Raises UserError."""
    address, verbs, overrides = None, [], []
    given = iter(arguments)
    for argument in given:
        if argument == "--address":
            address = next(given, "")
        elif argument.startswith("--address="):
            address = argument.partition("=")[2]
        elif argument in ("--no-wait", "--stop", "--status"):
            verbs.append(argument)
        elif argument.startswith("-"):
            raise UserError(f"{argument}: no such option; submit has --address, --no-wait, --stop and --status.")
        else:
            overrides.append(argument)
    if len(verbs) > 1:
        raise UserError(f"{' '.join(verbs)}: needs one of them.")
    return address, verbs[0] if verbs else None, overrides


def _check_shared(config: RunConfig, stages: Sequence[Stage]) -> None:
    """Raise UserError for paths that mean something on this machine only: a job has a working directory of its own."""
    from r1ray.recipes import configs_by_name
    from r1ray.stages.graph import paths_of

    configs = configs_by_name(config, stages).values()
    for key, path in [("output_dir", config.output_dir), *(found for each in configs for found in paths_of(each))]:
        is_here = key == "output_dir" or path.startswith((".", "~")) or Path(path).exists()
        if "://" not in path and not Path(path).is_absolute() and is_here:
            raise UserError(f"{key}={path}: needs an absolute path, on storage that every node of the cluster sees.")


# ---------------------------------------------------------------------- configuration


@overload
def compose(overrides: Sequence[str]) -> RunConfig: ...
@overload
def compose(overrides: Sequence[str], *, schema: type[S], name: str) -> S: ...
def compose(overrides: Sequence[str], *, schema: type[Any] | None = None, name: str = "config") -> Any:
    """The configuration of Hydra overrides. Raises UserError that names the nearest key, the value needed, or both.

    Args:
        schema: the dataclass of the configuration; None: RunConfig.
        name: of the file in ``conf/`` that it starts from.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from r1ray.config import RunConfig

    _refuse_renamed(overrides)
    schema = schema or RunConfig
    OmegaConf.register_new_resolver("engines", _engines, replace=True)
    ConfigStore.instance().store(name="schema" if name == "config" else f"{name}_schema", node=schema)
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            own, model = _split_model([_added(override) for override in overrides], schema, has_group=name == "config")
            composed = hydra_compose(name, own)
        if model:
            OmegaConf.update(composed, "model", model[-1])
        config = OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, schema)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    assert isinstance(config, schema)
    return config


def _refuse_renamed(overrides: Sequence[str]) -> None:
    """Raise UserError for an old name. Before Hydra, which lets ``+`` add keys that do not exist."""
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if renamed := new_name(key):
            raise UserError(f"{key}: is called {renamed} now.")


def _split_model(overrides: Sequence[str], schema: type[Any], *, has_group: bool) -> tuple[list[str], list[Any]]:
    """Overrides as Hydra wants them, and the values of ``model=PATH``: conf/model/ makes a config group of the name,
    and Hydra would take every value for a file in it."""
    from dataclasses import fields

    from hydra.core.override_parser.overrides_parser import OverridesParser

    if "model" not in {field.name for field in fields(schema)}:
        return list(overrides), []
    own: list[str] = []
    values: list[Any] = []
    for override in overrides:
        key, is_set, text = override.partition("=")
        if key.lstrip("+") != "model" or not is_set:
            own.append(override)
        elif has_group and (config_folder() / "model" / f"{text}.yaml").is_file():
            own.append(f"model={text}")
        else:
            values.append(OverridesParser.create().parse_override(override).value())
    return own, values


def _engines(num_gpus: int, gpus_per_actor: int | None) -> int:
    """``${engines:GPUS,EACH}`` in conf/cluster/: how many engines so many GPUs hold, one at least."""
    return max(1, num_gpus // (gpus_per_actor or 1))


def _explain(error: Exception, schema: type[Any]) -> str:
    """One sentence for an error of Hydra or OmegaConf."""
    cause = error.__cause__ or error
    text = f"{error}\n{cause}"
    unknown = re.search(r"Could not override '([^']+)'", text)
    invalid = re.search(r"(Value .+)\n\s+full_key: (\S+)", text)
    group = re.search(r"Could not find '(\w+)/([^']+)'", text)
    if invalid:
        return f"{invalid[2]}: {invalid[1].rstrip('.')}."
    if group:
        options = re.search(r"Available options in '\w+':\n((?:\s+\S+\n?)+)", text)
        known = ", ".join(options[1].split()) if options else "one of conf/" + group[1]
        return f"{group[1]}={group[2]}: needs one of {known}."
    if unknown:
        near = difflib.get_close_matches(unknown[1], [*GROUPS, *known_keys(schema)], n=1, cutoff=0.0)
        return f"{unknown[1]}: no such key; the nearest is {near[0]}."
    lines = [str(error), *str(cause).splitlines()[:1]] if cause is not error else [str(error)]
    return ": ".join(" ".join(line.split()) for line in lines)


def known_keys(schema: type[Any]) -> list[str]:
    """Every dotted key of a configuration."""
    from omegaconf import OmegaConf

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key in node:
            name = f"{prefix}{key}"
            yield name
            if OmegaConf.is_dict(OmegaConf.select(node, str(key), throw_on_missing=False)):
                yield from walk(node[key], f"{name}.")

    return list(walk(OmegaConf.structured(schema, flags={"allow_objects": True}), ""))


VERBS: dict[str, Callable[[Sequence[str]], int | None]] = {
    "run": run,
    "eval": evaluate,
    "score": score,
    "plan": plan,
    "doctor": doctor,
    "export": export,
    "submit": submit,
}
