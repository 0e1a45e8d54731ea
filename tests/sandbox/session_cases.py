"""Hostile cells: what they may say, and what comes of the session and of the cell after it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hostile:
    """A cell, run in a session where ``kept = 7`` was set before it."""

    name: str
    source: str
    ended: tuple[str, ...]
    """Ends that are right."""
    why: str = ""
    """In the sentence on the session's end."""
    is_kept: bool = False
    """The state is there afterwards."""


SLOW = (
    *("floods its pipe", "answers for itself and goes on", "swallows interrupts", "ignores interrupts"),
    *("stops itself", "more and more memory", "no recursion limit", "a large file", "many threads", "many files"),
)
STEAL_TOKEN = """
import os, sys
frame = sys._getframe()
while frame and "token" not in frame.f_locals:
    frame = frame.f_back
os.write(4, frame.f_locals["token"] + b"0")
"""

HOSTILE = (
    Hostile("ends its process", "import os\nprint('x')\nos._exit(0)\n", ("lost",), "exit code 0"),
    Hostile("pretends that it did not start", "import os\nos._exit(125)\n", ("lost",), "exit code 125"),
    Hostile("crashes", "import ctypes\nctypes.string_at(0)\n", ("lost",), "signal 11"),
    Hostile("ends itself by a signal without a name", "import os\nos.kill(os.getpid(), 40)\n", ("lost",), "signal 40"),
    Hostile("closes a pipe", "import os\nos.close(4)\n", ("lost",)),
    Hostile("closes the other pipe", "import os\nos.close(3)\n", ("done", "lost")),
    Hostile("reads the next request", "import os, threading\nthreading.Thread(target=os.read, args=(3, 4), daemon=True).start()\n", ("done",)),
    Hostile("floods its pipe", "import os\nwhile True: os.write(4, b'x' * 64)\n", ("lost",), "a pipe"),
    Hostile(
        "answers ahead",
        "import os\nfor n in range(90): os.write(4, bytes(16) + b'0')\n",
        ("done",),
        is_kept=True,
    ),
    Hostile("writes to every descriptor", "import os\nfor fd in range(5, 256):\n    try: os.write(fd, b'x'); print('ESCAPED', fd)\n    except OSError: pass\n", ("done",), is_kept=True),
    Hostile("answers for itself and goes on", STEAL_TOKEN + "while True: pass\n", ("done",)),
    Hostile("swallows interrupts", "def f():\n    while True: pass\nwhile True:\n    try: f()\n    except BaseException: pass\n", ("lost",), "could not be interrupted"),
    Hostile("ignores interrupts", "import signal, time\nsignal.signal(2, signal.SIG_IGN)\ntime.sleep(1000)\n", ("lost",), "could not be interrupted"),
    Hostile("stops itself", "import os, signal, time\nos.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(1000)\n", ("lost", "raised", "wall")),
    Hostile("much memory", "x = bytearray(4 << 30)\n", ("raised",), is_kept=True),
    Hostile("more and more memory", "x = []\nwhile True: x.append(' ' * 10**6)\n", ("raised", "lost")),
    Hostile("much output", "while True: print('x' * 1000)\n", ("raised",), is_kept=True),
    Hostile("much output past the streams", "import os\nwhile True: os.write(1, b'x' * 5000)\n", ("raised",), is_kept=True),
    Hostile("a larger output file", "import os\nos.ftruncate(1, 1 << 24)\n", ("raised",), is_kept=True),
    Hostile("streams that lie", "import sys\nclass L:\n    def write(s, t): raise SystemExit\n    def flush(s): 1/0\nsys.stdout = sys.stderr = L()\nprint(1)\n", ("done",), is_kept=True),
    Hostile("a value that lies", "class E:\n    def __repr__(s): raise BaseException('no')\nE()\n", ("raised",), is_kept=True),
    Hostile("an error that lies", "class E(Exception):\n    def __str__(s): raise SystemExit(3)\nraise E\n", ("raised",), is_kept=True),
    Hostile("no recursion limit", "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()\n", ("lost", "raised", "cpu")),
    Hostile("a large file", "open('x', 'wb').write(bytes(8 << 20))\n", ("raised",), is_kept=True),
    Hostile("many large files", "import time\nfor n in range(64): open(str(n), 'wb').write(bytes(1 << 20))\ntime.sleep(1)\n", ("lost",), "more files"),
    Hostile("many files", "import time\nfor n in range(3000): open(str(n), 'wb').close()\ntime.sleep(1)\n", ("lost",), "more files"),
    Hostile("a deep folder", "import os, time\nfor n in range(1200): os.mkdir('a'); os.chdir('a')\ntime.sleep(1)\n", ("lost",), "more files"),
    Hostile("many threads", "import threading, time\nfor n in range(5000): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n", ("raised",)),
    Hostile("unbalanced source", "(" * 5000, ("raised",), is_kept=True),
    Hostile("a NUL", "x = '\0'\n", ("raised",), is_kept=True),
    Hostile("half a surrogate pair", "x = '\ud800'\n", ("done",), is_kept=True),
    Hostile("takes tools away", "import os, traceback\nos.read = os.write = os._exit = traceback.format_exception = None\n", ("done",), is_kept=True),
    Hostile("exits", "exit(1)\n", ("raised",), is_kept=True),
    Hostile("reads its input", "input()\n", ("raised",), is_kept=True),
)  # fmt: skip
