"""``r1ray doctor --smoke``: two steps of a tiny model on the cluster that a run would use, by the run's own stage.

    the user's configuration --tiny()--> the same actors, places, dtypes and transport, with a small batch
        -> prepare stage -> reinforcement-learning stage, looked at by a Watch -> reload of the export --> Report

Model and questions are made on the spot, in a folder that is removed at the end.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, TypeVar

import numpy as np

from r1ray.cluster import joining
from r1ray.cluster.launch import weight_backend
from r1ray.cluster.placement import Node, needs, nodes_of_cluster, preflight
from r1ray.cluster.probe import installed
from r1ray.config import PrepareConfig, RunConfig
from r1ray.doctor.findings import counted
from r1ray.doctor.judging import sized
from r1ray.doctor.phases import Did, generated, learned, probed, published, reloaded, rewarded, started
from r1ray.doctor.smoke_report import Failure, Report, Settings, cause_of, node_facts, settings_of, shown_versions
from r1ray.doctor.tiny import MAKER, PATIENCE_S, bound_of, model_options, on, tiny
from r1ray.doctor.watch import PhaseFailed, Watch
from r1ray.errors import DeadlineExceeded, Terminated, UserError
from r1ray.planning.placed import with_placement
from r1ray.stages.base import Context, code_version, run_stages
from r1ray.stages.machine import placed_here
from r1ray.stages.prepare import Prepare
from r1ray.stages.rl import ReinforcementLearning
from r1ray.types import Float32Array, Int32Array

logger = logging.getLogger(__name__)

T = TypeVar("T")
PROBE_IDS: Int32Array = np.arange(3, 67, dtype=np.int32)
"""Tokens on which the export is compared with the learner: 64 words of the tiny model."""


def smoke(config: RunConfig) -> Report:
    """Make the two steps. If something fails after the cluster was joined, the report says so.

    Args:
        config: of a stage that is reinforcement learning.

    Raises UserError if the configuration cannot run here at all.
    """
    run, begun, failure = _Smoke(tiny(config)), time.monotonic(), None
    try:
        with redirect_stdout(sys.stderr):  # what a run prints; the report alone is the output of the command
            run.make()
    except Terminated:
        raise
    except Exception as error:  # of whatever kind: how the cluster fails is what was asked
        phase = run.watch.failed(error)
        if isinstance(error, UserError) and phase in ("cluster", "model"):
            raise
        failure = Failure(phase, cause_of(error, run.watch.reason(phase)))
    return run.report(failure, seconds=time.monotonic() - begun)


class _Smoke:
    """One execution and its results so far."""

    def __init__(self, config: RunConfig) -> None:
        """Raises UserError if the cluster cannot be reached, or this machine is too small."""
        self._config = placed_here(config)
        preflight(self._config)
        self._bound = bound_of(config.rollout.dtype, config.learner.dtype)
        self.watch = Watch(PROBE_IDS)
        self._nodes: list[Node] = []
        self._settings: Settings | None = None
        self._did: dict[str, Did] = {}

    def make(self) -> None:
        """Run every phase, in order."""
        is_there = joining.is_remote(self._config.cluster.address)
        has_gpus = self._join(is_there=is_there)
        output_dir = Path(self._config.output_dir).expanduser().resolve()
        with working_folder(output_dir if is_there else None) as folder:
            context = Context(folder / "run", folder / "artifacts", watch=self.watch)
            options = model_options(self._config, has_gpus=has_gpus)
            base = self._make_model(context, options)
            config = on(self._config, base, num_heads=options["num_heads"], num_layers=options["num_layers"])
            made = run_stages([ReinforcementLearning(config)], context)["policy"]
            self._check_export(Path(made.path))

    def _join(self, *, is_there: bool) -> bool:
        """Join the cluster, or start one; returns whether it has GPUs."""
        logger.info("joining the cluster" if is_there else "starting Ray on this machine")
        with self.watch.during("cluster"):
            _, gpus = joining.connect(self._config.cluster.address)  # in this thread: Ray sets signal handlers
            self._nodes = nodes_of_cluster()
            self._config = with_placement(self._config, num_gpus=gpus)
            need = needs(self._config, cluster_has_gpus=gpus > 0)
            self._settings = settings_of(self._config, need, weight_backend(self._config.weights, need))
        self._did["cluster"] = Did("joined" if is_there else "Ray, started on this machine", {})
        return gpus > 0

    def _make_model(self, context: Context, options: dict[str, int]) -> Path:
        stage = Prepare(PrepareConfig(maker=MAKER, options={**options}), seed=self._config.seed)
        with self.watch.during("model"):
            made = timely(lambda: run_stages([stage], context), what="the tiny model to be made")["base"]
        heads, layers = options["num_heads"], options["num_layers"]
        found = f"Qwen3, untrained: {counted(heads, 'head')}, {counted(layers, 'layer')}"
        self._did["model"] = Did(found, {"heads": heads, "layers": layers})
        return Path(made.path)

    def _check_export(self, folder: Path) -> None:
        """Reload the export. Raises PhaseFailed if it is not the learner's model, or if a step changed too little."""
        num_bytes = sum(file.stat().st_size for file in folder.iterdir())
        self._did["export"] = Did(f"{sized(num_bytes)}, a Hugging Face folder", {"bytes": num_bytes})
        if not min(self.watch.moved()) > 2 * self._bound:
            raise PhaseFailed(
                "learn",
                f"a step moves log-probabilities by {min(self.watch.moved()):.2g} nats at most; it needs to be more "
                f"than {2 * self._bound:g} for the probe to tell its weights from those before",
            )
        expected, bound = self.watch.learner_logprobs[-1], bound_of(self._config.learner.dtype)
        with self.watch.during("reload"):
            found = timely(lambda: exported_logprobs(folder, PROBE_IDS), what="the export to be read")
        self._did["reload"] = did = reloaded(found, expected, bound)
        if not did.metrics["max_nats"] <= bound:
            raise PhaseFailed("reload", f"the export is not what the learner has: {did.found}")

    def report(self, failure: Failure | None, *, seconds: float) -> Report:
        """Build the report of everything that is known by now."""
        return Report(
            versions=shown_versions(installed(), code_version()),
            nodes=[node_facts(node) for node in self._nodes],
            settings=self._settings,
            placement=self.watch.placement,
            seconds_of=self.watch.seconds,
            did=self._did | did_in_loop(self.watch, self._settings, bound=self._bound),
            bound=self._bound,
            seconds=seconds,
            failure=failure,
        )


def did_in_loop(watch: Watch, settings: Settings | None, *, bound: float) -> dict[str, Did]:
    """Summarise the phases of the run itself, as far as it came."""
    seconds, found = watch.seconds, dict[str, Did]()
    if watch.placement and settings is not None:
        engines = settings.engines + settings.eval_engines
        found["start"] = started(ranks=settings.ranks, engines=engines, reward_actors=settings.reward_actors)
    if watch.trajectories:
        found["generate"] = generated(watch.trajectories, seconds["generate"])
        found["reward"] = rewarded(watch.trajectories, seconds["reward"])
    if watch.steps:
        found["learn"] = learned(watch.steps, watch.moved(), seconds["learn"])
    if watch.publishes:
        found["publish"] = published(watch.publishes)
        found["probe"] = probed(watch.publishes, bound)
    return found


def exported_logprobs(folder: Path, token_ids: Int32Array) -> Float32Array:
    """[T-1] float32: log p of tokens 1..T-1 by the model in ``folder``, as transformers loads and computes it."""
    import torch
    from transformers import AutoModelForCausalLM

    from r1ray.runtime.model_files import load_tokenizer

    load_tokenizer(str(folder), template="none")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=False)
    ids = torch.from_numpy(token_ids.astype("int64"))
    with torch.no_grad():
        table = torch.log_softmax(model(input_ids=ids[None]).logits[0, :-1].float(), dim=-1)
    return np.asarray(table.gather(1, ids[1:, None])[:, 0].numpy(), dtype=np.float32)


@contextmanager
def working_folder(shared: Path | None) -> Iterator[Path]:
    """A new folder that is removed at the end, together with every folder that had to be made above it.

    Args:
        shared: folder to make it in, which all nodes can read; None: a temporary folder of this machine.

    Raises UserError if the folder cannot be made.
    """
    if shared is None:
        with TemporaryDirectory(prefix="r1ray-smoke-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    new = [each for each in (shared, *shared.parents) if not each.exists()]
    try:
        shared.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=".r1ray-smoke-", dir=shared))
    except OSError as error:
        raise UserError(f"output_dir={shared}: cannot be written: {error.strerror}.") from error
    try:
        yield folder
    finally:
        _remove(folder)
        for each in new:
            with suppress(OSError):  # somebody else uses it by now
                each.rmdir()


def _remove(folder: Path) -> None:
    """Remove a folder. A network file system may keep files of actors that are just ending: try for a few seconds."""
    for _ in range(5):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(1.0)


def timely(function: Callable[[], T], *, what: str) -> T:
    """Call ``function``; return what it returns, raise what it raises.

    Raises DeadlineExceeded after :data:`PATIENCE_S`. The function is then left in its thread, which does not keep the
    process alive.
    """
    ended: list[Callable[[], T]] = []

    def work() -> None:
        try:
            value = function()
            ended.append(lambda: value)
        except BaseException as error:
            ended.append(_raising(error))

    thread = threading.Thread(target=work, name="smoke", daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    if not ended:
        raise DeadlineExceeded(f"waited {PATIENCE_S:g} s for {what}: look at the file system of TMPDIR and output_dir")
    return ended[0]()


def _raising(error: BaseException) -> Callable[[], Any]:
    def again() -> Any:
        raise error

    return again
