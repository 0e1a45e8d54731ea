"""Passwords in addresses: a configuration is written to the run folder, to logs and to the list of a cluster's jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

PASSWORD = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@(?P<rest>[^/\s]*)")


def check_credentials(config: Any) -> None:
    """Raise ValueError for a text with an address that has a password in it; the message has it not."""
    for key, text in _texts(config, ""):
        if found := PASSWORD.search(text):
            raise ValueError(
                f"{key}={found['scheme']}...@{found['rest']}: has a password, which would be in the run folder and in "
                "logs; needs an address without it, and the credentials in the environment (AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY of s3://; r1ray submit --env sends them along)."
            )


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield every text below a value, with its key."""
    if isinstance(value, str):
        yield key, value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _texts(getattr(value, each.name), f"{key}.{each.name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _texts(each, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each, key)
