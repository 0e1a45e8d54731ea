"""Addresses as other machines see them; tests/real/test_cluster.py has machines on which guesses are wrong."""

from __future__ import annotations

from r1ray.weights.network import interface_of, own_address


def test_the_own_address_is_the_one_that_reaches_the_master() -> None:
    assert own_address("127.0.0.1", 1) == "127.0.0.1"


def test_an_address_has_an_interface() -> None:
    assert interface_of("127.0.0.1") == "lo"
