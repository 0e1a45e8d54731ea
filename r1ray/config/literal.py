"""Texts of the user's on their way through OmegaConf, to which ``${`` begins an interpolation."""

from __future__ import annotations

import re
from typing import Any


def literal(text: str) -> str:
    r"""Return a text whose ``${`` OmegaConf takes for two characters.

    >>> print(literal("a/${b}"), literal("a/b\\"))
    a/\${b} a/b\
    """
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def literals(value: Any) -> Any:
    """Return nested values with :func:`literal` of every text in them."""
    if isinstance(value, dict):
        return {key: literals(each) for key, each in value.items()}
    if isinstance(value, list):
        return [literals(each) for each in value]
    return literal(value) if isinstance(value, str) else value
