from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.runtime.causes import cause_in

CORE = """\
--- engine-core-0: process 7 on host, 2026-11-30 07:00:00
(EngineCore pid=7) ERROR 11-30 07:00:09 [core.py:1000] EngineCore encountered a fatal error.
(EngineCore pid=7) ERROR 11-30 07:00:09 [core.py:1000] Traceback (most recent call last):
(EngineCore pid=7) ERROR 11-30 07:00:09 [core.py:1000]   File "core.py", line 991, in run_engine_core
(EngineCore pid=7) ERROR 11-30 07:00:09 [core.py:1000] torch.OutOfMemoryError: CUDA out of memory
vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (CORE, "torch.OutOfMemoryError: CUDA out of memory"),
        ("KeyError: 'a'\n--- learner-rank-0: process 8\nall is well\n", ""),
        ("Traceback (most recent call last):\nValueError: first\nRuntimeError: last\nbye\n", "RuntimeError: last"),
        ("Fatal Python error: Segmentation fault\n\nThread 0x1 (most recent call first):\n", None),
        ("EngineLost: vLLM has died\n", "EngineLost: vLLM has died"),
        ("12 steps, no Error here\n", ""),
    ],
)
def test_the_cause_is_the_last_error_that_does_not_only_tell_of_another(
    tmp_path: Path, text: str, cause: str | None
) -> None:
    log = tmp_path / "engine-core-0.log"
    log.write_text(text)
    assert cause_in(log) == (text.partition("\n")[0] if cause is None else cause)


def test_a_log_that_is_not_there_has_no_cause(tmp_path: Path) -> None:
    assert cause_in(tmp_path / "none.log") == ""
