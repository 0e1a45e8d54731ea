from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.rollout.engine_clock import EngineClock


class Hands:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def test_each_second_counts_as_busy_idle_or_paused() -> None:
    hands = Hands()
    clock = EngineClock(hands)
    hands.time += 1
    with clock.running(is_eval=False):
        hands.time += 2
        clock.pause()
        hands.time += 5
        clock.resume()
        hands.time += 3
    hands.time += 4
    times = clock.times()
    assert (times.busy_s, times.idle_s, times.paused_s, times.eval_s) == (5, 5, 5, 0)


def test_evaluation_has_its_share_of_what_is_under_way() -> None:
    hands = Hands()
    clock = EngineClock(hands)
    with clock.running(is_eval=True):
        hands.time += 1  # alone
        with clock.running(is_eval=False), clock.running(is_eval=False):
            hands.time += 3  # one of three
    assert clock.times().eval_s == 2
    assert clock.times().busy_s == 4


@given(st.lists(st.tuples(st.sampled_from(["start", "eval", "end", "pause", "resume"]), st.floats(0, 10)), max_size=40))
def test_the_three_add_up_to_wall_time(events: list[tuple[str, float]]) -> None:
    hands = Hands()
    clock, running = EngineClock(hands), []
    with ExitStack() as stack:
        for event, seconds in events:
            if event in ("start", "eval"):
                running.append(stack.enter_context(ExitStack()))
                running[-1].enter_context(clock.running(is_eval=event == "eval"))
            elif event == "end" and running:
                running.pop().close()
            elif event in ("pause", "resume"):
                getattr(clock, event)()
            hands.time += seconds
        times = clock.times()
    assert times.busy_s + times.idle_s + times.paused_s == pytest.approx(hands.time - 100.0)
    assert 0 <= times.eval_s <= times.busy_s + 1e-9
