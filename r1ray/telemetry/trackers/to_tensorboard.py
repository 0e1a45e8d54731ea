"""TensorBoard: event files in ``tensorboard/`` of each stage's folder, written without torch or TensorFlow.

tensorboard --logdir runs
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.plugins.text.metadata import create_summary_metadata
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from r1ray.telemetry.trackers.tracker import TABLE, Line, Samples, Stage

FOLDER = "tensorboard"
DT_STRING = 7


class ToTensorBoard:
    """See :class:`r1ray.telemetry.trackers.tracker.Tracker`. The run's id is its folder."""

    def begin(self, stage: Stage, id: str, *, sent: int) -> str:
        self._writer = EventFileWriter(str(stage.folder / FOLDER))
        self.go_back(sent)
        if not id:
            self._text("config", yaml.safe_dump(dict(stage.config), sort_keys=False, allow_unicode=True), step=0)
            self._text("inputs", "\n".join(f"{name}: {where}" for name, where in stage.inputs.items()), step=0)
        return str(stage.folder / FOLDER)

    def log(self, lines: Sequence[Line]) -> None:
        for line in lines:
            values = [Summary.Value(tag=name, simple_value=value) for name, value in line.metrics.items()]
            self._writer.add_event(Event(wall_time=line.wall_time, step=line.step, summary=Summary(value=values)))
        self._writer.flush()

    def go_back(self, step: int) -> None:
        """Have TensorBoard leave out what the folder has of later steps."""
        self._writer.add_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def show(self, samples: Samples) -> None:
        for number, (prompt, completion, reward, *_) in enumerate(samples.rows):
            self._text(f"{TABLE}/{number}", f"reward {reward}\n\n{prompt}\n\n{completion}", step=samples.step)
        self._writer.flush()

    def note_model(self, step: int, folder: Path) -> None:
        self._text("model", str(folder), step=step)
        self._writer.flush()

    def end(self) -> None:
        self._writer.close()

    def _text(self, tag: str, text: str, *, step: int) -> None:
        """Write a text, indented: TensorBoard shows it as it is then, and not as Markdown."""
        shown = textwrap.indent(text, "    ", lambda line: True)
        tensor = TensorProto(dtype=DT_STRING, string_val=[shown.encode()])
        value = Summary.Value(tag=f"{tag}/text_summary", metadata=create_summary_metadata(tag, ""), tensor=tensor)
        self._writer.add_event(Event(step=step, summary=Summary(value=[value])))
