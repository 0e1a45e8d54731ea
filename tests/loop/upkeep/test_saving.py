"""Checkpoints of a run whose disk is full, or that is saved by the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from r1ray.errors import R1RayError
from tests.loop.test_controller import World, make_config
from tests.small_disk import fill, small_disk


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 4 MiB."""
    with small_disk(tmp_path) as folder:
        yield folder


def full_at_the_second(world: World, folder: Path, *, freed_after_s: float | None) -> None:
    """Fill the disk when the second checkpoint's files are to be written."""
    write = world.learner.written

    async def written() -> bool:
        if world.events.count("save") == 2:
            filler = fill(folder)
            world.events.append("save")  # the third of them finds room, or waits for it
            if freed_after_s is not None:
                asyncio.get_running_loop().call_later(freed_after_s, filler.unlink)
            raise RuntimeError("PytorchStreamWriter failed writing file")
        return await write()

    world.learner.written = written  # type: ignore[method-assign]


@pytest.mark.parametrize("is_asynchronous", [True, False])
def test_a_run_whose_disk_is_full_waits_and_goes_on_to_its_end(
    small: Path, is_asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config(steps=6, checkpoint_every=2)
    config.checkpoint.asynchronous = is_asynchronous
    world = World(small, config)
    full_at_the_second(world, small, freed_after_s=0.1)
    with caplog.at_level(logging.WARNING):
        world.run()
    found = world.checkpoints.latest()
    assert found is not None and found[1].step == world.last.step == 6
    assert any("no room for" in line and "Waiting for it" in line for line in caplog.messages)


@pytest.mark.parametrize("is_asynchronous", [True, False])
def test_a_run_that_does_not_wait_ends_with_its_last_checkpoint(small: Path, is_asynchronous: bool) -> None:
    config = make_config(steps=6, checkpoint_every=2)
    config.checkpoint.asynchronous, config.checkpoint.on_full_disk = is_asynchronous, "stop"
    world = World(small, config)
    full_at_the_second(world, small, freed_after_s=None)
    with pytest.raises(R1RayError, match=r"No space .*=stop\). The same command goes on from checkpoint 2"):
        world.run()
    found = world.checkpoints.latest()
    assert found is not None and found[1].step == 2


def test_a_run_is_saved_by_the_clock(tmp_path: Path) -> None:
    config = make_config(steps=4)
    config.checkpoint.every_minutes = 0
    world = World(tmp_path, config)
    world.run()
    assert world.events.count("save") == 4
