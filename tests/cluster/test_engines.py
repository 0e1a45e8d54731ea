"""The pool of rollout actors, over fakes of our own actors."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from ray.exceptions import RayActorError

from r1ray.cluster.engines import MAX_STARTS, Engine, RolloutPool
from r1ray.errors import InfrastructureError


class Starting:
    """A rollout actor that answers once it is built, or dies before."""

    def __init__(self, *, dies: bool) -> None:
        self.is_killed = False

        async def ready() -> int:
            if dies:
                raise RayActorError
            return 1

        self.ready = SimpleNamespace(remote=ready)

    def kill(self) -> None:
        self.is_killed = True


@pytest.mark.faults
@pytest.mark.parametrize("num_deaths", range(MAX_STARTS + 1))
def test_an_engine_that_dies_while_it_starts_gets_a_successor(num_deaths: int) -> None:
    starting = [Starting(dies=i < num_deaths) for i in range(MAX_STARTS)]
    unused = list(starting)
    lost = Engine("rollout 0", Starting(dies=False), 2, is_lost=True)  # type: ignore[arg-type]
    engines = RolloutPool([lost], lambda name: unused.pop(0))  # type: ignore[arg-type, return-value]
    if num_deaths == MAX_STARTS:
        with pytest.raises(InfrastructureError, match="rollout 0 could not be started again"):
            asyncio.run(engines.replace_lost())
        assert all(each.is_killed for each in starting)
        return
    assert asyncio.run(engines.replace_lost()) == 1
    [fresh] = engines.engines
    assert (fresh.actor, fresh.num_workers, fresh.is_lost) == (starting[num_deaths], 2, False)
    assert [each.is_killed for each in starting] == [i < num_deaths for i in range(MAX_STARTS)]
