"""The child that runs Python: a whole program, calls of a function, the candidate and the tester of asserts, a checker.

The program shares this process, so nothing here is worth forging: what it is compared with is elsewhere.
"""

from __future__ import annotations

import contextlib
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
        sys.stdout.flush()
    except BaseException:
        code = code or 1
    finally:
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _main_module(source: str) -> dict[str, Any]:
    """A fresh ``__main__`` in which a program runs as if it were the interpreter's own."""
    module = type(sys)("__main__")
    sys.modules["__main__"] = module
    module.__dict__["__builtins__"] = __builtins__
    sys.argv = ["main.py"]
    _standard_streams()
    exec(compile(source, "main.py", "exec", dont_inherit=True), module.__dict__)
    return module.__dict__


def _standard_streams() -> None:
    """Streams over the descriptors that the child was given; the zygote's own were made before."""
    stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r")), "utf-8", "surrogateescape")
    stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", "surrogateescape")
    stderr = io.TextIOWrapper(io.BufferedWriter(io.FileIO(2, "w")), "utf-8", "backslashreplace", line_buffering=True)
    for name, stream in (("stdin", stdin), ("stdout", stdout), ("stderr", stderr)):
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
    namespace = _main_module(payload["source"])
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
    namespace = _main_module(payload["source"])
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
    for depth, name in enumerate(entry.split(".")):
        bare = name.removesuffix("()")
        value = value[bare] if depth == 0 else getattr(value, bare)
        if bare != name:
            value = value()
    if isinstance(value, type) and "." in entry and not entry.endswith("()"):
        raise TypeError(f"{entry} is a class")
    return value


def _describe(error: BaseException) -> list[str]:
    try:
        return [type(error).__name__[:100], str(error)[:500]]
    except BaseException:
        return ["Exception", ""]


def run_tester(payload: Job) -> int:
    """Run the data set's asserts, with calls to the candidate answered from another process: descriptor 3 brings the
    answers, 4 takes the calls, and 5 the verdict, which only this process can write."""
    import ast
    import builtins

    channel, verdict = Channel(3, 4), Channel(None, 5)

    asked: list[str] = []

    def stub(name: str) -> Any:
        def candidate(*arguments: Any, **keywords: Any) -> Any:
            # Answers that were written before they were asked for do not know this.
            number = int.from_bytes(os.urandom(8), "big")
            asked.append(name)
            channel.send({"id": number, "name": name, "args": encode(list(arguments)), "kwargs": encode(keywords)})
            answer = channel.receive()
            if answer is None:
                raise CandidateGone("the candidate's process ended")
            if answer.get("id") != number:
                raise CandidateGone("an answer to no question")
            if "e" in answer:
                kind = getattr(builtins, str(answer["e"][0]), None)
                known = isinstance(kind, type) and issubclass(kind, Exception) and kind is not AssertionError
                raise (kind if known else CandidateFailed)(str(answer["e"][1]))  # type: ignore[misc]
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
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    entry = payload["entry"]
    has_check = "check" in defined
    missing = called - defined - set(dir(builtins)) - {"candidate"}
    namespace: dict[str, Any] = {"__name__": "tests", **{name: stub(name) for name in missing}}
    if entry is not None:
        namespace |= {"candidate": stub(entry), entry.split(".")[-1].removesuffix("()"): stub(entry)}
    try:
        exec(compile(tree, "tests", "exec"), namespace)
        if has_check:
            namespace["check"](namespace["candidate"])
    except CandidateGone as error:
        verdict.send({"passed": False, "detail": str(error)})
    except BaseException as error:
        said = ": ".join(_describe(error))
        if asked:
            verdict.send({"passed": False, "detail": said, "line": _line(error)})
        else:  # before the candidate is called nothing can be its fault
            verdict.send({"broken": said})
    else:
        verdict.send({"passed": True})
    return 0


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
