"""A stage: a function from named artifacts to one artifact with a manifest. Finished stages are not run again."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from r1ray import __version__
from r1ray.config import SandboxConfig, lasting, without_defaults
from r1ray.config.sources import texts_of
from r1ray.data.files import states_of
from r1ray.errors import UserError
from r1ray.runtime.files import content_digest, digest_of, files_of, read_object, write_json
from r1ray.runtime.user_paths import file_of, path_of
from r1ray.sandbox.home import UNSAFE, choose_mode
from r1ray.sandbox.languages import require
from r1ray.sandbox.packages import find_packages
from r1ray.stages.watch import Unwatched, Watch
from r1ray.telemetry.driver_status import begin_stage

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
MADE_MODEL, MADE_TRAIN, MADE_EVAL = "@prepare/model", "@prepare/train.parquet", "@prepare/heldout.parquet"
"""What a stage of a recipe with ``prepare.maker`` reads in the place of the user's."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a stage made."""

    path: str
    digest: str
    """Of everything that went into it."""
    metrics: dict[str, float] = field(default_factory=dict)
    content: str | None = None
    """SHA-256 of its files; None where nobody else reads them."""


InputKind = Literal["model", "prompts", "dialogues", "pairs", "rows", "file"]
"""Kind of what is at the path: a model's folder or hub name, rows to ask, rows to learn from (of one answer or of two),
rows of another kind, or another file."""
ROWS: tuple[InputKind, ...] = ("prompts", "dialogues", "pairs", "rows")
"""Those of :mod:`r1ray.data.files`."""


@dataclass(frozen=True, slots=True)
class Input:
    """A path that a stage reads.

    Example: ``Input("data.train", "/data/math.parquet", "prompts")``
    """

    key: str
    """Of the configuration, that holds it."""
    path: str
    """``@name`` or ``@name/file`` where another stage is going to make it."""
    kind: InputKind

    @property
    def is_made(self) -> bool:
        """The path names what another stage makes; it is there when this one runs."""
        return self.path.startswith("@")


def inputs_of(*given: tuple[str, Any, InputKind]) -> list[Input]:
    """Return the inputs of those keys that are set: one for each path of a value that has several."""
    return [Input(key, path, kind) for key, value, kind in given for path in texts_of(value)]


def files_read(stage: Stage) -> dict[str, dict[str, list[int]]]:
    """Return the state of the files that a stage reads, by path; those that others make are known by their digest."""
    return {
        each.path: states_of(each.path) if each.kind in ROWS else files_of(each.path)
        for each in stage.reads()
        if not each.is_made
    }


@dataclass(frozen=True, slots=True)
class Context:
    """Where stages run."""

    run_dir: Path
    shared_dir: Path
    """For artifacts that do not depend on the run, by digest."""
    watch: Watch = field(default_factory=Unwatched)


class Stage(Protocol):
    """One step of a recipe."""

    name: str
    needs: tuple[str, ...]
    makes: str

    def reads(self) -> list[Input]:
        """Return every path that the user's configuration makes the stage read."""
        ...

    def settings(self) -> dict[str, Any]:
        """Everything but the inputs that decides what comes out."""
        ...

    def run(self, context: Context, inputs: dict[str, Artifact], digest: str) -> Artifact: ...


def digest_of_stage(stage: Stage, inputs: Mapping[str, Artifact]) -> str:
    """Return the digest of all that decides what a stage makes."""
    return digest_of({"settings": without_defaults(stage.settings()), "inputs": contents(inputs)})


def lasting_digest(stage: Stage, inputs: Mapping[str, Artifact]) -> str:
    """Return the digest of what has to be the same for a stage to go on with what it has made so far."""
    return digest_of({"settings": without_defaults(lasting(stage.settings())), "inputs": contents(inputs)})


def contents(inputs: Mapping[str, Artifact]) -> dict[str, str]:
    """Return what tells one version of each input from another."""
    return {name: artifact.content or artifact.digest for name, artifact in inputs.items()}


def claim(note: Path, digest: str, *, is_begun: bool, refusal: str) -> None:
    """Note the :func:`lasting_digest` that something is begun with.

    Raises:
        UserError: it is begun, and was so with another one; or the note is torn.
    """
    if is_begun and note.exists():
        way_out = "Remove it, if model and data are still those that the run was begun with"
        # Notes of earlier versions have a digest of more than has to last: it says nothing.
        if read_object(note, way_out=way_out).get("lasting", digest) != digest:
            raise UserError(refusal)
    write_json(note, {"lasting": digest})


def check_sandbox(settings: SandboxConfig, programs: frozenset[str], *, key: str, is_local: bool) -> str | None:
    """Programs need isolation and their languages' tools. The reward actors look for themselves; where they will run on
    this machine, look before any of them starts. Returns what the user has to be told."""
    if programs and is_local:
        require(set(programs), key=key)
        find_packages(settings.packages)
        choose_mode(settings.mode)
    return UNSAFE if programs and settings.mode == "none" else None


def code_version() -> str:
    """The package's version, with the commit where it runs from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return __version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty"]
    try:
        return f"{__version__}+{subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()}"
    except (OSError, subprocess.TimeoutExpired):
        return __version__


def run_stages(
    stages: Sequence[Stage],
    context: Context,
    *,
    only: Collection[str] | None = None,
    given: Mapping[str, str] | None = None,
) -> dict[str, Artifact]:
    """Run a recipe in order; a stage whose manifest shows the same settings and inputs is taken as it is.

    Args:
        only: stages to run; what the others have made is read, as far as it is there. None: all.
        given: paths in the place of what stages would make, by what they make.

    Raises:
        UserError: an input that is not there, or is not what its stage made.
    """
    made: dict[str, Artifact] = {}
    memo = context.run_dir / "digests.json"
    for name, path in (given or {}).items():
        found = path_of(path, key=f"artifacts.{name}")
        if not found.is_dir():
            file_of(path, key=f"artifacts.{name}", needs=f"the file or folder that {name} makes")
        content = content_digest(str(found), memo)
        made[name] = Artifact(str(found), content, content=content)
    for stage in stages:
        if stage.makes in made:
            logger.info(f"stage {stage.name}: {made[stage.makes].path} in its place")
            continue
        manifest = context.run_dir / "stages" / stage.name / MANIFEST
        is_asked = only is None or stage.name in only
        absent = [need for need in stage.needs if need not in made]
        if absent and not is_asked:
            continue
        if absent:
            raise UserError(
                f"stage {stage.name}: reads what {absent[0]} makes, which is not there; run it first "
                f"(stages=[{absent[0]},{stage.name}]), or give artifacts.{absent[0]}=PATH."
            )
        inputs = {need: made[need] for need in stage.needs}
        digest = digest_of_stage(stage, inputs)
        done = read_artifact(manifest, digest)
        if done is None and not is_asked:
            continue
        if done is None:
            for name, artifact in inputs.items():
                _check_content(name, artifact, memo)
            started = time.time()
            begin_stage(stage.name, context.run_dir)
            done = stage.run(context, inputs, digest)
            write_json(
                manifest,
                {
                    "stage": stage.name,
                    "digest": digest,
                    "settings": stage.settings(),
                    "inputs": {name: asdict(artifact) for name, artifact in inputs.items()},
                    "artifact": asdict(done),
                    "code_version": code_version(),
                    "started": started,
                    "seconds": time.time() - started,
                },
            )
        else:
            _check_content(stage.name, done, memo)
            metrics = ", ".join(f"{name} {value:.3f}" for name, value in done.metrics.items())
            logger.info(f"stage {stage.name}: done already, {done.path}" + (f"\n  {metrics}" if metrics else ""))
        made[stage.makes] = done
    return made


def _check_content(name: str, artifact: Artifact, memo: Path) -> None:
    if artifact.content is not None and content_digest(artifact.path, memo) != artifact.content:
        raise UserError(
            f"{artifact.path} is not what stage {name} made: a file in it has changed since. Remove it, and the same "
            f"command makes it again; or give artifacts.{name}={artifact.path} to take it as it is."
        )


def read_artifact(manifest: Path, digest: str) -> Artifact | None:
    """The artifact of a finished stage, None where there is none of this digest or its files are gone. Raises UserError
    where the manifest is torn."""
    if not manifest.exists():
        return None
    way_out = "Remove it, and the same command ends the stage once more, from its last checkpoint"
    saved = read_object(manifest, way_out=way_out)
    try:
        made = Artifact(**saved["artifact"])
        return made if saved["digest"] == digest and Path(made.path).exists() else None
    except (KeyError, TypeError) as error:
        raise UserError(f"{manifest}: is no manifest of a stage ({error!r}). {way_out}.") from error
