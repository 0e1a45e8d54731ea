"""Hostile and harmless programs of our own, in the form of :mod:`tests.sandbox.outside`."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

_ADD = {"entry": "add", "calls": [[1, 2], [5, 7]], "expected": [3, 12], "kind": "func"}
_ASSERT = {
    "entry": "add",
    "kind": "assert",
    "tests": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(5, 7) == 12\n",
}


def _row(name: str, expect: str, code: str, language: str = "python", **more: Any) -> Row:
    return {"id": name, "expect": expect, "code": code, "language": language, **more}


def _stdio(name: str, code: str, stdin: str = "1\n", stdout: str = "2\n", expect: str = "reject", **more: Any) -> Row:
    return _row(name, expect, code, kind="stdio", stdin=stdin, stdout=stdout, **more)


_TRY = """
def attempt(name, function):
    try:
        result = function()
    except (OSError, ValueError, MemoryError) as error:
        print("DENIED", name, error)
    else:
        print("DENIED" if result is False else "ESCAPED", name, flush=True)
"""

CONTAINED = [
    _row(
        "files",
        "denied",
        _TRY
        + """
import os, shutil, tempfile
for path in ("@CANARY@", "/etc/shadow", "/etc/hostname", "/proc/self/status", "/proc/1/cmdline", "/root/.profile"):
    attempt(path, lambda: open(path).read())
for path in ("@CANARYDIR@/x", "/tmp/x", "x", "/dev/shm/x", "/var/tmp/x"):
    attempt(path, lambda: open(path, "a").write("x"))
attempt("truncate", lambda: os.truncate("@CANARY@", 0))
attempt("remove", lambda: os.remove("@CANARY@"))
attempt("copy", lambda: shutil.copy("@CANARY@", "@CANARYDIR@/copy"))
attempt("temporary", lambda: tempfile.TemporaryFile())
attempt("chmod", lambda: os.chmod("@CANARYDIR@", 0))
attempt("times", lambda: os.utime("@CANARY@", ns=(1, 1)))
attempt("xattr", lambda: os.setxattr("@CANARY@", "user.x", b"1"))
attempt("hard link", lambda: os.link("@CANARY@", "@CANARYDIR@/l"))
attempt("scan", lambda: len(list(os.scandir("@CANARYDIR@"))) >= 0)
""",
    ),
    _row(
        "network",
        "denied",
        _TRY
        + """
import socket
def reach(family, kind, address):
    s = socket.socket(family, kind)
    s.settimeout(1)
    s.connect(address)
    s.send(b"x")
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    attempt("inet", lambda: reach(socket.AF_INET, kind, ("127.0.0.1", @PORT@)))
    attempt("path", lambda: reach(socket.AF_UNIX, kind, "@USOCK@" + (".d" if kind == socket.SOCK_DGRAM else "")))
    attempt("abstract", lambda: reach(socket.AF_UNIX, kind, "\\0@ABSTRACT@" + (".d" if kind != 1 else "")))
a, b = socket.socketpair()
attempt("descriptor passing", lambda: socket.send_fds(a, [b"x"], [0]))
attempt("datagram pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
""",
    ),
    _row(
        "processes",
        "denied",
        _TRY
        + """
import ctypes, os, signal, subprocess
libc = ctypes.CDLL(None, use_errno=True)
attempt("fork", os.fork)
attempt("vfork", lambda: libc.syscall(58) >= 0)
attempt("clone", lambda: libc.syscall(56, 17, 0, 0, 0, 0) >= 0)
attempt("clone3", lambda: libc.syscall(435, 0, 0) >= 0)
attempt("subprocess", lambda: subprocess.run(["true"]))
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
for number in (signal.SIGKILL, signal.SIGSTOP, 0):
    for pid in (@VICTIM@, os.getppid() or @VICTIM@, -1):
        attempt("signal", lambda: os.kill(pid, number) if pid != 1 else False)
attempt("pidfd", lambda: os.pidfd_open(@VICTIM@))
attempt("own signals by a file", lambda: __import__("fcntl").fcntl(0, 8, @VICTIM@))
attempt("ptrace", lambda: libc.syscall(101, 16, @VICTIM@, 0, 0) >= 0)
attempt("memory of others", lambda: libc.syscall(310, @VICTIM@, 0, 0, 0, 0, 0) >= 0)
attempt("priority of others", lambda: os.setpriority(os.PRIO_PROCESS, @VICTIM@, 19))
""",
    ),
    _row(
        "kernel",
        "denied",
        _TRY
        + """
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
for name, number, *arguments in (
    ("unshare", 272, 0x10000000), ("mount", 165, 0, 0, 0, 0, 0), ("bpf", 321, 0, 0, 0), ("io_uring", 425, 8, 0),
    ("userfaultfd", 323, 0), ("perf", 298, 0, 0, -1, -1, 0), ("keyctl", 250, 0), ("memfd", 319, b"x", 0),
    ("shmget", 29, 0, 4096, 0o1600), ("mq_open", 240, b"/x", 0o102, 0o600, 0), ("seccomp", 317, 0, 0, 0),
    ("landlock", 444, 0, 0, 1), ("personality", 135, 0x40000), ("sysfs", 139, 3), ("setns", 308, 0, 0),
):
    attempt(name, lambda: libc.syscall(number, *arguments) >= 0)
attempt("limits", lambda: resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000)))
attempt("dumpable", lambda: libc.prctl(4, 1, 0, 0, 0) == 0)
attempt("environment", lambda: "@ENVNAME@" in __import__("os").environ)
""",
    ),
    _row("x32 calls", "denied", "import ctypes\nctypes.CDLL(None).syscall(0x40000000 | 57)\nprint('ESCAPED')\n"),
    _row("busy", "timeout", "while True: pass\n", cpu_s=0.5),
    _row("busy in C, alarms off", "timeout", "import signal\nfor s in (14, 15, 24, 27): signal.signal(s, 1)\n3**10**9\n", cpu_s=0.5),
    _row("waiting", "timeout", "import time\ntime.sleep(10**6)\n", cpu_s=0.3),
    _row("waiting thread", "timeout", "import threading\nthreading.Thread(target=threading.Event().wait).start()\n", cpu_s=0.3),
    _row("memory", "memory", "x = bytearray(4 << 30)\n"),
    _row("small memory", "memory", "x = []\nwhile True: x.append(' ' * 10**6)\n"),
    _row("output", "output_limit", "while True: print('x' * 1000)\n"),
    _row("errors", "runtime_error", "import sys\nwhile True: sys.stderr.write('x' * 1000)\n"),
    _row("recursion", "runtime_error", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()\n", cpu_s=1.0),
    _row("bash files", "denied", "for p in @CANARY@ /etc/passwd /proc/1/environ; do cat $p && echo ESCAPED; done\n"
         "echo x > @CANARYDIR@/x && echo ESCAPED; chmod 600 @CANARY@ && echo ESCAPED; touch @CANARY@ && echo ESCAPED\n"
         "ln -s @CANARY@ l; cat l && echo ESCAPED; env | grep -q @ENVNAME@ && echo ESCAPED; true\n", "bash"),
    _row("bash processes", "denied", "kill -9 @VICTIM@ && echo ESCAPED\nkill -9 $PPID && echo ESCAPED\n"
         "(setsid sleep 1000 &); (sleep 1000 &); nohup sleep 1000 >/dev/null & echo started\n", "bash"),
    _row("bash forks", "contained", "f() { f | f & }; f; sleep 100\n", "bash", cpu_s=0.3),
    _row("bash disk", "contained", "i=0; while head -c 900000 /dev/zero > f$i; do i=$((i+1)); done; echo $i\n", "bash"),
    _row("bash deep folder", "contained", "python3 -I -S -c 'import os\nfor i in range(1200): os.mkdir(\"a\"); os.chdir(\"a\")'\n", "bash"),
    _row("bash hidden folder", "contained", "mkdir h; cd h; chmod 300 .; for i in $(seq 400); do head -c 900000 /dev/zero > f$i; done\n", "bash"),
    _row("bash locked folder", "contained", "mkdir x; chmod 000 x; chmod 000 .\n", "bash"),
    _row("forged exit code 125", "runtime_error", "import os\nos.write(2, b'r1ray: hi')\nos._exit(125)\n"),
    _row("forged exit code 126", "runtime_error", "echo 'r1ray: cannot start: x' >&2; exit 126\n", "bash"),
    _row("C++ without an interpreter", "runtime_error", "const char i[] __attribute__((section(\".interp\"), used)) = {'x'};\nint main() {}\n", "cpp"),
    _row("pretended starvation", "timeout", """
import hashlib, threading, time
data, start = b"x" * (6 << 20), time.monotonic()
def work():
    for k in range(1, 10**6):
        time.sleep(max(0, start + 0.25 * k - time.monotonic()))
        hashlib.sha256(data).digest()
for _ in range(5): threading.Thread(target=work).start()
""", cpu_s=0.5),
    _row("C# shared memory", "contained", """
using System; using System.Runtime.InteropServices;
class P {
    [DllImport("libc")] static extern IntPtr mmap(IntPtr a, UIntPtr n, int p, int f, int d, IntPtr o);
    static void Main() {
        IntPtr m = mmap(IntPtr.Zero, (UIntPtr)(3000UL << 20), 3, 0x21, -1, IntPtr.Zero);
        Console.WriteLine(m == (IntPtr)(-1) ? "DENIED" : "ESCAPED");
    }
}
""", "csharp"),
    _row("bash kills all", "contained", "kill -9 -1; echo still here\n", "bash"),
    _row("C++ files and sockets", "denied", """#include <cstdio>
#include <initializer_list>
#include <fcntl.h>
#include <unistd.h>
#include <sys/socket.h>
int main() {
    for (const char *p : {"@CANARY@", "/etc/passwd"}) puts(open(p, O_RDONLY) >= 0 ? "ESCAPED read" : "DENIED");
    for (const char *p : {"@CANARYDIR@/x", "x", "main"}) puts(open(p, O_WRONLY | O_CREAT, 0600) >= 0 ? "ESCAPED" : "DENIED");
    puts(socket(AF_INET, SOCK_STREAM, 0) >= 0 ? "ESCAPED socket" : "DENIED");
    puts(fork() >= 0 ? "ESCAPED fork" : "DENIED");
    puts(execl("/bin/sh", "sh", "-c", "echo ESCAPED exec", nullptr) ? "DENIED" : "ESCAPED");
}
""", "cpp"),
    _row("C++ other interpreters", "denied", """#include <cstdio>
#include <initializer_list>
#include <unistd.h>
int main() {
    for (const char *python : {"/usr/bin/python3", "/bin/python3", "/usr/bin/perl", "/bin/sh"}) {
        execl(python, python, "-c", "print('ESCAPED')", nullptr);
        for (const char *loader : {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"})
            execl(loader, loader, python, "-c", "print('ESCAPED')", nullptr);
    }
    puts(execlp("python3", "python3", "-c", "print('ESCAPED')", nullptr) ? "DENIED" : "");
}
""", "cpp"),
    _row("C++ secrets through the compiler", "compile_error", '#include "@CANARY@"\nint main() {}\n', "cpp"),
    _row("C++ assembler include", "compile_error", 'asm(".incbin \\"@CANARY@\\"");\nint main() {}\n', "cpp"),
    _row("C++ big array", "compile_error", "char x[3000000000] = {1};\nint main() {}\n", "cpp"),
    _row("JavaScript", "denied", """
const fs = require("fs"), child = require("child_process");
const attempt = (f) => { try { f(); console.log("ESCAPED"); } catch (e) { console.log("DENIED", e.code); } };
attempt(() => fs.readFileSync("@CANARY@")); attempt(() => fs.writeFileSync("@CANARYDIR@/x", "x"));
attempt(() => fs.writeFileSync("main.js", "x")); attempt(() => child.execFileSync("/bin/true"));
attempt(() => process.kill(@VICTIM@, "SIGKILL")); attempt(() => { if (!process.env["@ENVNAME@"]) throw 1; });
""", "javascript"),
    _row("JavaScript memory", "memory", "let a = []; for (;;) a.push(new Array(100000).fill(1.5));\n", "javascript"),
]  # fmt: skip

HACKS = [
    _row("equal to everything", "reject", "class E(int):\n    def __eq__(s, o): return True\n"
         "    def __hash__(s): return 0\ndef add(a, b): return E(0)\n", **_ADD),
    _row("list equal to everything", "reject", "class E(list):\n    def __eq__(s, o): return True\n"
         "def add(a, b): return E()\n", **_ADD),
    _row("true for one", "reject", "def add(a, b): return True\n",
         kind="func", entry="add", calls=[[0, 1]], expected=[1]),
    _row("exit in the call", "reject", "import os\ndef add(a, b): os._exit(0)\n", **_ADD),
    _row("exit at import", "reject", "raise SystemExit(0)\n", **_ADD),
    _row("first call only", "reject", "n = []\ndef add(a, b):\n    n.append(1)\n    return 3\n", **_ADD),
    _row("search the frames", "reject", """
import gc, sys
def add(a, b):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()) + list(frame.f_globals.values()):
            if isinstance(value, dict) and "expected" in value: return value["expected"][0]
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "expected" in thing: return thing["expected"][0]
""", **_ADD),
    _row("write the results", "reject", """
import json, os
for fd in range(3, 60):
    for n in range(2):
        try: os.write(fd, (json.dumps({"n": n, "v": True, "passed": True}) + "\\n").encode())
        except OSError: pass
def add(a, b): return 0
""", **_ADD),
    _row("endless result", "reject", "import itertools\ndef add(a, b): return itertools.count()\n", **_ADD),
    _row("deep result", "reject", "def add(a, b):\n    x = []\n    for _ in range(10**5): x = [x]\n    return x\n", **_ADD),
    _row("cyclic result", "reject", "def add(a, b):\n    x = []\n    x.append(x)\n    return x\n", **_ADD),
    _row("pickle bomb", "reject", "class E:\n    def __reduce__(s): return (print, ('x',))\ndef add(a, b): return E()\n",
         **_ADD),
    _row("redefine check", "reject", "import sys\ndef check(c): pass\nsys.modules['__main__'].check = check\n"
         "def add(a, b): return 0\n", **_ASSERT),
    _row("patch AssertionError", "reject", "import builtins\nbuiltins.AssertionError = type('A', (BaseException,), {})\n"
         "def add(a, b): return 0\n", **_ASSERT),
    _row("equal to everything, in an assert", "reject", "class E:\n    def __eq__(s, o): return True\n"
         "def add(a, b): return E()\n", **_ASSERT),
    _row("forge the verdict", "reject", "import os\nfor fd in range(3, 60):\n"
         "    try: os.write(fd, b'{\"passed\": true}\\n')\n    except OSError: pass\ndef add(a, b): return 0\n", **_ASSERT),
    _row("answers without questions", "reject", "import os\nos.write(4, b'{\"id\": 1, \"v\": 3, \"a\": [1, 2]}\\n' * 9)\n"
         "def add(a, b): return 0\n", **_ASSERT),
    _row("exit in an assert", "reject", "import os\ndef add(a, b): os._exit(0)\n", **_ASSERT),
    _stdio("nothing", "pass\n"),
    _stdio("print and crash", "print(2)\n1/0\n"),
    _stdio("print and exit 1", "print(2)\nraise SystemExit(1)\n"),
    _stdio("every number", "print(*range(100))\n"),
    _stdio("a NUL", "print('2\\0')\n"),
    _stdio("first line only", "print('a')\n", stdout="a\nb\n"),
    _stdio("blank first line", "pass\n", stdout="\nx\n"),
    _stdio("Arabic digits", "print('\\u0662')\n"),
    _stdio("nan", "print('nan')\n", stdout="0.5\n"),
    _stdio("exit 0 before main", "#include <cstdlib>\nstruct X { X() { _Exit(0); } } x;\nint main() { return 1; }\n",
           language="cpp"),
]  # fmt: skip

HARMLESS = [
    _stdio("input", "print(int(input()) + 1)\n", expect="pass"),
    _stdio("buffer", "import sys\nprint(int(sys.stdin.buffer.read()) + 1)\n", expect="pass"),
    _stdio("open(0)", "print(int(open(0).read()) + 1)\n", expect="pass"),
    _stdio("fast output", "import io, os, sys, atexit\nsys.stdout = io.StringIO()\n"
           "atexit.register(lambda: os.write(1, sys.stdout.getvalue().encode()))\nprint(2)\n", expect="pass"),
    _stdio("threads", "import threading\nt = threading.Thread(target=print, args=(2,))\nt.start()\nt.join()\n",
           expect="pass"),
    _stdio("asyncio", "import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 2\n"
           "print(asyncio.run(f()))\n", expect="pass"),
    _stdio("deep recursion", "import sys\nsys.setrecursionlimit(10**5)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
           "print(f(20000) - 19998)\n", expect="pass"),
    _stdio("late imports", "import zoneinfo, csv, hashlib, sqlite3, unittest, ctypes\nprint(2)\n", expect="pass"),
    _stdio("put away stdout", "import io, sys\nsys.stdout = io.StringIO()\nprint(2)\nsys.__stdout__.write(sys.stdout.getvalue())\n", expect="pass"),
    _stdio("stdout by number", "out = open(1, 'w')\nout.write('2')\n", expect="pass"),
    _stdio("closed stdout", "import sys\nprint(2)\nsys.stdout.close()\n", expect="pass"),
    _stdio("mode of the streams", "import sys\nprint(2 if 'w' in sys.stdout.mode and 'r' in sys.stdin.mode else 0)\n", expect="pass"),
    _stdio("exit code 0", "print(2)\nexit()\n", expect="pass"),
    _stdio("non-ASCII", "print(input()[::-1])\n", stdin="日本é\n", stdout="é本日\n", expect="pass"),
    _stdio("main guard", "if __name__ == '__main__':\n    print(2)\n", expect="pass"),
    _stdio("dataclass", "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(2).x)\n", expect="pass"),
    _row("class method", "pass", "class Solution:\n    def add(self, a, b): return a + b\n", kind="func",
         entry="Solution().add", calls=[[1, 2]], expected=[3]),
    _row("tuple for list", "pass", "def f(x): return {'a': (1, 2.5, None, 'z')}\n", kind="func", entry="f", calls=[[0]],
         expected=[{"a": [1, 2.5, None, "z"]}]),
    _row("big numbers", "pass", "def f(x): return x ** 100\n", kind="func", entry="f", calls=[[7]], expected=[7**100]),
    _row("assert that raises", "pass", "def add(a, b): raise KeyError(a)\n", kind="assert", entry="add",
         tests="try:\n    add(1, 2)\nexcept KeyError:\n    pass\nelse:\n    assert False\n"),
    _row("assert in place", "pass", "def add(a, b): a.append(b)\n", kind="assert", entry="add",
         tests="def check(candidate):\n    x = [1]\n    candidate(x, 2)\n    assert x == [1, 2]\n"),
    _row("two functions", "pass", "def up(x): return x + 1\ndef down(x): return x - 1\n", kind="assert",
         tests="assert up(1) == 2\nassert down(1) == 0\nassert up(down(3)) == 3\n"),
    _stdio("C++", "#include <bits/stdc++.h>\nint main() { int a; std::cin >> a; std::cout << a + 1 << std::endl; }\n",
           expect="pass", language="cpp"),
    _stdio("JavaScript", "console.log(Number(require('fs').readFileSync(0)) + 1)\n", expect="pass",
           language="javascript"),
    _stdio("Bash", "read a; seq $((a + 1)) | sort -r | head -1 | tee out; cat out > /dev/null\n", expect="pass",
           language="bash"),
    _stdio("Java", "import java.util.*;\npublic class Main { record P(int x) {}\n  public static void main(String[] a) {\n"
           "    System.out.println(new P(new Scanner(System.in).nextInt() + 1).x()); } }\n", expect="pass",
           language="java"),
    _stdio("PHP", "<?php echo intval(fgets(STDIN)) + 1, PHP_EOL;\n", expect="pass", language="php"),
    _stdio("C#", "using System;\nclass P { static void Main() { Console.WriteLine(int.Parse(Console.ReadLine()) + 1); } }\n",
           expect="pass", language="csharp"),
    _stdio("TypeScript", "declare var require: any;\nconst n: number = Number(require('fs').readFileSync(0));\n"
           "console.log(n + 1);\n", expect="pass", language="typescript"),
]  # fmt: skip
