"""The child that is a session: it executes one cell after another and keeps their definitions.

Cells share this process with the code here, so nothing that it reports is worth forging: only that a cell is over, and
whether an exception ended it. Limits are enforced from outside. Each answer carries the cell's token, so that a cell
cannot write the answer of a later one in advance.
"""

from __future__ import annotations

import ast
import contextlib
import io
import linecache
import os
import signal
import sys
import traceback
from types import CodeType
from typing import Any

from r1ray.sandbox.inside.lock import Lock, become_child
from r1ray.sandbox.inside.wire import Job

REQUESTS, ANSWERS = 3, 4
"""Pipes. A request is a token, the length of the cell, and the cell; an answer is the token and one more byte."""
TOKEN, LENGTH = 16, 4
"""Bytes of a token, and of the length of a cell."""
DONE, RAISED = b"0", b"1"
PIECE = 1 << 16
read, write, leave = os.read, os.write, os._exit  # a cell cannot replace these


class OutputTooLong(Exception):
    """A cell printed more than its output file holds."""

    __module__ = "builtins"  # tracebacks then show no module name


def session_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """Serve the cells of a session. ``descriptors``: 0, 1, 2 and the two pipes. Never returns."""
    if job.get("folder"):
        os.chdir(job["folder"])
        os.environ["HOME"] = os.environ["TMPDIR"] = job["folder"]
        sys.path.insert(0, job["folder"])
        sys.dont_write_bytecode = True
    become_child(lock, job, descriptors, parent)
    with contextlib.suppress(BaseException):
        Session(job["output_kib"] * 1024).serve()
    leave(0)


class Session:
    """The module in which cells run, and the streams that they print to."""

    def __init__(self, output_bytes: int) -> None:
        self._output_bytes = output_bytes
        module = type(sys)("__main__")
        sys.modules["__main__"] = module
        self._names: dict[str, Any] = module.__dict__
        self._names["__builtins__"] = __builtins__
        self._cells, self._may_interrupt = 0, False
        sys.argv = [""]

    def serve(self) -> None:
        """Execute cells until the other side is gone."""
        while head := _exactly(TOKEN + LENGTH):
            token, source = head[:TOKEN], _exactly(int.from_bytes(head[TOKEN:], "big"))
            ended = self.run(source.decode("utf-8", "replace"))
            write(ANSWERS, token + ended)

    def run(self, source: str) -> bytes:
        """Execute a cell. A signal that arrives after the cell is over has no effect."""
        try:
            try:
                self._streams()
                signal.signal(signal.SIGINT, self._interrupt)
                self._may_interrupt = True
                self._execute(source)
            finally:
                self._may_interrupt = False
        except SystemExit as error:
            if error.code is None or error.code == 0:
                return DONE
            return self._report(f"SystemExit: {error.code}\n")
        except BaseException as error:
            return self._report(error)
        return DONE

    def _interrupt(self, *_: object) -> None:
        if self._may_interrupt:
            self._may_interrupt = False
            raise KeyboardInterrupt("the time of this cell is up")

    def _execute(self, source: str) -> None:
        """Run the statements of a cell. The value of a last expression is printed, as at a prompt."""
        self._cells += 1
        name = f"<cell {self._cells}>"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name)
        if not tree.body:
            return
        *body, last = tree.body
        if not isinstance(last, ast.Expr):
            exec(_compiled(tree, name, "exec"), self._names)
            return
        exec(_compiled(ast.Module(body, []), name, "exec"), self._names)
        value = eval(_compiled(ast.Expression(last.value), name, "eval"), self._names)
        if value is not None:
            self._names["_"] = value
            print(repr(value))

    def _report(self, error: BaseException | str) -> bytes:
        """Print an error, as far as there is room. Its text may come from the program's own code, and printing may
        fail."""
        with contextlib.suppress(BaseException):
            text = error if isinstance(error, str) else _traceback(error)
            Output(1, self._output_bytes, reserve=0).write(text.encode("utf-8", "backslashreplace"))
        return RAISED

    def _streams(self) -> None:
        """Give the cell new streams, without anything that an earlier cell has changed or left in its own."""
        stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r", closefd=False)), "utf-8", "surrogateescape")
        streams = {"stdin": stdin, "stdout": self._stream(1), "stderr": self._stream(2)}
        for name, stream in streams.items():
            stream.mode = "r" if name == "stdin" else "w"  # type: ignore[misc]
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    def _stream(self, descriptor: int) -> io.TextIOWrapper:
        raw: Any = Output(descriptor, self._output_bytes)
        return io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)


class Output(io.RawIOBase):
    """The file of a cell's output, which cannot grow. A write that does not fit raises OutputTooLong."""

    def __init__(self, descriptor: int, size: int, *, reserve: int = 4096) -> None:
        """``reserve``: bytes that stay free for a traceback."""
        super().__init__()
        self._descriptor, self._end = descriptor, size - reserve

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        room = max(0, self._end - os.lseek(self._descriptor, 0, os.SEEK_CUR))
        left = view[:room]
        while left:
            left = left[write(self._descriptor, left[:PIECE]) :]
        if len(view) > room:
            raise OutputTooLong(f"a cell may print {self._end} bytes")
        return len(view)


def _exactly(size: int) -> bytes:
    """Return the next ``size`` bytes of a request; no bytes if the other side is gone."""
    data = b""
    while len(data) < size:
        piece = read(REQUESTS, size - len(data))
        if not piece:
            return b""
        data += piece
    return data


def _traceback(error: BaseException) -> str:
    """Return the traceback of a cell, without the frames of this module."""
    told = traceback.TracebackException.from_exception(error)
    waiting: list[traceback.TracebackException | None] = [told]
    while waiting:
        each = waiting.pop()
        if each is not None:
            own = [frame for frame in each.stack if frame.filename != __file__]
            each.stack = traceback.StackSummary.from_list(own)
            waiting += [each.__cause__, each.__context__, *(getattr(each, "exceptions", None) or ())]
    return "".join(told.format())


def _compiled(tree: ast.Module | ast.Expression, name: str, mode: str) -> CodeType:
    made: CodeType = compile(tree, name, mode, dont_inherit=True)
    return made
