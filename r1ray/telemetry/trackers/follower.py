"""A run's folder as a tracker's stream: what has come since the last look goes to the tracker.

RUN/ or RUN/stages/NAME/   metrics.jsonl --> log      lines that were taken back --> go_back
                           rollouts/eval_step=000120.parquet --> show      hf/120/ --> note_model
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from r1ray.runtime.files import whole_objects
from r1ray.runtime.run_files import STAGES, name_of
from r1ray.telemetry.rollout_rows import RolloutRow
from r1ray.telemetry.rollouts import EVALUATION, read_rollouts, rollout_steps
from r1ray.telemetry.settings import settings_in
from r1ray.telemetry.trackers.lines import read_on
from r1ray.telemetry.trackers.sent import Sent, SentOfStage
from r1ray.telemetry.trackers.tracker import Line, Place, Samples, Stage, Tracker

METRICS = "metrics.jsonl"
MAX_TEXT = 8000
"""Characters of a text in a table."""
WANTED = ("group_id", "trajectory", "prompt_text", "response_text", "reward", "answer", "extracted", "label")


class Follower:
    """Feeds one tracker."""

    def __init__(self, tracker: Tracker, sent: Sent, place: Place) -> None:
        self._tracker, self._sent, self._place = tracker, sent, place
        self._open: Path | None = None

    def look(self) -> bool:
        """Send what has come. Returns whether there may be more at once."""
        return any(self._look_at(folder) for folder in folders_of(self._place.run_dir))

    def end(self) -> None:
        """End what is open."""
        if self._open is not None:
            self._tracker.end()
            self._open = None

    def _look_at(self, folder: Path) -> bool:
        sent = self._sent.of(key_of(folder, self._place.run_dir))
        read = read_on(folder / METRICS, sent.mark)
        if read.kept is None and not read.lines and not self._has_more(folder, sent):
            return False
        self._begin(folder, sent, name=_stage_in(folder))
        if read.kept is not None:
            self._tracker.go_back(read.kept)
            sent.go_back(read.kept)
        if read.lines:
            self._tracker.log(read.lines)
        sent.mark = read.mark
        sent.step = max(sent.step, _last(read.lines))
        self._show_samples(folder, sent)
        self._note_models(folder, sent)
        self._sent.write()
        return bool(read.lines)

    def _has_more(self, folder: Path, sent: SentOfStage) -> bool:
        """Return whether answers or models have come whose lines are there already."""
        return bool(self._new_samples(folder, sent) or _new(models_in(folder), sent.models, sent.step))

    def _new_samples(self, folder: Path, sent: SentOfStage) -> list[int]:
        if not self._place.settings.samples:
            return []
        return _new(rollout_steps(folder / "rollouts", name=EVALUATION), sent.samples, sent.step)

    def _begin(self, folder: Path, sent: SentOfStage, *, name: str) -> None:
        if self._open == folder:
            return
        self.end()
        run, name = name_of(folder, stage=name)
        config = settings_in(folder)
        inputs = self._sent.ids(stages_read(config, self._place.run_dir))
        sent.id = self._tracker.begin(Stage(run, name, folder, config, inputs), sent.id, sent=sent.step)
        self._open = folder
        self._sent.write()

    def _show_samples(self, folder: Path, sent: SentOfStage) -> None:
        for step in self._new_samples(folder, sent):
            self._tracker.show(samples_of(folder / "rollouts", step, count=self._place.settings.samples))
            sent.samples.append(step)

    def _note_models(self, folder: Path, sent: SentOfStage) -> None:
        for step in _new(models_in(folder), sent.models, sent.step):
            self._tracker.note_model(step, folder / "hf" / str(step))
            sent.models.append(step)


def folders_of(run_dir: Path) -> list[Path]:
    """Return the folders of a run that have metrics, the oldest first."""
    found = [run_dir, *run_dir.glob(f"{STAGES}/*")]
    with_metrics = [folder for folder in found if (folder / METRICS).is_file()]
    return sorted(with_metrics, key=lambda folder: (_begun(folder), folder.name))


def models_in(folder: Path) -> list[int]:
    """Return the steps whose models a stage has exported so far."""
    return sorted(int(path.name) for path in folder.glob("hf/[0-9]*") if path.name.isdigit())


def samples_of(rollouts: Path, step: int, *, count: int) -> Samples:
    """Return one answer to each of the first prompts of an evaluation, the same prompts every time."""
    rows = (row for row in read_rollouts(rollouts, step=step, columns=WANTED, name=EVALUATION) if not row["trajectory"])
    first = sorted(rows, key=lambda row: (len(row["group_id"]), row["group_id"]))[:count]
    return Samples(step, [_sample(row) for row in first])


def stages_read(config: Mapping[str, Any], run_dir: Path) -> list[str]:
    """Return the stages of a run that one with this configuration reads from: by paths in their folders."""
    above = f"{run_dir / STAGES}/"
    names = [text.removeprefix(above).partition("/")[0] for text in _texts(config) if text.startswith(above)]
    return list(dict.fromkeys(names))


def _sample(row: RolloutRow) -> tuple[str, str, float | None, str, str, str]:
    texts = _cut(row["prompt_text"]), _cut(row["response_text"])
    return *texts, row["reward"], _cut(row["answer"]), _cut(row["extracted"]), _cut(row["label"])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def key_of(folder: Path, run_dir: Path) -> str:
    """Return the name of a stage among those of its run; a run of one stage has that under an empty name."""
    return "" if folder == run_dir else folder.name


def _stage_in(folder: Path) -> str:
    """Return what the first line of a stage's metrics says of its name."""
    first = next(whole_objects(folder / METRICS), {})
    return str(first.get("stage", "run"))


def _begun(folder: Path) -> float:
    return next((float(row.get("wall_time", 0.0)) for row in whole_objects(folder / METRICS)), 0.0)


def _last(lines: list[Line]) -> int:
    return max((line.step for line in lines), default=-1)


def _new(steps: list[int], known: list[int], last: int) -> list[int]:
    """Return the steps that are not known, up to the last one whose line was sent: what is of a later one comes with
    it, so that it is taken back with it too."""
    return [step for step in steps if step <= last and step not in known]


def _cut(text: str | None) -> str:
    return "" if text is None else text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
