"""r1ray: DeepSeek-R1's reinforcement learning as a distributed actor/learner system on Ray."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r1ray.library.calls import evaluate as evaluate
    from r1ray.library.calls import run as run
    from r1ray.library.calls import score as score
    from r1ray.library.saved_run import Run as Run
    from r1ray.library.saved_run import load_run as load_run

__version__ = "0.1.0"

_OFFERED = {"run": "calls", "evaluate": "calls", "score": "calls", "load_run": "saved_run", "Run": "saved_run"}


def __getattr__(name: str) -> Any:
    """Import the library functions of r1ray on first use, so that ``import r1ray`` itself imports nothing."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"r1ray.library.{_OFFERED[name]}"), name)
