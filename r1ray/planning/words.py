"""Numbers of plans, for people."""

from __future__ import annotations


def seconds_of(value: float) -> str:
    """Return a time in the unit that suits it.

    >>> seconds_of(0.25), seconds_of(600.0), seconds_of(9000.0), seconds_of(864000.0)
    ('0.25 s', '10.0 min', '2.5 h', '240.0 h')
    """
    if value >= 7200:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 120 else f"{value:.3g} s"
