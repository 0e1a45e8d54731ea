from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from r1ray.checks import FormatOnly
from r1ray.config import EnvironmentConfig
from r1ray.config.environment import AgentsConfig
from r1ray.environments import registry
from r1ray.environments import worker as worker_module
from r1ray.environments.answers import MAX_CHARACTERS
from r1ray.environments.registry import source_of
from r1ray.environments.worker import EnvironmentStatus, EnvironmentWorker
from r1ray.errors import EnvironmentFailed, EnvironmentLost, InfrastructureError, UserError
from r1ray.turns import Access, Action, Done, Message, Observation
from r1ray.types import Prompt
from tests.environments import own_worlds

HERE = "tests.environments.own_worlds"
SYSTEM, QUESTION = Message("system", "Be kind."), Message("user", "Which number?")


@pytest.fixture(autouse=True)
def gate() -> Iterator[threading.Event]:
    own_worlds.CLOSED.clear()
    end = own_worlds.GATES["end"] = threading.Event()
    yield end
    end.set()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 20))


def worker_of(
    path: str, *, idle_s: float = 600.0, options: dict[str, Any] | None = None, **keys: Any
) -> EnvironmentWorker:
    config = EnvironmentConfig(worlds={"maze": {"path": f"{HERE}:{path}", "options": options}}, **keys)
    return EnvironmentWorker(config, {"maze": source_of("maze", config)}, idle_s=idle_s)


def prompt(text: str = "", **columns: object) -> Prompt:
    return Prompt(
        id="7",
        text=text,
        check=FormatOnly(),
        domain="math",
        language="en",
        columns=columns,
        environment="maze",
        messages=(SYSTEM, QUESTION),
    )


def says(text: str) -> Action:
    return Action(content=text, text=text)


def test_ten_lines_of_plain_functions_are_a_world() -> None:
    async def play() -> None:
        worker = worker_of("Guess")
        assert await worker.enter("a", prompt(number=7), 0) == Observation(messages=(SYSTEM, QUESTION))
        assert await worker.step("a", says("3?")) == Observation(messages=(Message("user", "No. Guess again."),))
        assert await worker.step("a", says("7!")) == Done(rewards={"right": 1.0})
        await worker.leave("a")
        await worker.leave("a")
        assert await worker.status() == EnvironmentStatus(worlds=0, stuck=0)

    run(play())


def test_coroutines_are_a_world_and_their_close_is_called() -> None:
    async def play() -> None:
        worker = worker_of("Coroutines", options={"size": 4})
        begun = await worker.enter("a", prompt(), 5)
        assert begun.messages == (Message("system", "Be short."), Message("user", "4 5"))
        assert await worker.step("a", says("x")) == Observation(messages=(Message("tool", "x", tool="echo"),))
        await worker.close()
        assert len(own_worlds.CLOSED) == 1

    run(play())


def test_all_methods_of_a_world_run_in_one_thread() -> None:
    async def play() -> None:
        worker = worker_of("Database")
        begun = await worker.enter("a", prompt(), 0)
        assert begun.messages == (SYSTEM, Message("user", "Ask."))
        found = await worker.step("a", says("select 1 + 1"))
        assert isinstance(found, Observation) and found.messages[0].content == "2"
        await worker.close()
        assert len(own_worlds.CLOSED) == 1

    run(play())


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("none", "step returned None", "needs an Observation, a text, a list of Message"),
        ("number", "step returned a int", "step returned 3; needs"),
        ("not finite", "step returned a reward right=nan", "needs a finite number"),
        ("no message", "step returned a message that is no Message with one of the roles", "robot"),
        ("surrogate", "step returned a message that is no text in UTF-8", "ud800"),
        ("no tools", "step returned tools that are not in the form of OpenAI's", "name"),
        ("unwritable tools", "step returned tools that are not in the form of OpenAI's", "name"),
        ("no calls", "step returned a message whose calls are no ToolCalls", "name"),
        ("unshown", "step returned a message that is no Message with one of the roles", "a Unshown"),
        ("no tool", "step returned a message that is no text in UTF-8", "3"),
        ("label", "step returned a label that is no text in UTF-8", "3"),
        ("raise", "ValueError at own_worlds.py:", "step raised ValueError: it is wrong"),
        ("exit", "SystemExit at own_worlds.py:", "step raised SystemExit: 3"),
        ("stop", "StopIteration at own_worlds.py:", "step raised StopIteration"),
        ("cancel", "CancelledError at own_worlds.py:", "step raised asyncio"),
    ],
)
@pytest.mark.parametrize("path", ["Scripted", "ScriptedAsync"])
def test_what_is_the_environments_own_fault_is_told_by_its_kind(path: str, what: str, kind: str, said: str) -> None:
    async def play() -> EnvironmentFailed:
        worker = worker_of(path)
        await worker.enter("a", prompt(), 0)
        with pytest.raises(EnvironmentFailed) as failed:
            await worker.step("a", says(what))
        with pytest.raises(EnvironmentLost):
            await worker.step("a", says("x"))
        await worker.close()
        assert len(own_worlds.CLOSED) == 1
        return failed.value

    error = run(play())
    if path == "ScriptedAsync" and what == "stop":  # a coroutine cannot raise it
        kind, said = "RuntimeError", "StopIteration"
    assert error.kind.startswith(kind) and said in error.message and error.message.startswith("environment maze: ")
    assert bool(error.traceback) == ("raised" in error.message)


def test_what_a_machine_did_is_not_the_environments_fault() -> None:
    async def play() -> None:
        worker = worker_of("Scripted")
        await worker.enter("a", prompt(), 0)
        with pytest.raises(InfrastructureError, match="the service is gone"):
            await worker.step("a", says("machine"))
        with pytest.raises(InfrastructureError, match="the service is gone"):
            await worker.enter("b", prompt("machine"), 0)

    run(play())


def test_a_long_text_travels_with_its_middle_left_out() -> None:
    async def play() -> int:
        worker = worker_of("Scripted")
        await worker.enter("a", prompt(), 0)
        found = await worker.step("a", says("long"))
        assert isinstance(found, Observation)
        return len(found.messages[0].content)

    assert MAX_CHARACTERS <= run(play()) < MAX_CHARACTERS + 100


def test_a_world_that_blocks_holds_up_no_other_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "CLOSE_S", 0.05)

    async def play() -> None:
        worker = worker_of("Scripted", step_timeout_s=0.5)
        for each in ("a", "b"):
            await worker.enter(each, prompt(), 0)
        blocked = asyncio.create_task(worker.step("a", says("block")))
        assert isinstance(await worker.step("b", says("nap")), Observation)
        with pytest.raises(EnvironmentFailed, match=r"step took longer than environment.step_timeout_s=0.5") as failed:
            await blocked
        assert failed.value.kind == "step took longer than environment.step_timeout_s"
        await asyncio.sleep(0.1)
        assert await worker.status() == EnvironmentStatus(worlds=1, stuck=1)
        own_worlds.GATES["end"].set()
        while (await worker.status()).stuck:
            await asyncio.sleep(0.01)

    run(play())


def test_a_reset_has_a_deadline_too() -> None:
    async def play() -> None:
        worker = worker_of("Scripted", reset_timeout_s=0.05)
        with pytest.raises(EnvironmentFailed, match=r"reset took longer than environment.reset_timeout_s=0.05"):
            await worker.enter("a", prompt("block"), 0)
        assert (await worker.status()).worlds == 0

    run(play())


@pytest.mark.parametrize("what", ["sleep", "swallow"])
def test_a_coroutine_has_its_deadline_also_if_it_swallows_its_cancellation(what: str) -> None:
    async def play() -> None:
        worker = worker_of("ScriptedAsync", step_timeout_s=0.05)
        await worker.enter("a", prompt(), 0)
        with pytest.raises(EnvironmentFailed, match="took longer"):
            await worker.step("a", says(what))
        own_worlds.GATES["end"].set()
        await worker.close()
        assert len(own_worlds.CLOSED) == 1

    run(play())


def test_who_leaves_ends_the_step_that_runs() -> None:
    async def play() -> None:
        worker = worker_of("ScriptedAsync")
        await worker.enter("a", prompt(), 0)
        step = asyncio.create_task(worker.step("a", says("sleep")))
        await asyncio.sleep(0.05)
        await worker.leave("a")
        with pytest.raises(EnvironmentLost, match="was left while its step ran"):
            await step
        await worker.close()
        assert len(own_worlds.CLOSED) == 1

    run(play())


def test_a_world_that_nobody_asks_for_is_closed() -> None:
    async def play() -> None:
        worker = worker_of("Coroutines", idle_s=0.2)
        for each in ("a", "b"):
            await worker.enter(each, prompt(), 0)
        end = time.monotonic() + 5
        while (await worker.status()).worlds == 2 and time.monotonic() < end:
            await worker.keep(["a", "unknown"])
            await asyncio.sleep(0.02)
        assert isinstance(await worker.step("a", says("x")), Observation)
        with pytest.raises(EnvironmentLost, match="nobody asked for it"):
            await worker.step("b", says("x"))

    run(play())


def test_a_close_that_raises_or_never_ends_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> None:
        worker = worker_of("Closes")
        await worker.enter("a", prompt(), 0)
        await worker.close()

    run(play())
    assert "close raised ValueError: cannot close" in caplog.text and "Raised(" not in caplog.text


def test_a_worker_with_many_threads_that_do_not_return_is_worn() -> None:
    assert not EnvironmentStatus(worlds=3, stuck=31).is_worn and EnvironmentStatus(worlds=3, stuck=32).is_worn


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("Broken", r"environment maze: __init__ raised ValueError: no licence \(own_worlds.py:\d+, in a trial"),
        ("nothing", "environment maze: .*object has no method reset"),
        ("Checked", "environment maze: the corpus is not there"),
        ("Forgetful", "step returned None; needs an Observation.*it was given a turn with no text"),
    ],
)
def test_worlds_are_looked_at_before_a_run(path: str, message: str) -> None:
    async def play() -> None:
        with pytest.raises(UserError, match=message):
            await worker_of(path).try_out([prompt()])
        worker = worker_of("Guess")
        begun = await worker.try_out([prompt(number=7)])
        assert {name: first.tools for name, first in begun.items()} == {"maze": ()}
        with pytest.raises(UserError, match="environment maze: step raised KeyError: ''"):
            await worker_of("Scripted").try_out([prompt()])
        assert (await worker.status()).worlds == 0
        with pytest.raises(UserError, match=r"reset raised KeyError: 'number' \(own_worlds.py:\d+, .*prompt 7\)"):
            await worker.try_out([prompt()])

    run(play())


def test_256_worlds_step_at_once() -> None:
    async def play() -> float:
        worker, ids = worker_of("Scripted"), [str(each) for each in range(256)]
        await asyncio.gather(*(worker.enter(each, prompt(), 0) for each in ids))
        begun = time.monotonic()
        found = await asyncio.gather(*(worker.step(each, says("nap")) for each in ids))
        assert {each.messages[0].content for each in found if isinstance(each, Observation)} == {"rested"}
        await worker.close()
        return time.monotonic() - begun

    assert run(play()) < 15  # one after the other they take 51
    assert len(own_worlds.CLOSED) == 256


# ---------------------------------------------------------------------- agents

ACCESS = Access(base_url="http://127.0.0.1:1/v1", api_key="r1ray-secret", model="policy")


class Agent:
    """A world of r1ray's own that has an agent; its options say what that does."""

    closed = 0

    def __init__(self, *, way: str = "exits") -> None:
        self.way = way

    async def reset(self, prompt: Prompt, seed: int) -> Observation:
        return Observation(messages=prompt.messages, is_agents=True)

    async def run(self, access: Access, out_of_time: asyncio.Event) -> Any:
        if self.way == "exits":
            return Done(rewards={"tests": 1}, label="exited", detail=access.model)
        if self.way == "wrong":
            return Observation(messages=(QUESTION,))
        if self.way == "raises":
            raise ValueError("no folder")
        await out_of_time.wait()
        await asyncio.sleep(0 if self.way == "hangs" else 60)
        return Done(label="deadline")

    async def close(self) -> None:
        Agent.closed += 1


def agents_worker(
    monkeypatch: pytest.MonkeyPatch, way: str, *, idle_s: float = 600.0, **keys: Any
) -> EnvironmentWorker:
    monkeypatch.setitem(registry.SHIPPED, "agents", f"{__name__}:Agent")
    config = EnvironmentConfig(worlds={"maze": {"path": "agents", "options": {"way": way}}}, **keys)
    return EnvironmentWorker(config, {"maze": source_of("maze", config)}, idle_s=idle_s)


def test_an_agent_runs_until_it_ends_and_is_tried_out_without_running(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        worker = agents_worker(monkeypatch, "exits")
        assert (await worker.try_out([prompt()]))["maze"].is_agents
        assert (await worker.enter("a", prompt(), 0)).is_agents
        assert await worker.run("a", ACCESS) == Done(rewards={"tests": 1.0}, label="exited", detail="policy")
        before = Agent.closed
        await worker.leave("a")
        await worker.close()
        assert Agent.closed == before + 1
        with pytest.raises(EnvironmentLost, match="its world was closed"):
            await worker.run("a", ACCESS)

    run(play())


def test_an_agent_that_is_out_of_time_has_the_time_of_a_step_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        worker = agents_worker(monkeypatch, "hangs", step_timeout_s=0.3)
        await worker.enter("a", prompt(), 0)
        running = asyncio.create_task(worker.run("a", ACCESS))
        await asyncio.sleep(0.5)
        assert not running.done(), "until then nothing bounds it"
        await worker.stop("a")
        assert (await running).label == "deadline"
        await worker.stop("gone")
        worker = agents_worker(monkeypatch, "never ends", step_timeout_s=0.3)
        await worker.enter("a", prompt(), 0)
        running = asyncio.create_task(worker.run("a", ACCESS))
        await asyncio.sleep(0.05)
        await worker.stop("a")
        with pytest.raises(
            EnvironmentFailed, match=r"the end of its agent took longer than environment\.step_timeout_s=0"
        ):
            await running
        assert (await worker.status()).worlds == 0

    run(play())


def test_an_agents_world_that_nobody_asks_for_is_closed_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        worker = agents_worker(monkeypatch, "hangs", idle_s=0.3)
        await worker.enter("a", prompt(), 0)
        running = asyncio.create_task(worker.run("a", ACCESS))
        await asyncio.sleep(0.2)
        await worker.keep(["a"])
        assert (await worker.status()).worlds == 1
        await asyncio.sleep(0.4)
        assert (await worker.status()).worlds == 0
        with pytest.raises(EnvironmentLost):
            await running

    run(play())


@pytest.mark.parametrize(
    ("way", "said"), [("wrong", "run returned no Done"), ("raises", "run raised ValueError: no folder")]
)
def test_what_an_agents_world_does_wrong_is_its_own_failure(
    monkeypatch: pytest.MonkeyPatch, way: str, said: str
) -> None:
    async def play() -> None:
        worker = agents_worker(monkeypatch, way)
        await worker.enter("a", prompt(), 0)
        with pytest.raises(EnvironmentFailed, match=said):
            await worker.run("a", ACCESS)

    run(play())


def test_agents_wait_for_a_place_and_those_who_wait_are_let_in_as_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        worker = agents_worker(monkeypatch, "hangs", agents=AgentsConfig(at_once=2))
        ids = [str(each) for each in range(5)]
        for each in ids:
            await worker.enter(each, prompt(), 0)

        async def whole(each: str) -> Done:
            await worker.begin(each)
            return await worker.run(each, ACCESS)

        running = {each: asyncio.create_task(whole(each)) for each in ids}
        await asyncio.sleep(0.05)
        await worker.stop("4")  # it does not run yet
        await worker.leave("2")
        with pytest.raises(EnvironmentLost, match="was left while its agent waited for a place"):
            await running["2"]
        for each in ("0", "1", "3", "4"):
            assert not running[each].done()
            await worker.stop(each)
            assert (await running[each]).label == "deadline"
            await asyncio.sleep(0.05)
        await worker.close()

    run(play())


def test_a_place_that_nobody_uses_is_given_to_another_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        monkeypatch.setattr("r1ray.environments.worker.OWNER_S", 0.2)
        worker = agents_worker(monkeypatch, "exits", agents=AgentsConfig(at_once=1))
        for each in ("dies", "left", "waits"):
            await worker.enter(each, prompt(), 0)
        await worker.begin("dies")
        left = asyncio.create_task(worker.begin("left"))
        waits = asyncio.create_task(worker.begin("waits"))
        assert (await worker.status()).worlds == 3
        await asyncio.sleep(0.3)
        assert (await worker.status()).worlds == 2, "nobody has its agent run"
        await left
        await worker.leave("left")
        await waits
        assert (await worker.run("waits", ACCESS)).label == "exited"
        await worker.close()

    run(play())


def test_a_world_that_waits_for_a_place_and_nobody_asks_for_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        worker = agents_worker(monkeypatch, "hangs", idle_s=0.2, agents=AgentsConfig(at_once=1))
        for each in ("runs", "waits"):
            await worker.enter(each, prompt(), 0)
        await worker.begin("runs")
        running, waiting = asyncio.create_task(worker.run("runs", ACCESS)), asyncio.create_task(worker.begin("waits"))
        await asyncio.sleep(0.3)
        await worker.keep(["runs"])
        assert (await worker.status()).worlds == 1
        with pytest.raises(EnvironmentLost, match="waited for a place"):
            await waiting
        await worker.stop("runs")
        await running
        await worker.close()

    run(play())
