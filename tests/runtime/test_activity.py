from __future__ import annotations

import time

from r1ray.runtime.activity import IDLE, begin, current, end, waiting


def test_a_process_that_has_nothing_to_do_waits_for_a_call_since_the_last_one_ended() -> None:
    before = time.time()
    with waiting("train", kind="work"):
        pass
    assert current().waits_for == IDLE
    assert before <= current().since <= time.time()


def test_the_oldest_wait_is_shown_with_the_calls_that_have_no_answer() -> None:
    calls = [begin("call", f"rollout-worker-{number}", "generate") for number in range(3)]
    try:
        with waiting("the learner group"):
            assert current().waits_for == "the learner group; rollout-worker-0: generate (the oldest of 3)"
            end("call", calls.pop(0))
            assert current().waits_for == "the learner group; rollout-worker-1: generate (the oldest of 2)"
    finally:
        for call in calls:
            end("call", call)
    assert current().waits_for == IDLE


def test_own_work_counts_where_nobody_else_is_waited_for() -> None:
    with waiting("train", kind="work"):
        assert current().waits_for == "the end of train"
        with waiting("its turn of the math verifier"):
            assert current().waits_for == "its turn of the math verifier"


def test_many_waits_are_cut_to_some_and_a_number() -> None:
    numbers = [begin("wait", f"group {number}/8") for number in range(7)]
    assert current().waits_for == "group 0/8; group 1/8; group 2/8 and 4 others"
    for number in numbers:
        end("wait", number)
