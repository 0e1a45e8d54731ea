"""The books balance after any history, and after a restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from r1ray.data.position import Position
from r1ray.loop.ledger import Ledger, group_id_of, position_of


@given(st.lists(st.sampled_from(["issue", "train", "drop"]), max_size=60))
def test_issued_is_trained_plus_dropped_plus_in_flight_at_every_step(history: list[str]) -> None:
    ledger, count = Ledger(), 0
    for event in history:
        if event == "issue":
            ledger.issue(f"0/{count}")
            count += 1
        elif ledger.in_flight and event == "train":
            ledger.train([ledger.in_flight[0]])
        elif ledger.in_flight:
            ledger.drop(ledger.in_flight[-1], "stale")
        ledger.check()
    assert Ledger(ledger.state()).state() == ledger.state()


def test_a_group_ends_once() -> None:
    ledger = Ledger()
    ledger.issue("0/0")
    ledger.train(["0/0"])
    with pytest.raises(AssertionError, match="not in flight"):
        ledger.drop("0/0", "stale")


def test_a_group_is_issued_once_at_a_time() -> None:
    ledger = Ledger()
    ledger.issue("0/0")
    with pytest.raises(AssertionError, match="in flight already"):
        ledger.issue("0/0")


def test_books_that_do_not_balance_are_refused() -> None:
    with pytest.raises(AssertionError, match="3 issued, but 1 trained, 0 dropped and 1 in flight"):
        Ledger({"issued": 3, "trained": 1, "dropped": {}, "in_flight": ["0/0"]})


def test_metrics_have_the_published_names() -> None:
    ledger = Ledger()
    ledger.issue("0/0")
    ledger.drop("0/0", "unscorable")
    assert ledger.metrics() == {
        "ledger/issued": 1,
        "ledger/trained": 0,
        "ledger/dropped": 1,
        "ledger/reissued": 0,
        "ledger/in_flight": 0,
        "ledger/dropped/unscorable": 1,
    }


def test_a_group_id_names_its_position() -> None:
    assert position_of(group_id_of(Position(3, 14))) == Position(3, 14)


def test_a_group_that_is_issued_again_is_the_same_group() -> None:
    ledger = Ledger()
    ledger.issue("0/0")
    ledger.reissue("0/0")
    ledger.check()
    assert (ledger.issued, ledger.in_flight, ledger.metrics()["ledger/reissued"]) == (1, ("0/0",), 1.0)
    ledger.train(["0/0"])
    with pytest.raises(AssertionError, match="not in flight"):
        ledger.reissue("0/0")


def test_a_ledger_that_goes_back_has_in_flight_what_ended_since() -> None:
    ledger = Ledger()
    for index in range(4):
        ledger.issue(f"0/{index}")
    ledger.train(["0/0"])
    saved = ledger.state()
    ledger.issue("0/4")
    ledger.train(["0/1", "0/4"])
    ledger.drop("0/2", "stale")
    assert ledger.go_back(saved, ["0/4"]) == ["0/1", "0/2", "0/4"]
    assert (ledger.issued, ledger.trained, ledger.dropped.total()) == (5, 1, 0)
    assert ledger.in_flight == ("0/1", "0/2", "0/4", "0/3") and ledger.reissued == 3
    assert sorted(ledger.go_back(None, [f"0/{index}" for index in range(5)])) == ["0/0"]
    assert (ledger.issued, ledger.trained, len(ledger.in_flight)) == (5, 0, 5)
