"""One vLLM engine: aborted trajectories, those that go on, and how the engine spends its time."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r1ray.config import RolloutConfig
from r1ray.config.specs import EngineSpec
from r1ray.rollout.engine import Generated, TrajectoryRequest
from r1ray.rollout.vllm_engine import VLLMEngine
from r1ray.types import Sampling, Trajectory, VersionSpan
from tests.fakes import make_prompt
from tests.real.running import LEFT_OPEN

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.filterwarnings(LEFT_OPEN)]
LONGEST = 400


class Serving:
    """An engine on its event loop, and the version that it serves."""

    def __init__(self, folder: Path, runner: asyncio.Runner) -> None:
        self._runner = runner
        config = RolloutConfig(dtype="float32", max_num_seqs=8)
        spec = EngineSpec(
            model=str(folder),
            max_prompt_tokens=32,
            max_model_len=LONGEST + 32,
            seed=0,
            weight_backend=None,
            num_gpus=0,
            add_special_tokens=False,
        )

        async def start() -> VLLMEngine:
            engine = VLLMEngine(config, spec)
            await engine.ready()
            return engine

        self.engine = runner.run(start())
        self.version = 0
        self.serve_next()
        self.run(self.engine.generate(order(0, max_tokens=2)))  # the first one of an engine takes longer

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def serve_next(self) -> None:
        """Serve another version, of the same weights."""

        async def serve() -> None:
            await self.engine.pause()
            await self.engine.commit(self.version + 1)
            await self.engine.resume()

        self.run(serve())
        self.version += 1


@pytest.fixture(scope="module")
def serving(llama_folder: Path) -> Iterator[Serving]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        with asyncio.Runner() as runner:
            made = Serving(llama_folder, runner)
            yield made
            made.engine.shutdown()
            del made.engine  # pytest holds ``made`` longer
        gc.collect()


def order(index: int, *, max_tokens: int = LONGEST, begun: Trajectory | None = None) -> TrajectoryRequest:
    return TrajectoryRequest(
        group_id="0/0",
        index=index,
        prompt=make_prompt(),
        sampling=Sampling(1.0, 1.0, max_tokens),
        seed=index,
        begun=begun,
    )


def begin(engine: VLLMEngine, requests: Sequence[TrajectoryRequest]) -> list[asyncio.Task[Generated]]:
    return [asyncio.create_task(engine.generate(request)) for request in requests]


async def aborted_midway(engine: VLLMEngine) -> list[Trajectory]:
    """Six trajectories that are aborted while vLLM samples; those that had not ended by then."""
    requests = [order(index) for index in range(6)]
    tasks = begin(engine, requests)
    await asyncio.sleep(0.3)
    await engine.abort([request.id for request in requests])
    ended = [(await task).trajectory for task in tasks]
    found = [each for each in ended if each.status == "aborted"]
    assert found, [each.status for each in ended]
    return found


def test_an_aborted_trajectory_is_what_was_sampled_of_it(serving: Serving) -> None:
    started = time.monotonic()
    for trajectory in serving.run(aborted_midway(serving.engine)):
        (segment,) = trajectory.segments
        length = len(segment.token_ids)
        assert 0 < length < LONGEST
        assert len(segment.logprobs) == length and (segment.logprobs < 0).all()
        assert segment.versions == (VersionSpan(serving.version, 0, length),)
        assert segment.text and not segment.stop
        assert 0 < trajectory.seconds < time.monotonic() - started


def test_an_aborted_trajectory_goes_on_under_the_version_that_is_served(serving: Serving) -> None:
    before = serving.version
    begun = serving.run(aborted_midway(serving.engine))[0]
    serving.serve_next()
    length = begun.num_policy_tokens
    request = order(begun.index, max_tokens=length + 24, begun=begun)
    whole = serving.run(serving.engine.generate(request)).trajectory
    (segment,) = whole.segments
    end = len(segment.token_ids)
    assert whole.status in ("finished", "truncated") and length < end <= length + 24
    assert whole.prompt_token_ids.tolist() == begun.prompt_token_ids.tolist()
    assert segment.token_ids[:length].tolist() == begun.segments[0].token_ids.tolist()
    assert segment.versions == (VersionSpan(before, 0, length), VersionSpan(before + 1, length, end))
    assert segment.text.startswith(begun.text.rstrip("\ufffd")), "the last character may not have been whole"
    ids = np.concatenate([whole.prompt_token_ids, segment.token_ids])
    expected = serving.run(serving.engine.logprobs([ids]))[len(whole.prompt_token_ids) - 1 :]
    assert np.abs(segment.logprobs - expected).max() < 1e-4


def test_a_trajectory_that_was_aborted_at_its_limit_has_nothing_left_to_sample(serving: Serving) -> None:
    begun = serving.run(aborted_midway(serving.engine))[0]
    request = order(begun.index, max_tokens=begun.num_policy_tokens, begun=begun)
    whole = serving.run(serving.engine.generate(request)).trajectory
    assert whole.status == "truncated"
    assert whole.segments[0].token_ids.tolist() == begun.segments[0].token_ids.tolist()
    assert whole.segments[0].versions == begun.segments[0].versions


def test_an_abort_while_nothing_is_served_returns_at_once_with_nothing(serving: Serving) -> None:
    async def abort() -> tuple[Generated, float]:
        await serving.engine.pause()
        (task,) = begin(serving.engine, [order(0)])
        await asyncio.sleep(0.2)
        assert not task.done(), "it belongs to the version that is to come"
        started = time.monotonic()
        await serving.engine.abort(["0/0#0", "somebody else's"])
        generated = await task
        seconds = time.monotonic() - started
        await serving.engine.resume()
        return generated, seconds

    generated, seconds = serving.run(abort())
    assert generated.trajectory.status == "aborted" and seconds < 0.5
    assert (generated.trajectory.num_policy_tokens, generated.trajectory.segments[0].versions) == (0, ())
    assert generated.trajectory.seconds == 0.0


def test_a_trajectory_that_is_asked_for_again_ends_the_earlier_request(serving: Serving) -> None:
    async def ask_twice(*, is_paused: bool) -> list[Generated]:
        if is_paused:
            await serving.engine.pause()
        (first,) = begin(serving.engine, [order(0)])
        await asyncio.sleep(0.1)
        (second,) = begin(serving.engine, [order(0)])
        await asyncio.sleep(0.1)
        assert not second.done()
        if is_paused:
            await serving.engine.resume()
        return [await first, await second]

    for is_paused in (False, True):
        first, second = [each.trajectory for each in serving.run(ask_twice(is_paused=is_paused))]
        assert first.status == "aborted" and second.status in ("finished", "truncated"), is_paused
        assert serving.run(serving.engine.generate(order(0, max_tokens=1))).trajectory.num_policy_tokens == 1


def test_what_is_under_way_is_counted_in_tokens(serving: Serving) -> None:
    async def count() -> tuple[int, list[Trajectory], int]:
        requests = [order(index) for index in range(4)]
        tasks = begin(serving.engine, requests)
        await asyncio.sleep(0.3)
        short = await serving.engine.generate(order(4, max_tokens=1))
        await serving.engine.abort([request.id for request in requests])
        ended = [(await task).trajectory for task in tasks]
        await asyncio.sleep(0.2)
        alone = await serving.engine.generate(order(5, max_tokens=1))
        return short.kv_tokens, ended, alone.kv_tokens

    counted, ended, alone = serving.run(count())
    under_way = [each for each in ended if each.status == "aborted"]
    prompts = sum(len(each.prompt_token_ids) for each in under_way)
    assert prompts < counted <= sum(each.num_row_tokens for each in ended)
    assert alone == 0


def test_busy_idle_and_paused_seconds_add_up_to_wall_time(serving: Serving) -> None:
    async def spend() -> tuple[list[float], float]:
        started, before = time.monotonic(), await serving.engine.times()
        await asyncio.sleep(0.5)
        requests = [order(index) for index in range(4)]
        tasks = begin(serving.engine, requests)
        await asyncio.sleep(0.3)
        await serving.engine.pause()
        await asyncio.sleep(5.0)
        assert not all(task.done() for task in tasks), "something is under way"
        await serving.engine.resume()
        await asyncio.gather(*tasks)
        after, wall = await serving.engine.times(), time.monotonic() - started
        kinds = ("busy_s", "idle_s", "paused_s")
        return [getattr(after, kind) - getattr(before, kind) for kind in kinds], wall

    (busy, idle, paused), wall = serving.run(spend())
    assert busy + idle + paused == pytest.approx(wall, rel=0.02)
    assert paused == pytest.approx(5.0, abs=0.5)
    assert idle == pytest.approx(0.5, abs=0.2) and busy > 0.3
