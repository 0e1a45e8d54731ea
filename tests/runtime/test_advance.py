from __future__ import annotations

import pytest

from r1ray.runtime.advance import advancing, counted, under_way


def test_what_is_under_way_is_shown_until_it_ends_or_fails() -> None:
    with advancing("reading", total=2.0) as advance:
        advance.done = 1.0
        assert [(each.what, each.done, each.total) for each in under_way()] == [("reading", 1.0, 2.0)]
    with pytest.raises(ValueError), advancing("failing", total=1.0):
        raise ValueError
    assert under_way() == []


def test_counted_items_are_done_when_the_next_is_asked_for() -> None:
    seen = [(item, under_way()[0].done) for item in counted("steps", range(3))]
    assert seen == [(0, 0.0), (1, 1.0), (2, 2.0)] and under_way() == []
