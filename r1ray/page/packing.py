"""JSON of a page: of ASCII alone, so that no text in it can be taken for anything else, and of finite numbers."""

from __future__ import annotations

import base64
import gzip
import json
import math
from typing import Any


def json_of(value: Any) -> str:
    """Return JSON of ASCII characters, with null in the place of numbers that JSON does not have."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=str)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, separators=(",", ":"), default=str)


def packed(value: Any) -> str:
    """Return the value as base64 of gzip of JSON."""
    return base64.b64encode(gzip.compress(json_of(value).encode(), compresslevel=6, mtime=0)).decode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
