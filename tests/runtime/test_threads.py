"""How threads that compute wait for each other."""

from __future__ import annotations

import pytest

from r1ray.runtime.threads import SPIN, SPIN_COUNT, spin_briefly, thread_environment


def test_an_actor_has_its_threads_and_spins_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SPIN, raising=False)
    assert thread_environment(2) == {"OMP_NUM_THREADS": "2", SPIN: SPIN_COUNT}


def test_a_spin_count_of_the_users_own_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SPIN, "7")
    spin_briefly()
    assert thread_environment(1)[SPIN] == "7"
