"""The process that programs are forked from. Runs by itself, under the system's Python, with an empty environment.

    supervisor == control socket (descriptor 3) ==> zygote -- fork --> one locked-down child per job

It is told nothing about a job but its limits: programs, inputs and outputs travel in memfds that only the child opens,
so that no later child, forked from this memory, can find them here. A child is told nothing of the expected output.

Single-threaded: it forks. Without a process namespace of its own a guardian stands above it, so that whichever of
the two is killed, the other one ends what is left.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import fcntl
import gc
import glob
import io
import json
import os
import resource
import select
import shutil
import signal
import socket
import stat
import sys
import time
import zipfile
from typing import Any

import landlockpy as landlock
from landlockpy import AccessFS

CONTROL = 3
TICK_S = 0.1
READ_FILE = AccessFS.READ_FILE
READ = AccessFS.READ_FILE | AccessFS.READ_DIR
RUN = READ | AccessFS.EXECUTE
WRITE = (
    READ
    | AccessFS.WRITE_FILE
    | AccessFS.REMOVE_DIR
    | AccessFS.REMOVE_FILE
    | AccessFS.MAKE_DIR
    | AccessFS.MAKE_REG
    | AccessFS.MAKE_SYM
    | AccessFS.MAKE_FIFO
    | AccessFS.REFER
    | AccessFS.TRUNCATE
    | AccessFS.EXECUTE
)
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
SECCOMP_MODE_FILTER = 2
LIBC = ctypes.CDLL(None, use_errno=True)
Job = dict[str, Any]


class _Fprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _prctl(option: int, *arguments: Any) -> None:
    if LIBC.prctl(option, *arguments, *[0] * (4 - len(arguments))) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"prctl {option}: {os.strerror(code)}")


# ---------------------------------------------------------------------- the lock


class Lock:
    """The restrictions of one slot, made once and put on in each child."""

    def __init__(self, settings: Job) -> None:
        self.settings = settings
        self.abi = min(landlock.abi_version(), settings["max_landlock_abi"])
        self._filters = {}
        for profile, code in settings["filters"].items():
            data = bytes.fromhex(code)
            self._filters[profile] = _Fprog(len(data) // 8, data)
        self._python = self._ruleset("python") if self.abi else None

    def _ruleset(self, profile: str, folder: str | None = None, files: tuple[str, ...] = ()) -> landlock.Ruleset:
        scope = landlock.scope_for_abi(self.abi)
        rules = landlock.Ruleset(
            handled_fs=landlock.fs_for_abi(self.abi),
            handled_net=landlock.net_for_abi(self.abi),
            scoped=scope,
            best_effort=False,
        )
        allowed = {"files": READ_FILE, "read": READ, "run": RUN}
        for kind, access in allowed.items():
            for path in (*self.settings["paths"][profile].get(kind, ()), *(files if kind == "files" else ())):
                if os.path.exists(path):
                    # Landlock refuses rights of folders on a rule for a file.
                    rules.allow_path(path, access if os.path.isdir(path) else access & ~AccessFS.READ_DIR)
        rules.allow_path("/dev/null", READ_FILE | AccessFS.WRITE_FILE)
        if folder is not None:
            rules.allow_path(folder, WRITE if profile == "shell" else RUN)
        return rules

    def put_on(self, profile: str, folder: str | None, files: tuple[str, ...]) -> None:
        """Restrict this process, for good. Whatever cannot be put on raises."""
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        if self.abi:
            rules = self._python if profile == "python" else self._ruleset(profile, folder, files)
            assert rules is not None
            rules.restrict(no_new_privs=False)
            rules.close()

    def filter(self, profile: str) -> None:
        """The last step: after it, nothing that the profile does not need is left."""
        _prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(self._filters[profile]))


def limit(job: Job) -> None:
    """The rlimits of a child."""
    kib, cpu = 1024, max(1, int(-(-job["cpu_s"] // 1)))
    file_bytes = job["file_kib"] * kib
    memory = job["memory_mib"] * kib * kib
    values = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (cpu, cpu + 1),
        resource.RLIMIT_FSIZE: (file_bytes, file_bytes),
        resource.RLIMIT_NOFILE: (job["descriptors"], job["descriptors"]),
        resource.RLIMIT_MEMLOCK: (0, 0),
        resource.RLIMIT_MSGQUEUE: (0, 0),
        resource.RLIMIT_STACK: (64 * kib * kib, 64 * kib * kib),
        (resource.RLIMIT_AS if job["memory_rlimit"] == "AS" else resource.RLIMIT_DATA): (memory, memory),
    }
    if job["processes"] is not None:
        values[resource.RLIMIT_NPROC] = (job["processes"], job["processes"])
    for which, pair in values.items():
        resource.setrlimit(which, pair)


def _processes_of(uid: int) -> int:
    """Threads of this user, which the limit counts together."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{name}").st_uid == uid:
                    count += len(os.listdir(f"/proc/{name}/task"))
    return count


# ---------------------------------------------------------------------- children


def _place(descriptors: list[int]) -> None:
    """Make ``descriptors`` 0, 1, 2, ... and close all others."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200 + len(descriptors)) for fd in descriptors]
    for target, fd in enumerate(high):
        os.dup2(fd, target, inheritable=True)
    os.closerange(len(descriptors), 65536)


def _read(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb", closefd=True) as source:
        return source.read()


def _become_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """Put on everything that holds; ``descriptors`` become 0, 1, 2, ..., and no other is left."""
    os.setsid()
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if job["op"] == "command":  # the interpreter ignores these two, and exec would hand that on
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    maps = (f"/proc/{os.getpid()}/maps",) if job.get("reads_own_maps") else ()
    lock.put_on(job["profile"], job.get("folder"), maps)
    _place(descriptors)
    limit(job)
    lock.filter(job["profile"])


def python_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """``descriptors``: payload, then 0, 1, 2 and whatever channels the mode has. Never returns."""
    payload = json.loads(_read(descriptors[0]))
    _become_child(lock, job, descriptors[1:], parent)
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
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, "r")), "utf-8", "surrogateescape")
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w")), "utf-8", "surrogateescape")
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(
        io.BufferedWriter(io.FileIO(2, "w")), "utf-8", "backslashreplace", line_buffering=True
    )


def run_program(payload: Job) -> int:
    _main_module(payload["source"])
    return 0


class Channel:
    """Lines of JSON over two descriptors; bounded."""

    MAX_LINE = 1 << 24

    def __init__(self, read: int | None, write: int) -> None:
        self._read, self._write = read, write
        self._buffer = b""

    def send(self, message: Job) -> None:
        data = (json_dumps(message) + "\n").encode()
        while data:
            data = data[os.write(self._write, data) :]

    def receive(self) -> Job | None:
        """The next line; None where the other side is gone. Raises ValueError where it is no JSON object."""
        assert self._read is not None
        while b"\n" not in self._buffer:
            if len(self._buffer) > self.MAX_LINE:
                raise ValueError("a line without an end")
            data = os.read(self._read, 1 << 16)
            if not data:
                return None
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        message = json_loads(line)
        if not isinstance(message, dict):
            raise ValueError("no object")
        return message


json_dumps, json_loads = json.dumps, json.loads


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
        except Exception as error:
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

    def stub(name: str) -> Any:
        def candidate(*arguments: Any, **keywords: Any) -> Any:
            # Answers that were written before they were asked for do not know this.
            number = int.from_bytes(os.urandom(8), "big")
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
    except AssertionError as error:
        verdict.send({"passed": False, "detail": f"assertion failed: {str(error)[:300]}", "line": _line(error)})
    except Exception as error:
        verdict.send({"passed": False, "detail": ": ".join(_describe(error)), "line": _line(error)})
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
    elif isinstance(mine, dict) and isinstance(theirs, dict):
        mine.clear()
        mine.update(theirs)
    elif isinstance(mine, set) and isinstance(theirs, set):
        mine.clear()
        mine.update(theirs)


def run_checker(payload: Job) -> int:
    """The data set's own ``check(stdin, expected, printed)``; the verdict goes to descriptor 3."""
    verdict = Channel(None, 3)
    try:
        namespace = _main_module(payload["source"])
        check = namespace["check"]
    except Exception as error:
        verdict.send({"broken": ": ".join(_describe(error))})
        return 1
    try:
        verdict.send({"passed": bool(check(payload["stdin"], payload["expected"], payload["printed"]))})
    except Exception as error:  # the printed text is hostile: a checker that it breaks has not accepted it
        verdict.send({"passed": False, "detail": ": ".join(_describe(error))})
    return 0


MODES = {
    "program": run_program,
    "calls": run_calls,
    "candidate": run_candidate,
    "tester": run_tester,
    "checker": run_checker,
}


# ---------------------------------------------------------------------- values as data


def encode(value: Any) -> Any:
    """A value as JSON that keeps its type apart; what is no data becomes its type's name alone."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, int):
        exact = int.__index__(value)
        return exact if -(1 << 53) < exact < 1 << 53 else {"int": hex(exact)}
    if isinstance(value, float):
        return {"float": float.hex(float.__pos__(value))}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list):
        return [encode(item) for item in list.__iter__(value)]
    if isinstance(value, tuple):
        return {"tuple": [encode(item) for item in tuple.__iter__(value)]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(item)] for key, item in dict.items(value)]}
    if isinstance(value, set | frozenset):
        return {"set": [encode(item) for item in value]}
    if isinstance(value, bytes | bytearray):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, complex):
        return {"complex": [float.hex(value.real), float.hex(value.imag)]}
    return {"other": type(value).__name__[:100]}


def decode(data: Any) -> Any:
    """The value of what :func:`encode` made. Raises ValueError."""
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, dict):
        return data
    ((kind, body),) = data.items()
    if kind == "int":
        return int(body, 16)
    if kind == "float":
        return float.fromhex(body)
    if kind == "tuple":
        return tuple(decode(item) for item in body)
    if kind == "dict":
        return {_hashable(decode(key)): decode(item) for key, item in body}
    if kind == "set":
        return {_hashable(decode(item)) for item in body}
    if kind == "bytes":
        return bytes.fromhex(body)
    if kind == "complex":
        return complex(float.fromhex(body[0]), float.fromhex(body[1]))
    return Opaque(body)


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, list | tuple) else value


class Opaque:
    """Something that was no data; equal to nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return False

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"<{self.name}>"


# ---------------------------------------------------------------------- commands


def command_child(lock: Lock, job: Job, descriptors: list[int], parent: int) -> None:
    """``descriptors``: one for each file of the scratch folder, then 0, 1, 2. Never returns."""
    try:
        for name, source in zip(job["files"], descriptors, strict=False):
            size, at = os.fstat(source).st_size, 0
            target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755, dir_fd=_open_folder(job["folder"]))
            while at < size and (count := os.sendfile(target, source, at, size - at)):
                at += count
            os.close(target)
        os.chdir(job["folder"])
        argv = [word.replace("{dir}", job["folder"]) for word in job["argv"]]
        _become_child(lock, job, descriptors[len(job["files"]) :], parent)
        os.execve(_find(argv[0], job["environment"]["PATH"]), argv, job["environment"])
    except OSError as error:
        os.write(2, f"r1ray: cannot start: {error}\n".encode())
    os._exit(126)


def _read_at(folder: int, path: str) -> str:
    return _read(os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)).decode()


def _open_folder(folder: str) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _find(program: str, path: str) -> str:
    return program if "/" in program else shutil.which(program, path=path) or program


def artifact_of(folder: str, pattern: str, max_bytes: int) -> int | None:
    """A descriptor of what a command left, None where it left nothing. Never follows a link."""
    if "*" not in pattern:
        return _open_regular(os.path.join(folder, pattern), max_bytes)
    packed = os.memfd_create("artifact", os.MFD_CLOEXEC)
    total = 0
    with os.fdopen(os.dup(packed), "wb") as sink, zipfile.ZipFile(sink, "w") as archive:
        for path in sorted(glob.glob(pattern, root_dir=folder))[:1000]:
            part = _open_regular(os.path.join(folder, path), max_bytes)
            if part is not None:
                data = _read(part)
                total += len(data)
                if total > max_bytes:
                    break
                archive.writestr(path, data)
    if not 0 < total <= max_bytes:
        os.close(packed)
        return None
    return packed


def _open_regular(path: str, max_bytes: int) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size <= max_bytes:
        return descriptor
    os.close(descriptor)
    return None


def folder_size(folder: str) -> tuple[int, int]:
    """Bytes and entries below a folder."""
    size = entries = 0
    for root, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        for name in files:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(root, name)).st_blocks * 512
        if entries > 20_000:
            break
    return size, entries


# ---------------------------------------------------------------------- the zygote


class Zygote:
    """Serves jobs, one at a time, until the supervisor's end of the socket is closed."""

    def __init__(self, control: socket.socket, settings: Job, proc: int) -> None:
        """``proc``: a descriptor of the supervisor's /proc."""
        self._control, self._proc = control, proc
        self._settings = settings
        self._scratch = settings["scratch"]
        self._has_pids = settings["pid_namespace"]
        self._own_ids = settings["own_ids"]
        self._lock = Lock(settings)
        self._jobs = 0
        if settings["core"] is not None:
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, {settings["core"]})
        _prctl(PR_SET_NO_NEW_PRIVS, 1)
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        _prctl(PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()

    def serve(self) -> None:
        send(self._control, {"ready": True, "landlock": self._lock.abi}, [])
        while (received := receive(self._control)) is not None:
            job, descriptors = received
            try:
                reply, back = self.run(job, descriptors)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            send(self._control, reply, back)
            for descriptor in back:
                os.close(descriptor)

    def run(self, job: Job, descriptors: list[int]) -> tuple[Job, list[int]]:
        self._jobs += 1
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        if job["op"] == "command":
            job["folder"] = os.path.join(self._scratch, str(self._jobs))
            os.mkdir(job["folder"], 0o700)
        if not self._own_ids:  # the limit counts all processes of the user, the supervisor's and its neighbours' too
            shared = job["profile"] == "shell"
            job["processes"] = job["processes"] + _processes_of(os.getuid()) if shared else None
        started = time.monotonic()
        try:
            children = self._start(job, descriptors)
            reply = self._wait(job, children, started)
            if job["profile"] == "shell":  # the others cannot make processes
                self._drain()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            reply["cpu_s"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            artifact = None
            if job.get("collect") and not reply["timed_out"]:
                artifact = artifact_of(job["folder"], job["collect"], job["file_kib"] * 1024)
            return reply, [] if artifact is None else [artifact]
        finally:
            if "folder" in job:
                _remove(job["folder"])

    def _start(self, job: Job, descriptors: list[int]) -> list[int]:
        """Fork the job's processes; the first one's end is the job's end."""
        if job["op"] == "pair":
            # The candidate is forked before the tester's payload is opened by anyone.
            (from_tester, to_candidate), (from_candidate, to_tester) = os.pipe(), os.pipe()
            half = len(descriptors) // 2
            candidate, tester, verdict = descriptors[:half], descriptors[half:-1], descriptors[-1]
            second = self._fork(job, python_child, [*candidate, from_tester, to_tester])
            first = self._fork(job, python_child, [*tester, from_candidate, to_candidate, verdict])
            for descriptor in (from_tester, to_candidate, from_candidate, to_tester):
                os.close(descriptor)
            return [first, second]
        return [self._fork(job, command_child if job["op"] == "command" else python_child, descriptors)]

    def _fork(self, job: Job, child: Any, descriptors: list[int]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                child(self._lock, job, descriptors, parent)
            except BaseException as error:
                with contextlib.suppress(BaseException):
                    os.write(2, f"r1ray: {type(error).__name__}: {error}\n".encode())
            finally:
                os._exit(125)  # the lock could not be put on: the program never ran
        return pid

    def _wait(self, job: Job, children: list[int], started: float) -> Job:
        """Until the first child ends or the time is up. ``late_s``: how long the children were ready to run and had no
        core, which tells a program that waits from a machine that is too busy."""
        deadline = started + job["wall_s"]
        poll = select.poll()
        pidfds = [os.pidfd_open(pid) for pid in children]
        pidfd = pidfds[0]
        poll.register(pidfd, select.POLLIN)
        poll.register(self._control, select.POLLHUP)
        late, over_quota, timed_out = 0.0, False, False
        try:
            while True:
                now = time.monotonic()
                tick = min(TICK_S, max(0.0, deadline - now))
                events = dict(poll.poll(tick * 1000))
                woken = time.monotonic()
                if self._control.fileno() in events:  # nobody waits for the answer
                    self._drain()
                    os._exit(0)
                if pidfd in events:
                    break
                late += max(0.0, woken - now - tick - 0.01)
                if woken >= deadline:
                    timed_out, late = True, max(late, sum(self._queued_s(child) for child in pidfds))
                    break
                if job["profile"] == "shell":
                    size, entries = folder_size(job["folder"])
                    if size > job["quota_kib"] * 1024 or entries > 20_000:
                        over_quota = True
                        break
        finally:
            for child in pidfds:
                os.close(child)
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _, status = [os.waitpid(pid, 0) for pid in children][0]
        return {
            "status": os.waitstatus_to_exitcode(status),
            "timed_out": timed_out,
            "over_quota": over_quota,
            "wall_s": woken - started,
            "late_s": late,
        }

    def _queued_s(self, pidfd: int) -> float:
        """Seconds that the threads of a child spent waiting for a core; 0 where the kernel does not say. Through the
        supervisor's /proc: in a process namespace there is none here."""
        try:
            info = _read_at(self._proc, f"self/fdinfo/{pidfd}")
            pid = next(line.split()[1] for line in info.splitlines() if line.startswith("Pid:"))
            folder = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc)
            try:
                tasks = os.listdir(folder)
            finally:
                os.close(folder)
            return sum(int(_read_at(self._proc, f"{pid}/task/{task}/schedstat").split()[1]) for task in tasks) / 1e9
        except (OSError, StopIteration, IndexError, ValueError):
            return 0.0

    def _drain(self) -> None:
        """End and reap everything that is left."""
        drain(has_pids=self._has_pids)


def drain(*, has_pids: bool) -> None:
    """Kill every descendant, orphans included: this process is their subreaper, or the first of its namespace."""
    while True:
        if has_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        else:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, 0)[0]:
                pass
        except ChildProcessError:
            return
        except InterruptedError:
            continue


def _children() -> list[int]:
    me = os.getpid()
    with open(f"/proc/{me}/task/{me}/children") as source:
        return [int(word) for word in source.read().split()]


def _remove(folder: str) -> None:
    """Remove a job's folder, whatever its program made of it. shutil never follows links."""
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        for root, folders, _ in os.walk(folder):
            for name in folders:
                with contextlib.suppress(OSError):
                    os.chmod(os.path.join(root, name), 0o700, follow_symlinks=False)
        shutil.rmtree(folder, ignore_errors=True)


def send(control: socket.socket, message: Job, descriptors: list[int]) -> None:
    """One message, with descriptors."""
    data = json.dumps(message).encode()
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([data], ancillary)


def receive(control: socket.socket) -> tuple[Job, list[int]] | None:
    """The next message; None where the other side is gone."""
    try:
        data, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 64)
    except OSError as error:
        if error.errno in (errno.ECONNRESET, errno.EPIPE):
            return None
        raise
    if not data:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return json.loads(data), list(descriptors)


def _guard() -> None:
    """Without a process namespace: stay behind as the one that ends what the zygote leaves when it is killed."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    guardian = os.getpid()
    pid = os.fork()
    if pid == 0:
        _prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != guardian:
            os._exit(0)
        signal.signal(signal.SIGTERM, lambda *_: (drain(has_pids=False), os._exit(0)))
        return
    os.close(CONTROL)
    os.waitpid(pid, 0)
    drain(has_pids=False)
    os._exit(0)


def _preload() -> None:
    """Modules that programs import most; those that are not here load as they are asked for."""
    for name in (
        "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools",
        "heapq", "itertools", "math", "operator", "queue", "random", "re", "statistics", "string", "threading",
        "traceback", "typing", "codecs", "encodings.ascii", "encodings.latin_1", "encodings.idna", "numbers",
    ):  # fmt: skip
        __import__(name)


def main() -> None:
    control = socket.socket(fileno=CONTROL)
    control.set_inheritable(False)
    received = receive(control)
    if received is None:
        return
    settings, (proc,) = received
    if not settings["pid_namespace"]:
        _guard()
    sys.path[:] = [path for path in sys.path if path not in ("", settings["library"])]
    _preload()
    Zygote(control, settings, proc).serve()
    if settings["pid_namespace"]:
        drain(has_pids=True)


if __name__ == "__main__":
    main()
