"""Group workers on the real Ray, with engines and reward actors of our own roles: what is lost, and what is not."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import ray

from r1ray.checks import MathAnswer
from r1ray.cluster.engine import Engine
from r1ray.cluster.engines import EngineActors, EngineLimits, EnginePool
from r1ray.cluster.group_host import GroupHost
from r1ray.cluster.group_workers import GroupWorkers
from r1ray.cluster.host import Handle, host, import_path
from r1ray.cluster.learners import LearnerGroup
from r1ray.cluster.rank_host import rank_host
from r1ray.cluster.recorder import RecorderProxy
from r1ray.cluster.scorers import RewardWorkers
from r1ray.config.specs import GroupWorkerSpec
from r1ray.errors import GroupLost, InfrastructureError, PromptTooLong
from r1ray.types import GroupRecord, GroupRequest, Minibatch, Prompt, SampleRef, Sampling, ScoredGroup, Shard
from tests.cluster.hosted import is_slow, pid_of

pytestmark = [pytest.mark.real]
PROMPT = Prompt(id="p", text="question", check=MathAnswer("4"), domain="math", language="en")
LONG = 20_000
LIMITS = EngineLimits(num_slots=10_000, min_engines=1, start_s=60.0, silent_s=60.0)
ENV: dict[str, Any] = {"num_cpus": 0, "runtime_env": {"env_vars": import_path() | {"OMP_NUM_THREADS": "1"}}}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


def request(group_id: str, *, group_size: int = 8) -> GroupRequest:
    return GroupRequest(
        group_id=group_id, prompt=PROMPT, group_size=group_size, sampling=Sampling(1.0, 1.0, LONG), seed=0
    )


@dataclass
class Started:
    """Actors, and the roles over them."""

    groups: GroupWorkers
    pool: EnginePool
    rewards: RewardWorkers
    workers: list[Handle]
    made: list[Handle]
    lost: asyncio.Event

    def engine(self, index: int) -> Handle:
        return self.pool.engines[index].actor


def hosted(name: str, *arguments: Any, **options: Any) -> Handle:
    return host(f"tests.cluster.hosted:{name}", *arguments, is_async=True, **ENV, **options)


@asynccontextmanager
async def started(
    folder: Path, *, workers: int = 1, engines: int = 1, scorers: int = 1, num_tokens: int = 8, score_s: float = 60.0
) -> AsyncIterator[Started]:
    made: list[Handle] = []

    def make(name: str, *arguments: Any, **options: Any) -> Handle:
        made.append(hosted(name, *arguments, **options))
        return made[-1]

    rewards = RewardWorkers(
        [make("Rewards", str(folder)) for _ in range(scorers)], lambda index: make("Rewards", str(folder))
    )
    specs = [GroupWorkerSpec(number=i, generate_s=60.0, score_s=score_s, scores_in_flight=512) for i in range(workers)]
    path = "r1ray.cluster.group_host:GroupHost"
    actors = [host(path, rewards.actors, spec, is_async=True, max_restarts=-1, **ENV) for spec in specs]
    spec = GroupWorkerSpec(number=0, generate_s=60.0, score_s=score_s, scores_in_flight=512)
    groups = GroupWorkers(actors or [GroupHost(rewards.actors, spec)], rewards, deadline_s=60.0, silent_s=2.0)
    first = [Engine(f"rollout {i}", make("Engine", num_tokens), 1) for i in range(engines)]
    again = EngineActors(lambda name: make("Engine", num_tokens), end)
    pool = EnginePool(first, again, groups, LIMITS)
    pool.when_ready(lambda engine: pool.serve([engine]))
    await asyncio.gather(*(each.alive() for each in [*made, *actors]))
    await pool.serve(pool.engines)
    lost = asyncio.Event()
    pool.when_lost(lost.set)
    try:
        yield Started(groups, pool, rewards, actors, made, lost)
    finally:
        pool.close()
        groups.close()
        for each in [*made, *actors]:
            each.kill()


def run(scenario: Coroutine[Any, Any, None], *, seconds: float = 90.0) -> None:
    """Run a scenario. Whatever a task raises that nobody awaited, or leaves behind, fails the test."""
    noise: list[str] = []

    async def watched() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: noise.append(str(context)))
        await asyncio.wait_for(scenario, seconds)

    asyncio.run(watched())
    assert noise == []


async def until(is_so: Callable[[], Awaitable[bool]], *, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.05)


async def end(actor: Handle) -> None:
    actor.kill()


async def kill(actor: Handle) -> None:
    """End an actor's process as the kernel does when memory is short: Ray finds out by itself."""
    os.kill(await actor.actor.__ray_call__.remote(pid_of), signal.SIGKILL)


def rss_mib() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20


def test_a_reply_holds_no_tokens_and_ranks_read_them_from_the_worker(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path, num_tokens=LONG) as s:
            group = await s.groups.run(request("0/0"))
            assert len(group.trajectories) == 8 and len(pickle.dumps(group)) < 10 * 2**10
            reader = host("tests.cluster.hosted:Reader", **ENV)
            assert await reader.read.remote(s.groups.lend([group])) == dict.fromkeys(group.ids, LONG)
            two = group.ids[2:4]
            assert await reader.read.remote(s.groups.lend([group], two)) == dict.fromkeys(two, LONG)
            gone = ScoredGroup(**{name: getattr(group, name) for name in group.__slots__} | {"incarnation": "another"})
            assert await reader.read.remote(s.groups.lend([gone])) == {}, "of another life of the worker"
            await s.groups.drop([group])
            assert await reader.read.remote(s.groups.lend([group])) == {}, "dropped"
            assert (await s.groups.status())[0].held == 0  # type: ignore[union-attr]
            reader.kill()

    run(scenario())


@pytest.mark.faults
def test_what_a_worker_has_that_does_not_answer_is_left_out_in_time(tmp_path: Path) -> None:
    """It is stopped, or its node is cut off: Ray tells the reader nothing for a minute."""

    async def scenario() -> None:
        async with started(tmp_path, workers=2) as s:
            groups = await asyncio.gather(*(s.groups.run(request(f"0/{i}")) for i in range(2)))
            reader = host("tests.cluster.hosted:Reader", **ENV)
            assert len(await reader.read.remote(s.groups.lend(groups))) == 16
            lent = s.groups.lend(groups, within_s=1.0)
            pid = await s.workers[0].actor.__ray_call__.remote(pid_of)
            os.kill(pid, signal.SIGSTOP)
            try:
                left = [name for group in groups if group.worker == 1 for name in group.ids]
                assert list(await asyncio.wait_for(reader.read.remote(lent), 10.0)) == left and len(left) == 8
            finally:
                os.kill(pid, signal.SIGKILL)
                reader.kill()

    run(scenario())


def test_a_group_worker_imports_neither_torch_nor_vllm(tmp_path: Path) -> None:
    def heavy(hosted: Any) -> list[str]:
        return [name for name in ("torch", "vllm", "transformers", "deepspeed") if name in sys.modules]

    async def scenario() -> None:
        async with started(tmp_path) as s:
            await s.groups.run(request("0/0"))
            assert await s.workers[0].actor.__ray_call__.remote(heavy) == []

    run(scenario())


@pytest.mark.parametrize("num_tokens", [64, LONG])
def test_the_drivers_memory_does_not_grow_with_what_is_generated(tmp_path: Path, num_tokens: int) -> None:
    """Replies below 100 KiB are inlined into the driver, larger ones lie in shared memory: both sizes are tried."""

    async def scenario() -> None:
        async with started(tmp_path, num_tokens=num_tokens) as s:
            reader = host("tests.cluster.hosted:Reader", **ENV)

            async def step(number: int) -> None:
                groups = await asyncio.gather(*(s.groups.run(request(f"{number}/{i}")) for i in range(16)))
                assert len(await reader.read.remote(s.groups.lend(groups))) == 128
                await s.groups.drop(groups)

            for number in range(3):
                await step(number)
            before = rss_mib()
            for number in range(3, 7):
                await step(number)
            assert rss_mib() - before < 5.0
            reader.kill()

    run(scenario())


@pytest.mark.faults
def test_a_worker_that_is_killed_loses_its_groups_and_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=2) as s:
            ready = [await s.groups.run(request(f"0/{i}")) for i in range(2)]
            running = [asyncio.create_task(s.groups.run(request(f"slow/{i}"))) for i in range(2)]
            before = ready[0]
            assert all(map(s.groups.is_held, ready))
            await until(lambda: _is_true(s.engine(0).asked.remote(), lambda asked: len(asked) == 32))
            await kill(s.workers[before.worker])
            done, others = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED, timeout=30.0)
            assert len(done) == 1 and isinstance(next(iter(done)).exception(), GroupLost)
            assert not s.groups.is_held(before)
            assert await s.groups.read([before]) == {}
            elsewhere = await s.groups.run(request("1/0"))
            assert elsewhere.incarnation != before.incarnation and s.groups.is_held(elsewhere)
            asked = await s.engine(0).asked.remote()
            assert set(asked.values()) == {1}, "Ray has run nothing a second time by itself"
            await s.engine(0).let_go.remote()
            assert len((await next(iter(others))).trajectories) == 8, "what the other worker runs goes on"
            again, fresh = [], []
            for attempt in range(120):  # until it is back, its groups go to the other one
                again = await asyncio.gather(*(s.groups.run(request(f"{2 + attempt}/{i}")) for i in range(8)))
                if fresh := [group for group in again if group.worker == before.worker]:
                    break
                await asyncio.sleep(0.25)
            assert fresh and all(len(group.trajectories) == 8 for group in fresh)
            assert {group.incarnation for group in fresh} != {before.incarnation}
            assert all(map(s.groups.is_held, again)) and not s.groups.is_held(before)

    run(scenario())


@pytest.mark.long
@pytest.mark.faults
def test_a_worker_that_is_stopped_is_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=1) as s:
            before = await s.groups.run(request("0/0"))
            pid = await s.workers[0].actor.__ray_call__.remote(pid_of)
            running = asyncio.create_task(s.groups.run(request("slow/0")))
            await until(lambda: _is_true(s.engine(0).asked.remote(), lambda asked: len(asked) == 16))
            os.kill(pid, signal.SIGSTOP)
            with pytest.raises(GroupLost):
                await asyncio.wait_for(running, 60.0)
            after = await s.groups.run(request("1/0"))
            assert after.incarnation != before.incarnation and not s.groups.is_held(before)
            assert not psutil.pid_exists(pid)

    run(scenario(), seconds=120.0)


@pytest.mark.long
@pytest.mark.faults
def test_a_worker_that_is_stopped_while_it_starts_is_started_once_more(tmp_path: Path) -> None:
    spec = GroupWorkerSpec(number=0, generate_s=60.0, score_s=60.0, scores_in_flight=512)
    starts = tmp_path / "starts"

    async def scenario() -> None:
        worker = hosted("StopsAtStart", str(tmp_path), spec, max_restarts=-1)
        await worker.alive()
        groups = GroupWorkers([worker], RewardWorkers([], lambda index: worker), deadline_s=15.0)
        first = int(starts.read_text())
        os.kill(first, signal.SIGKILL)
        assert await groups.status() == [None]
        await until(lambda: answers(groups), seconds=80.0)
        assert len(starts.read_text().split()) == 3
        groups.close()
        worker.kill()

    async def answers(groups: GroupWorkers) -> bool:
        return await groups.status() != [None]

    run(scenario())


@pytest.mark.long
@pytest.mark.faults
def test_a_worker_that_comes_back_knows_the_reward_actors_that_live_now(tmp_path: Path) -> None:
    """Ray builds it with the arguments of its first life."""

    async def scenario() -> None:
        async with started(tmp_path, score_s=2.0) as s:
            first = s.rewards.actors[0]
            await kill(first)
            assert len((await s.groups.run(request("0/0"))).trajectories) == 8
            assert s.rewards.actors[0] != first
            await kill(s.workers[0])
            with pytest.raises(GroupLost):
                await s.groups.run(request("0/1"))
            group = await s.groups.run(request("0/1"))  # waits for the worker's return
            assert [each.outcome.total for each in group.trajectories] == [0.0, 1.0] * 4  # type: ignore[union-attr]
            assert len([each for each in s.made if each not in (s.engine(0),)]) == 2, "replaced once"

    run(scenario())


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 1])
def test_a_reward_actor_that_hangs_is_replaced_once_and_others_score_what_it_had(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=workers, scorers=2, score_s=2.0) as s:
            first = list(s.rewards.actors)
            start = time.monotonic()
            names = ["0/0", "0/1", "hang", "0/2"]
            groups = await asyncio.gather(*(s.groups.run(request(name)) for name in names))
            assert time.monotonic() - start < 30
            outcomes = [each.outcome for group in groups for each in group.trajectories]
            assert [outcome.total for outcome in outcomes] == [0.0, 1.0] * 16  # type: ignore[union-attr]
            replaced = [old for old, new in zip(first, s.rewards.actors, strict=True) if old != new]
            assert len(replaced) == 1 and len(s.made) == 4  # an engine, two reward actors, and one more

    run(scenario())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_prompt_that_does_not_fit_is_an_error_of_its_own_kind(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=workers) as s:
            with pytest.raises(PromptTooLong, match="4096 tokens"):
                await s.groups.run(request("long"))
            assert await s.groups.classes(PROMPT, ["4", None]) == (0, None)

    run(scenario())


@pytest.mark.faults
@pytest.mark.parametrize("workers", [0, 1])
def test_an_engine_that_is_killed_is_lost_and_replaced_at_once(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=workers, engines=2) as s:
            running = [asyncio.create_task(s.groups.run(request(f"slow/{i}"))) for i in range(4)]
            await until(lambda: _is_true(_all_asked(s), lambda asked: len(asked) == 32))
            on_first = await s.engine(0).asked.remote()
            await kill(s.engine(0))
            async with asyncio.timeout(15):
                await s.lost.wait()
            unfinished = [name for name in on_first if is_slow(int(name[-1]))]
            await until(
                lambda: _is_true(s.engine(1).asked.remote(), lambda asked: all(name in asked for name in unfinished))
            )
            on_second = await s.engine(1).asked.remote()
            finished = [name for name in on_first if not is_slow(int(name[-1]))]
            assert unfinished and finished and not any(name in on_second for name in finished)
            await s.engine(1).let_go.remote()
            groups = await asyncio.gather(*running)
            assert all(len(group.trajectories) == 8 for group in groups)
            assert sum(group.num_retries for group in groups) == len(unfinished)
            await until(lambda: _is_true(s.groups.engine_times(), lambda times: "rollout_0.1" in times))
            await s.groups.run(request("9/0"))
            assert await s.engine(0).asked.remote(), "the one in its place serves"
            assert set(await s.groups.engine_times()) == {"rollout_0.1", "rollout_1.0"}

    run(scenario())


@pytest.mark.faults
def test_an_engine_that_is_gone_draws_no_trajectory_after_the_other(tmp_path: Path) -> None:
    """Until it is known to be lost it seems to have nothing to do."""

    async def scenario() -> None:
        async with started(tmp_path, engines=2) as s:
            await kill(s.engine(0))
            groups = await asyncio.gather(*(s.groups.run(request(f"0/{i}")) for i in range(16)))
            assert all(len(group.trajectories) == 8 and group.removed == () for group in groups)

    run(scenario())


def test_control_calls_do_not_wait_behind_generation_and_an_abort_keeps_what_there_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path) as s:
            count = 375  # of which half the trajectories stay under way: 1,500
            running = [asyncio.create_task(s.groups.run(request(f"slow/{i}"))) for i in range(count)]
            await until(lambda: _is_true(s.groups.status(), lambda status: status[0].generating == 4 * count))
            for call in (lambda: s.groups.status(), lambda: s.engine(0).times.remote(), lambda: s.groups.drop([])):
                assert await _quickest(call) < 0.5
            start = time.monotonic()
            await s.groups.abort("slow/0", "surplus")
            group = await running[0]
            assert time.monotonic() - start < 1.0
            assert [each.index for each in group.trajectories] == [0, 1, 4, 5]
            assert {(each.reason, each.num_policy_tokens) for each in group.removed} == {("surplus", 2)}
            read = await s.groups.read([group])
            assert [read[name].status for name in group.ids] == ["finished", "finished", "aborted", "aborted"] * 2
            await s.engine(0).let_go.remote()
            await asyncio.gather(*running)

    run(scenario())


@pytest.mark.faults
def test_what_fails_beside_the_groups_ends_their_run(tmp_path: Path) -> None:
    """Nothing may wait for ever because something that nobody awaits has failed."""

    async def scenario() -> None:
        async with started(tmp_path, score_s=2.0) as s:
            running = asyncio.create_task(s.groups.run(request("slow/0")))
            await until(lambda: _is_true(s.engine(0).asked.remote(), lambda asked: len(asked) == 8))

            def refuse(index: int) -> Handle:
                raise InfrastructureError("planted: no reward actor can be started")

            s.rewards._spawn = refuse
            await kill(s.rewards.actors[0])
            hit = asyncio.create_task(s.groups.run(request("0/0")))
            for each in (running, hit):
                with pytest.raises(InfrastructureError, match="planted"):
                    await asyncio.wait_for(each, 30)
            with pytest.raises(InfrastructureError, match="planted"):
                await s.groups.run(request("0/1"))

    run(scenario())


async def never(*arguments: Any) -> Any:
    raise AssertionError("no rank is lost here")


def shards_of(names: list[str], *, num_ranks: int) -> tuple[Shard, ...]:
    refs = [SampleRef(name, 0.0, 8) for name in names]
    minibatches = [
        Minibatch(microbatches=(tuple(refs[rank::num_ranks]),), num_sequences=len(refs), num_tokens=1)
        for rank in range(num_ranks)
    ]
    return tuple(Shard((each,), 0) for each in minibatches)


@pytest.mark.faults
def test_ranks_read_their_own_share_and_none_trains_if_anything_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=2) as s:
            groups = await asyncio.gather(*(s.groups.run(request(f"0/{i}", group_size=4)) for i in range(2)))
            assert {group.worker for group in groups} == {0, 1}
            ranks = [host("tests.cluster.hosted:Rank", **ENV) for _ in range(2)]
            learner = LearnerGroup(ranks, "127.0.0.1", s.groups, start=never, kill=never)
            shards = shards_of([name for group in groups for name in group.ids], num_ranks=2)
            stats = await learner.train(shards, groups, has_more=True)
            assert stats.metrics == {"rows": 4.0}
            lost = groups[1]
            await kill(s.workers[lost.worker])
            with pytest.raises(GroupLost) as raised:
                await learner.train(shards, groups)
            assert raised.value.group_ids == (lost.group_id,)
            assert await learner.each("calls") == [["fetch", "train in part", "fetch"]] * 2
            for each in ranks:
                each.kill()

    run(scenario())


def test_what_ranks_found_is_read_from_them_and_a_lost_one_takes_its_own_along(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=0) as s:
            ranks = [rank_host("tests.cluster.hosted:Finder", index, **ENV) for index in range(2)]
            learner = LearnerGroup(ranks, "127.0.0.1", s.groups, start=never, kill=never)
            found = await asyncio.to_thread(learner.learned(60.0).read)
            assert {name: each.logprobs.tolist() for name, each in found.items()} == {"0/0#0": [-1.0], "0/0#1": [-2.0]}
            ranks[0].kill()
            assert set(await asyncio.to_thread(learner.learned(60.0).read)) == {"0/0#1"}
            ranks[1].kill()

    run(scenario())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_recorded_step_is_written_and_its_trajectories_are_let_go(tmp_path: Path, workers: int) -> None:
    async def scenario() -> None:
        async with started(tmp_path, workers=workers) as s:
            log = rank_host("r1ray.telemetry.rollouts:RolloutLog", tmp_path / "rollouts", **ENV)
            recorder = RecorderProxy(lambda: log, s.groups, deadline_s=60.0)
            group = await s.groups.run(request("0/0"))
            record = GroupRecord(group_id="0/0", prompt=PROMPT, group=group, advantages=(0.5,) * 8, status="trained")
            await recorder.record(1, [record])
            await recorder.flush()
            (status,) = await s.groups.status()
            assert status is not None and status.held == 0
            (path,) = (tmp_path / "rollouts").rglob("*.parquet")
            assert pq.read_table(path).num_rows >= 8
            log.kill()

    run(scenario())


async def _is_true(asked: Awaitable[Any], holds: Callable[[Any], bool]) -> bool:
    return holds(await asked)


async def _all_asked(s: Started) -> dict[str, int]:
    answers = await asyncio.gather(*(each.actor.asked.remote() for each in s.pool.engines))
    return {name: count for answer in answers for name, count in answer.items()}


async def _quickest(call: Callable[[], Awaitable[Any]], *, tries: int = 5) -> float:
    """Return the seconds of the quickest of some calls: other processes take the cores now and then."""
    seconds = []
    for _ in range(tries):
        start = time.monotonic()
        await call()
        seconds.append(time.monotonic() - start)
    return min(seconds)
