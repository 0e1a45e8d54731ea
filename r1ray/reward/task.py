"""Accuracy of a task of reasoning-gym, by the checker of its set, in the sandbox.

Several checkers execute the answer's text, and others may compute for as long as it demands. So each answer is scored
in a process of its own, with no file, no network and a limit on time and memory (:mod:`r1ray.sandbox`). That process
runs the text of :mod:`r1ray.reward.task_source`.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from r1ray.checks import ReasoningTask
from r1ray.config import SandboxConfig
from r1ray.reward.extract import final_answer
from r1ray.sandbox.home import find_python
from r1ray.sandbox.job import Limits, Run
from r1ray.sandbox.pool import Sandbox
from r1ray.types import Score

INSTALL = "pip install --no-deps -r launch/requirements-reasoning-gym.txt"
MEMORY_MIB = 1024
"""Least memory of a checker. Its libraries reserve a quarter of it."""
SOURCE = (Path(__file__).parent / "task_source.py").read_text()


class TaskGrader:
    """Scores answers to tasks, in a sandbox that imports reasoning-gym once for each slot."""

    def __init__(self, config: SandboxConfig) -> None:
        """Raises SandboxUnavailable."""
        self._limits = Limits(
            cpu_s=config.cpu_s, memory_mib=max(MEMORY_MIB, config.memory_mib), output_kib=config.output_kib
        )
        self._sandbox = Sandbox(
            num_slots=config.num_slots,
            mode=config.mode,
            python=config.python or find_python(of_this_version=True),
            packages=package_folders(),
            imports=("reasoning_gym",),
        )
        self._threads = ThreadPoolExecutor(self._sandbox.num_slots, thread_name_prefix="task")

    async def score(self, check: ReasoningTask, text: str) -> Score:
        """Return the score of a response. Raises InfrastructureError."""
        answer = final_answer(text)
        if answer is None:
            return Score(0.0, "no_answer")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._score, check, answer)

    def _score(self, check: ReasoningTask, answer: str) -> Score:
        # Arguments have to be encoded, which options and entry already are.
        calls: list[object] = [[check.name, json.loads(check.options), answer, json.loads(check.entry)]]
        run = self._sandbox.run_calls(SOURCE, "score", calls, self._limits, call_s=self._limits.cpu_s)
        found = _found(run)
        if found is None:
            return Score(0.0, "timeout" if run.ended in ("cpu", "wall") else "wrong", answer, _why(run))
        value = found if found >= check.threshold else 0.0
        label = "correct" if found >= 1 else "partial" if value else "wrong"
        return Score(value, label, answer, f"{check.name}: {found:g}", metrics={"task_score": found})

    def close(self) -> None:
        """End the sandbox."""
        self._sandbox.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


@functools.cache
def missing() -> str | None:
    """Return a message that says what is missing to make and score tasks and how to install it; None if nothing is."""
    if importlib.util.find_spec("reasoning_gym") is None:
        return f"reasoning-gym is not installed: needs {INSTALL} (or the extra: pip install 'r1ray[reasoning-gym]')"
    return None


def package_folders() -> tuple[str, ...]:
    """Return the folders from which reasoning-gym and its requirements are imported."""
    specs = [importlib.util.find_spec(name) for name in ("reasoning_gym", "numpy", "sympy")]
    files = [spec.origin for spec in specs if spec is not None and spec.origin]
    return tuple(dict.fromkeys(str(Path(file).resolve().parents[1]) for file in files))


def _found(run: Run) -> float | None:
    """Return the score that the checker gave; None if it gave none."""
    try:
        message: Any = json.loads(run.result.split(b"\n", 1)[0])
        value = float.fromhex(message["v"]["float"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return min(value, 1.0) if value >= 0 else 0.0


def _why(run: Run) -> str:
    if run.ended != "exited":
        return f"the checker did not end by itself: {run.ended}"
    return f"the checker failed: {run.result[:300].decode(errors='replace')}"
