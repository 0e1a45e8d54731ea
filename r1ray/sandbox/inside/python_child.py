"""The child that runs Python: a whole program, calls of a function, the candidate and the tester of asserts, a checker.

The program shares this process, so nothing here is worth forging: the expected results are in another process.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import signal
import sys
from typing import Any

from r1ray.sandbox.inside import main_module
from r1ray.sandbox.inside.codec import decode, encode
from r1ray.sandbox.inside.lock import Lock, become_child
from r1ray.sandbox.inside.main_module import describe
from r1ray.sandbox.inside.objects import run_candidate
from r1ray.sandbox.inside.tester import run_tester
from r1ray.sandbox.inside.wire import Channel, Job, read_all

FLUSH_FAILED = 120
"""Exit code of the interpreter if the last flush fails."""


def python_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """Run the payload of a job. ``descriptors``: payload, then 0, 1, 2 and the channels of the mode. Never returns."""
    payload = json.loads(read_all(descriptors[0]))
    become_child(lock, job, descriptors[1:], parent)
    code = 1
    try:
        code = MODES[payload["mode"]](payload)
    except BaseException as error:
        code = _report(error)
    finally:
        _leave(code)


def _report(error: BaseException) -> int:
    """Report an uncaught exception as the interpreter does, and return the exit code."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        with contextlib.suppress(BaseException):
            print(error.code, file=sys.stderr)
        return 1
    with contextlib.suppress(BaseException):
        sys.excepthook(type(error), error, error.__traceback__)
    return 1


def _leave(code: int) -> None:
    """Exit as the interpreter does, in the same order: wait for threads, run atexit, flush the standard streams, clear
    the program's module."""
    try:
        import atexit
        import threading

        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        if not all([_flushed(sys.stdout), _flushed(sys.stderr)]):
            code = code or FLUSH_FAILED
        last = sys.stdout
        sys.stdout, sys.stderr = (
            sys.__stdout__,
            sys.__stderr__,
        )  # the program's own may need globals that are cleared next
        # Streams that the program made or replaced are flushed as the interpreter would flush them at its end.
        for stream in [thing for thing in gc.get_objects() if isinstance(thing, io.IOBase) and thing is not last]:
            with contextlib.suppress(BaseException):
                stream.flush()
        main_module.clear()  # finalizers may print, too
        if not _flushed(sys.stdout):
            code = code or FLUSH_FAILED
    except BaseException:
        code = code or 1
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _flushed(stream: Any) -> bool:
    """Flush a stream if it needs that, and return whether nothing failed."""
    if stream is None or getattr(stream, "closed", False):
        return True
    try:
        stream.flush()
    except BaseException:
        return False
    return True


def run_program(payload: Job) -> int:
    main_module.make(payload["source"])
    return 0


def run_calls(payload: Job) -> int:
    """Call a function with each list of arguments. Results go out as data on descriptor 3; the expected ones are not in
    this process."""
    out = Channel(None, 3)
    encode_, decode_, resolve = encode, decode, main_module.resolve
    namespace = main_module.make(payload["source"], name="solution", prelude=main_module.PRELUDE)
    for number, arguments in enumerate(payload["calls"]):
        # The kernel ends a call that takes too long, even inside C code that never checks for signals.
        signal.setitimer(signal.ITIMER_PROF, payload["call_s"])
        try:
            function = resolve(payload["entry"], namespace)
            message = {"n": number, "v": encode_(function(*decode_(arguments)))}
        except BaseException as error:
            message = {"n": number, "e": describe(error)}
        out.send(message)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return 0


def run_checker(payload: Job) -> int:
    """Run the data set's own ``check(stdin, expected, printed)``. The verdict goes to descriptor 3."""
    verdict = Channel(None, 3)
    try:
        namespace = main_module.make(payload["source"])
        check = namespace["check"]
    except BaseException as error:
        verdict.send({"broken": ": ".join(describe(error))})
        return 1
    try:
        verdict.send({"passed": bool(check(payload["stdin"], payload["expected"], payload["printed"]))})
    except BaseException as error:  # the printed text is hostile: a checker that raises has not accepted it
        verdict.send({"passed": False, "detail": ": ".join(describe(error))})
    return 0


MODES = {
    "program": run_program,
    "calls": run_calls,
    "candidate": run_candidate,
    "tester": run_tester,
    "checker": run_checker,
}
