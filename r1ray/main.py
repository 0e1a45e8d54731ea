"""The command line: Hydra overrides in, exit code out.

Arguments are checked before anything heavy is imported, and nothing starts for a bad one. Exit codes: 0 done, 1 a part
of the system failed, 2 the user's mistake (one or two sentences, no traceback), 130 interrupted.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from r1ray import __version__
from r1ray.errors import R1RayError, UserError

if TYPE_CHECKING:
    from r1ray.config import RunConfig

USAGE = f"""r1ray {__version__}: DeepSeek-R1's reinforcement learning on Ray, vLLM and DeepSpeed

usage: r1ray run [recipe=r1|r1_zero|sft|...] [experiment=quickstart] [algo=paper|verl|dapo|...] [key=value ...]
       r1ray eval model=PATH benchmark=NAME data=PATH [against=PATH] [key=value ...]
       r1ray score FILE [reward=check|r1_zero|reasoning] [output=FILE] [key=value ...]

  run     run a recipe; the same command resumes an interrupted run, and skips what is finished
  eval    pass@1, cons@k and the other figures of a benchmark, with intervals; two models are compared
  score   rewards of given responses: JSON lines or Parquet in, one outcome a line out

Recipes: r1, distill, distill_vs_rl (several stages); r1_zero, sft, reward_model, collect, extend, evaluate (one).
`r1ray run ... --cfg job` prints everything that would be run.
Everything after the verb is Hydra override syntax: algo.group_size=8, learner.lr=1e-6.
A run of your own needs  model=PATH data.train=PATH  and should have  data.eval=PATH;
with recipe=sft or reward_model  model=PATH supervised.train=PATH  and  supervised.eval=PATH.
Every key, with its meaning and default, is in r1ray/config/; the settings that ship are in conf/.
"""
S = TypeVar("S")
EXIT_FAILED, EXIT_USER, EXIT_INTERRUPTED = 1, 2, 130
RESUMES = {
    "run": "; the same command goes on from the last checkpoint",
    "eval": "; the same command asks what is not answered yet",
}
GROUPS = ("recipe", "algo", "reward", "experiment")


def main(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code."""
    if not arguments or {"-h", "--help"} & set(arguments):
        print(USAGE, end="")
        return 0
    if arguments[0] == "--version":
        print(__version__)
        return 0
    try:
        if arguments[0] == "run":
            shown = [argument for argument in arguments[1:] if argument in ("--cfg", "job")]
            config = compose([_added(argument) for argument in arguments[1:] if argument not in shown])
            show(config) if shown else run(config)
        elif arguments[0] == "score":
            score(arguments[1:])
        elif arguments[0] == "eval":
            evaluate(arguments[1:])
        else:
            raise UserError(f"{arguments[0]}: no such command; needs one of run, eval, score (see r1ray --help).")
    except UserError as error:
        print(f"r1ray: {error}", file=sys.stderr)
        return EXIT_USER
    except R1RayError as error:
        print(f"r1ray: {type(error).__name__}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        print(f"r1ray: interrupted{RESUMES.get(arguments[0], '')}.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return 0


def entrypoint() -> None:
    """The ``r1ray`` console script."""
    sys.path.insert(0, os.getcwd())  # as for `python -m`: where a user's own reward functions are
    sys.exit(main(sys.argv[1:]))


# ---------------------------------------------------------------------- run


def show(config: RunConfig) -> None:
    """Print everything that would be run: the configuration, and that of every stage of a graph."""
    from dataclasses import asdict

    from omegaconf import OmegaConf

    from r1ray.recipes import stages_of
    from r1ray.stages.graph import GraphStage

    stages = {stage.name: asdict(stage.config) for stage in stages_of(config) if isinstance(stage, GraphStage)}
    print(OmegaConf.to_yaml(OmegaConf.create(asdict(config) | ({"graph": stages} if stages else {}))), end="")


def _added(argument: str) -> str:
    """Overrides of what has no fixed keys, as Hydra wants them: ``++graph.NAME.KEY=VALUE``."""
    return f"++{argument}" if argument.startswith(("graph.", "graph=", "artifacts.")) else argument


def run(config: RunConfig) -> None:
    """Run the configured recipe in its run folder."""
    from r1ray.cluster.placement import preflight
    from r1ray.recipes import configs_of, stages_of
    from r1ray.stages.base import Context, run_stages
    from r1ray.stages.graph import check_paths, finish_graph

    stages = stages_of(config)
    check_paths(stages)
    for stage_config in configs_of(config, stages):
        preflight(stage_config)
    output_dir = Path(config.output_dir).expanduser().resolve()
    run_dir = claim_run_folder(output_dir / (config.name or default_name(config)), config)
    context = Context(run_dir, output_dir / "artifacts", say=lambda text: print(text, flush=True))
    context.say(f"run folder: {run_dir}")
    was_done = all((run_dir / "stages" / stage.name / "manifest.json").exists() for stage in stages)
    made = run_stages(stages, context, only=config.stages, given=config.artifacts)
    if config.graph:
        finish_graph(context, stages, made)
    if was_done:
        context.say("this run was finished before; name=ANOTHER runs the same settings once more")
    plot = run_dir / "curves.png"
    context.say(f"run folder: {run_dir}" + (f"\nplot:       {plot}" if plot.exists() else ""))


def default_name(config: RunConfig) -> str:
    """``<experiment>-seed<seed>-<digest>``: a function of the configuration, so that a command finds its own run."""
    from r1ray.config import decisive
    from r1ray.stages.base import digest_of

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
    from r1ray.stages.evaluation import evaluate_models

    preflight(config)
    evaluate_models(config, lambda text: print(text, flush=True))


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
    from r1ray.score import score_file

    def say(text: str) -> None:
        print(f"r1ray: {text}", file=sys.stderr, flush=True)

    if config.output is None:
        score_file(files[0], config.reward, sys.stdout, say)
        return
    output = Path(config.output).expanduser()
    aside = output.with_name(f".writing-{output.name}")  # so that neither the input nor an old result is lost
    try:
        sink = aside.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"output={config.output}: cannot be written: {error}.") from error
    with sink:
        score_file(files[0], config.reward, sink, say)
    aside.replace(output)


# ---------------------------------------------------------------------- configuration


def config_folder() -> Path:
    """``conf/``: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return next(folder for folder in (package / "conf", package.parent / "conf") if (folder / "config.yaml").is_file())


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

    schema = schema or RunConfig
    ConfigStore.instance().store(name="schema" if name == "config" else f"{name}_schema", node=schema)
    try:
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            composed = hydra_compose(name, list(overrides))
        config = OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_explain(error, schema)) from error
    except ValueError as error:
        raise UserError(str(error)) from error
    assert isinstance(config, schema)
    return config


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
