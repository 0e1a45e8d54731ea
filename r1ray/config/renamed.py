"""Keys of the configuration that have another name now. The old ones are refused with the new one's name."""

from __future__ import annotations

RENAMED = {
    "reward.sandbox": "sandbox",
}
"""New names by old ones, of single keys or of whole sections."""


def new_name(key: str) -> str | None:
    """Return what a renamed key, or a key of a renamed section, is called now; None if it was not renamed.

    >>> new_name("reward.sandbox.mode"), new_name("reward.sandboxes")
    ('sandbox.mode', None)
    """
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return None
