"""DAPO's soft overlong punishment (section 3.4): a penalty for outputs near the length limit."""

from __future__ import annotations

OVERLONG = "overlong"
"""Name of the reward part that ``algo.overlong_share`` adds."""


def overlong_penalty(num_tokens: int, *, max_tokens: int, cache_tokens: int) -> float:
    """Return DAPO's soft overlong punishment (Yu et al. 2025, equation 13): 0 up to ``max_tokens - cache_tokens``,
    falling linearly to -1 at ``max_tokens``, and -1 beyond.

    >>> overlong_penalty(18432, max_tokens=20480, cache_tokens=4096)
    -0.5
    """
    if not 0 < cache_tokens <= max_tokens:
        raise ValueError(f"cache_tokens is {cache_tokens}, and has to be in 1..max_tokens ({max_tokens}).")
    over = num_tokens - (max_tokens - cache_tokens)
    return -min(max(over / cache_tokens, 0.0), 1.0)
