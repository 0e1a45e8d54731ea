"""The child that runs Python: a whole program, calls of a function, the candidate and the tester of asserts, a checker.

The program shares this process, so nothing here is worth forging: what it is compared with is elsewhere.
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

from r1ray.sandbox.inside.codec import decode, encode
from r1ray.sandbox.inside.lock import Lock, become_child
from r1ray.sandbox.inside.wire import Channel, Job, read_all


def python_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """``descriptors``: payload, then 0, 1, 2 and whatever channels the mode has. Never returns."""
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
    """What the interpreter does with an exception that nobody caught; returns the exit code."""
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
    """What the interpreter does at its end: wait for threads, run atexit, flush."""
    try:
        import atexit
        import threading

        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        # Streams that the program made or put away count as the interpreter's own would at its end.
        for stream in [
            sys.stdout,
            sys.__stdout__,
            *(thing for thing in gc.get_objects() if isinstance(thing, io.IOBase)),
        ]:
            if stream is not None and not stream.closed:
                with contextlib.suppress(io.UnsupportedOperation):
                    stream.flush()
        _MAIN.clear()  # finalizers may print, too
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BaseException:
        code = code or 1
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


_MAIN: dict[str, Any] = {}
PRELUDE = """
from typing import *
import bisect, collections, functools, heapq, itertools, math, operator, random, re, string
from bisect import *
from collections import *
from functools import *
from heapq import *
from itertools import *
from math import ceil, comb, factorial, floor, gcd, inf, isqrt, log, log2, pi, sqrt
"""
"""What sites that ask for a function or a class import for it."""


def _main_module(source: str, *, name: str = "__main__", prelude: str = "") -> dict[str, Any]:
    """A fresh module in which a program runs as if it were the interpreter's own."""
    global _MAIN
    module = type(sys)(name)
    sys.modules["__main__"] = sys.modules[name] = module
    _MAIN = module.__dict__
    module.__dict__["__builtins__"] = __builtins__
    module.__dict__["__file__"] = "main.py"
    sys.argv = ["main.py"]
    _standard_streams()
    exec(prelude, module.__dict__)
    exec(compile(source, "main.py", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _standard_streams() -> None:
    """Streams over the descriptors that the child was given; the zygote's own were made before."""
    stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r")), "utf-8", "surrogateescape")
    stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", "surrogateescape")
    stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), "utf-8", "backslashreplace", line_buffering=True)
    for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
        stream.mode = "r" if name == "stdin" else "w"  # type: ignore[misc]
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run_program(payload: Job) -> int:
    _main_module(payload["source"])
    return 0


def run_calls(payload: Job) -> int:
    """Call a function with each list of arguments; results go out as data on descriptor 3. What they are compared
    with is not in this process."""
    out = Channel(None, 3)
    encode_, decode_, resolve = encode, decode, _resolve
    namespace = _main_module(payload["source"], name="solution", prelude=PRELUDE)
    for number, arguments in enumerate(payload["calls"]):
        # The kernel ends a call that takes too long, even one inside C code that never looks at signals.
        signal.setitimer(signal.ITIMER_PROF, payload["call_s"])
        try:
            function = resolve(payload["entry"], namespace)
            message = {"n": number, "v": encode_(function(*decode_(arguments)))}
        except BaseException as error:
            message = {"n": number, "e": _describe(error)}
        out.send(message)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return 0


def run_candidate(payload: Job) -> int:
    """Serve calls that the tester's process makes: descriptor 3 brings them, 4 takes the answers."""
    channel = Channel(3, 4)
    namespace = _main_module(payload["source"], name="solution", prelude=PRELUDE)
    while (request := channel.receive()) is not None:
        try:
            arguments = decode(request["args"])
            keywords = decode(request["kwargs"])
            value = _resolve(request["name"], namespace)(*arguments, **keywords)
            answer = {"id": request["id"], "v": encode(value), "a": encode(arguments)}
        except Exception as error:
            answer = {"id": request["id"], "e": _describe(error)}
        channel.send(answer)
    return 0


def _resolve(entry: str, namespace: dict[str, Any]) -> Any:
    """``add``, ``Solution.method`` or ``Solution().method``."""
    value: Any = namespace
    if "." not in entry and entry not in namespace and hasattr(namespace.get("Solution"), entry):
        entry = f"Solution().{entry}"
    for depth, name in enumerate(entry.split(".")):
        bare = name.removesuffix("()")
        value = value[bare] if depth == 0 else getattr(value, bare)
        if bare != name:
            value = value()
    if isinstance(value, type) and "." in entry and not entry.endswith("()"):
        raise TypeError(f"{entry} is a class")
    return value


def _describe(error: BaseException) -> list[str]:
    import builtins

    try:
        known = (kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)
        return [next(known, "Exception"), str(error)[:500]]
    except BaseException:
        return ["Exception", ""]


def run_tester(payload: Job) -> int:
    """Run the data set's asserts, with calls to the candidate answered from another process: descriptor 3 brings the
    answers, 4 takes the calls, and 5 the verdict, which only this process can write."""
    import ast
    import builtins

    channel, verdict = Channel(3, 4), Channel(None, 5)

    asked: list[str] = []
    gone: list[str] = []

    def stub(name: str) -> Any:
        def candidate(*arguments: Any, **keywords: Any) -> Any:
            # Answers that were written before they were asked for do not know this.
            number = int.from_bytes(os.urandom(8), "big")
            asked.append(name)
            channel.send({"id": number, "name": name, "args": encode(list(arguments)), "kwargs": encode(keywords)})
            answer = channel.receive()
            if answer is None or answer.get("id") != number:
                gone.append(name)
                raise CandidateGone("the candidate's process ended" if answer is None else "an answer to no question")
            if "e" in answer:
                kind = getattr(builtins, str(answer["e"][0]), None)
                # Those that end a loop would end the tests' own.
                is_plain = isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _LOOP_ENDS)
                raise (kind if is_plain else CandidateFailed)(str(answer["e"][1]))  # type: ignore[misc]
            for mine, theirs in zip(arguments, decode(answer["a"]), strict=True):
                _copy_back(mine, theirs)
            return decode(answer["v"])

        candidate.__name__ = name
        return candidate

    source = payload["tests"]
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        verdict.send({"broken": str(error)})
        return 1
    _standard_streams()
    entry = payload["entry"]
    name = None if entry is None else entry.split(".")[-1].removesuffix("()")
    unknown = {
        node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    unknown -= _defined_in(tree) | set(dir(builtins)) | {"candidate", name}
    if entry is not None and unknown:  # from the candidate they would be its own judge
        verdict.send({"broken": f"they call {', '.join(sorted(unknown))}, which they do not define"})
        return 1
    namespace: dict[str, Any] = {"__name__": "tests", **{other: stub(other) for other in unknown}}
    if entry is not None and name is not None:
        namespace |= {"candidate": stub(entry), name: stub(entry)}
    try:
        exec(compile(tree, "tests", "exec"), namespace)
        if "check" in namespace and "candidate" in namespace:
            namespace["check"](namespace["candidate"])
        for test in [value for key, value in namespace.items() if key.startswith("test_") and callable(value)]:
            test()
    except CandidateGone as error:
        verdict.send({"passed": False, "detail": str(error)})
    except BaseException as error:
        said = ": ".join(_describe(error))
        if asked:
            verdict.send({"passed": False, "detail": said, "line": _line(error)})
        else:  # before the candidate is called nothing can be its fault
            verdict.send({"broken": said})
    else:
        if not asked:
            verdict.send({"broken": "they never call the candidate"})
        else:  # a test that catches everything does not hide a dead candidate
            verdict.send({"passed": not gone})
    return 0


def _defined_in(tree: Any) -> set[str]:
    """Every name that a module binds, anywhere."""
    import ast

    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


_LOOP_ENDS = (StopIteration, StopAsyncIteration)


def _line(error: BaseException) -> int:
    trace, line = error.__traceback__, 0
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "tests":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class CandidateGone(BaseException):
    """Not an Exception: tests that expect one must not catch it."""


class CandidateFailed(Exception):
    """The candidate raised something that is no builtin exception."""


def _copy_back(mine: Any, theirs: Any) -> None:
    """Show the caller what the candidate did to its arguments."""
    if isinstance(mine, list) and isinstance(theirs, list):
        mine[:] = theirs
    elif (isinstance(mine, dict) and isinstance(theirs, dict)) or (isinstance(mine, set) and isinstance(theirs, set)):
        mine.clear()
        mine.update(theirs)


def run_checker(payload: Job) -> int:
    """The data set's own ``check(stdin, expected, printed)``; the verdict goes to descriptor 3."""
    verdict = Channel(None, 3)
    try:
        namespace = _main_module(payload["source"])
        check = namespace["check"]
    except BaseException as error:
        verdict.send({"broken": ": ".join(_describe(error))})
        return 1
    try:
        verdict.send({"passed": bool(check(payload["stdin"], payload["expected"], payload["printed"]))})
    except BaseException as error:  # the printed text is hostile: a checker that it breaks has not accepted it
        verdict.send({"passed": False, "detail": ": ".join(_describe(error))})
    return 0


MODES = {
    "program": run_program,
    "calls": run_calls,
    "candidate": run_candidate,
    "tester": run_tester,
    "checker": run_checker,
}
