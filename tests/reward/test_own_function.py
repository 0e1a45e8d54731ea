"""A reward function of the user's: of every kind, and whatever it does."""

from __future__ import annotations

import asyncio
import functools
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from r1ray.config import RewardPart
from r1ray.errors import InfrastructureError, PartStuck, UserError
from r1ray.reward.own_function import call, call_problem, load_function, own_function_problem
from r1ray.runtime.own_code import Raised
from r1ray.types import Prompt, Response
from tests.fakes import make_prompt

RESPONSE = Response("4", finished=True)


def plain(prompt: Prompt, response: Response) -> float:
    return 0.25


async def waiting(prompt: Prompt, response: Response) -> float:
    await asyncio.sleep(0)
    return 0.25


def scaled(prompt: Prompt, response: Response, *, by: float) -> float:
    return by


async def scaled_later(prompt: Prompt, response: Response, by: float) -> float:
    return by


def hands_on(prompt: Prompt, response: Response) -> Awaitable[float]:
    """As a decorator that knows nothing of coroutines makes one."""
    return waiting(prompt, response)


class Counting:
    def __call__(self, prompt: Prompt, response: Response) -> float:
        return 0.25

    def method(self, prompt: Prompt, response: Response) -> float:
        return 0.25


class Asking:
    async def __call__(self, prompt: Prompt, response: Response) -> float:
        return 0.25


KINDS: list[Any] = [
    *(plain, waiting, hands_on, lambda prompt, response: 0.25, Counting(), Counting().method, Asking()),
    *(functools.partial(scaled, by=0.25), functools.partial(scaled_later, by=0.25)),
    functools.partial(functools.partial(scaled_later), by=0.25),
]


def named(value: object) -> str:
    """Return what a test is called; addresses would be others in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def called(function: Any, *, deadline_s: float = 30.0) -> object:
    slots = asyncio.Semaphore(4)
    return asyncio.run(call(function, make_prompt(), RESPONSE, name="mine", deadline_s=deadline_s, slots=slots))


@pytest.mark.parametrize("function", KINDS, ids=named)
def test_every_kind_of_function_can_be_one(function: Any) -> None:
    assert call_problem(function, "prompt", "response") is None
    assert called(function) == 0.25


# ---------------------------------------------------------------------- what it does in a run


def exits(prompt: Prompt, response: Response) -> float:
    sys.exit(3)


async def exits_later(prompt: Prompt, response: Response) -> float:
    await asyncio.sleep(0)
    raise SystemExit(3)


def stops(prompt: Prompt, response: Response) -> float:
    return next(iter(()))


async def gives_up(prompt: Prompt, response: Response) -> float:
    raise asyncio.CancelledError


def interrupts(prompt: Prompt, response: Response) -> float:
    raise KeyboardInterrupt


async def raises_later(prompt: Prompt, response: Response) -> float:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        *((exits, SystemExit), (exits_later, SystemExit), (stops, StopIteration)),
        *((gives_up, asyncio.CancelledError), (interrupts, KeyboardInterrupt), (raises_later, ZeroDivisionError)),
    ],
)
def test_whatever_it_raises_comes_back_and_ends_nothing(
    function: Callable[[Prompt, Response], Any], kind: type[BaseException]
) -> None:
    with pytest.raises(Raised) as found:
        called(function)
    assert isinstance(found.value.error, kind)


def sleeps(prompt: Prompt, response: Response) -> float:
    time.sleep(5.0)
    return 1.0


async def never(prompt: Prompt, response: Response) -> float:
    await asyncio.Event().wait()
    return 1.0


async def stubborn(prompt: Prompt, response: Response) -> float:
    """Take no notice of its cancellation, for a while."""
    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            continue
    return 1.0


def test_a_thread_that_does_not_end_is_told_by_its_part() -> None:
    with pytest.raises(PartStuck, match=r"reward.parts.mine.deadline_s") as found:
        called(sleeps, deadline_s=0.05)
    assert found.value.part == "mine"


@pytest.mark.parametrize("function", [never, stubborn, lambda prompt, response: never(prompt, response)])
def test_a_coroutine_that_does_not_end_is_left_behind(function: Any) -> None:
    async def scenario() -> float:
        started = time.monotonic()
        with pytest.raises(InfrastructureError, match=r"reward.parts.mine.deadline_s"):
            await call(function, make_prompt(), RESPONSE, name="mine", deadline_s=0.05, slots=asyncio.Semaphore(1))
        return time.monotonic() - started

    loop = asyncio.new_event_loop()  # asyncio.run would wait for the stubborn one
    try:
        assert loop.run_until_complete(scenario()) < 0.9
        for task in asyncio.all_tasks(loop):
            loop.run_until_complete(asyncio.wait({task}, timeout=10.0))
    finally:
        loop.close()


def test_who_is_cancelled_takes_the_function_along() -> None:
    ended: list[str] = []

    async def watched(prompt: Prompt, response: Response) -> float:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return 1.0

    async def scenario() -> None:
        calling = asyncio.create_task(
            call(watched, make_prompt(), RESPONSE, name="mine", deadline_s=30.0, slots=asyncio.Semaphore(1))
        )
        await asyncio.sleep(0.01)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert ended == ["cancelled"]


# ---------------------------------------------------------------------- what is seen before a run


BOUND: tuple[Any, Any] = (1, 2)


def of_text(text: str) -> float:
    return 0.0


def of_batch(completions: list[str], **columns: object) -> list[float]:
    return []


def of_three(prompt: Prompt, response: Response, reference: str) -> float:
    return 0.0


def by_name(*, prompt: Prompt, response: Response) -> float:
    return 0.0


def yields(prompt: Prompt, response: Response) -> Iterator[float]:
    yield 0.0


async def of_none() -> float:
    return 0.0


class OfText:
    def __call__(self, text: str) -> float:
        return 0.0


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (of_text, "too many positional arguments"),
        (of_batch, "too many positional arguments"),
        (of_three, "missing a required argument: 'reference'"),
        (by_name, "too many positional arguments"),
        (scaled, "missing a required .*argument: 'by'"),
        (of_none, "too many positional arguments"),
        (OfText(), "too many positional arguments"),
        (functools.partial(plain, *BOUND), "too many positional arguments"),
        (Counting, "is the class Counting; needs a function, or an object that can be called"),
        (yields, "is a generator, and yields"),
    ],
    ids=named,
)
def test_a_wrong_signature_is_seen_before(function: Any, problem: str) -> None:
    found = call_problem(function, "prompt", "response")
    assert found is not None and re.search(problem, found)


def test_functions_of_c_that_say_nothing_of_themselves_pass() -> None:
    assert call_problem(max, "prompt", "response") is None


def test_options_belong_to_the_signature() -> None:
    key = "reward.parts.mine"
    assert own_function_problem(key, RewardPart(options={"by": 2}), scaled, shown=key) is None
    found = own_function_problem(key, RewardPart(options={"to": 2}), scaled, shown=f"{key}.function=m:scaled")
    assert found is not None and found.startswith("reward.parts.mine.options={'to': 2}: ")
    found = own_function_problem(key, RewardPart(), scaled, shown=f"{key}.function=m:scaled")
    assert found is not None and found.startswith("reward.parts.mine.function=m:scaled: takes (prompt")


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("no_such_rewards:f", "ModuleNotFoundError: No module named 'no_such_rewards'"),
        ("math:no_such_function", "AttributeError"),
        ("math", "AttributeError"),
        (":f", "ValueError"),
        ("own_rewards:f", "SystemExit: 5"),
        ("torn_rewards:f", "SyntaxError"),
        ("math:pi", "pi is not a function"),
    ],
)
def test_what_cannot_be_loaded_is_refused_by_its_key(
    path: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_rewards.py").write_text("import sys\nsys.exit(5)\n")
    (tmp_path / "torn_rewards.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=f"reward.parts.mine.function={path}: .*{cause}"):
        load_function("reward.parts.mine.function", path)
