"""A cell's time, told by clocks that tests set."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from r1ray.errors import MachineTooBusy
from r1ray.sandbox.cell_clock import AGAIN_S, CellClock
from r1ray.sandbox.session_slot import SessionLimits

LIMITS = SessionLimits(cpu_s=4.0, wall_s=10.0, longest_s=60.0)


@dataclass
class Machine:
    """A process and the time of day."""

    time: float = 100.0
    used: float = 7.0
    waited: float = 3.0

    def computed(self) -> float:
        return self.used

    def queued(self) -> float:
        return self.waited

    def now(self) -> float:
        return self.time

    def passes(self, *, computing: float = 0.0, queued: float = 0.0, waiting: float = 0.0) -> None:
        self.time += computing + queued + waiting
        self.used += computing
        self.waited += queued


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def clock(machine: Machine) -> CellClock:
    return CellClock(LIMITS, machine, now=machine.now)


def test_what_earlier_cells_used_does_not_count(clock: CellClock) -> None:
    assert (clock.look(), clock.up) == ("go on", "")


def test_a_cell_that_computes_is_interrupted_and_then_ended(machine: Machine, clock: CellClock) -> None:
    machine.passes(computing=4.0)
    assert (clock.look(), clock.up) == ("interrupt", "cpu")
    machine.passes(computing=AGAIN_S / 2)
    assert clock.look() == "go on"
    machine.passes(computing=AGAIN_S / 2)
    assert (clock.look(), clock.up) == ("end", "cpu")


def test_a_cell_that_waits_is_interrupted_by_the_wall_clock_and_then_ended(machine: Machine, clock: CellClock) -> None:
    machine.passes(waiting=9.9)
    assert clock.look() == "go on"
    machine.passes(waiting=0.1)
    assert (clock.look(), clock.up) == ("interrupt", "wall")
    machine.passes(waiting=3 * AGAIN_S)
    assert (clock.look(), clock.up) == ("end", "wall")


def test_waiting_for_a_core_costs_a_cell_nothing(machine: Machine, clock: CellClock) -> None:
    machine.passes(computing=3.9, queued=50.0)
    assert clock.look() == "go on"
    machine.passes(computing=0.1)
    assert (clock.look(), clock.up) == ("interrupt", "cpu")
    machine.passes(queued=5.0)
    assert clock.look() == "go on", "it had no core to stop on"


def test_a_machine_that_is_too_busy_is_no_fault_of_the_cell(machine: Machine, clock: CellClock) -> None:
    machine.passes(computing=1.0, queued=60.0)
    with pytest.raises(MachineTooBusy, match=r"computed for 1\.0 s in 61 s"):
        clock.look()
