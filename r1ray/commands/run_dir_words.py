"""Words of the verbs that look at one run: its folder, and a few keys of their own.

runs/mine version=3  ->  "runs/mine", {"version": "3"}
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

from r1ray.errors import UserError


def split_words(words: Sequence[str], *, verb: str, keys: Collection[str]) -> tuple[str, dict[str, str]]:
    """Return the run's folder and the values of the keys. Raises UserError.

    Args:
        keys: that the verb has.
    """
    run_dirs, values = [], dict[str, str]()
    for word in words:
        key, is_set, value = word.partition("=")
        if is_set and key in keys:
            values[key] = value
        elif is_set and not os.path.exists(word):
            raise UserError(f"{word}: {verb} has no such key; it has {', '.join(keys)}.")
        else:
            run_dirs.append(word)
    if len(run_dirs) != 1:
        raise UserError(f"{verb} needs one RUN_DIR, found {len(run_dirs)}: {', '.join(run_dirs) or 'none'}.")
    for key, value in values.items():
        if value == "":
            raise UserError(f"{key}: needs a value.")
    return run_dirs[0], values
