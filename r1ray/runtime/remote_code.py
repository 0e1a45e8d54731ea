"""Code in a model's folder: it runs with all that the user may do, so that nothing loads it unless
``trust_remote_code=true``.

    configuration --allow--> environment of this process --> its actors, and vLLM's processes --is_allowed--> each load

Every load of a configuration, tokenizer or model says ``trust_remote_code=is_allowed()``: without it transformers asks
at the terminal.
"""

from __future__ import annotations

import os

VARIABLE = "R1RAY_TRUST_REMOTE_CODE"


def allow(is_trusted: bool) -> None:
    """Let this process, and all that it starts from now on, run a model's own code, or not."""
    if is_trusted:
        os.environ[VARIABLE] = "1"
    else:
        os.environ.pop(VARIABLE, None)


def is_allowed() -> bool:
    """Say whether a model's own code may run in this process."""
    return VARIABLE in os.environ


def environment() -> dict[str, str]:
    """Return what tells an actor."""
    return {VARIABLE: "1"} if is_allowed() else {}


def needs_code(error: BaseException) -> bool:
    """Say whether a library raised an error because it would have to run a model's own code."""
    return not is_allowed() and "trust_remote_code" in str(error)


def refusal(named: str) -> str:
    """Return what a model that needs its own code is refused with.

    Args:
        named: what messages call the model, ``model=PATH``.
    """
    return (
        f"{named}: its files have code of their own, which transformers lacks, and which is not run unless you trust "
        "it: needs trust_remote_code=true, or another model."
    )
