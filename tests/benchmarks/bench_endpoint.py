"""The cost of a call of an agent: client and server without an engine, and beside an engine that is asked directly.

    python -m tests.benchmarks.bench_endpoint [--rounds 8] [--tokens 16] [--without-engine | --without-calls]

First the CPU time of a call by the openai client, client and server in one process, over a real chat template and an
engine that answers at once (goal: at most 3 ms for one message). Then 64 calls at once of ``--tokens`` tokens on a real
engine, by turns with the same prompts given to the engine itself, which is asked by nobody else (goal: at least 0.8):
by clients that cost nothing, as agents have cores of their own, and by the openai client in the server's process.

Once, on two cores with other work (load 10): 2.4 ms with the openai client, streamed 2.3, 7.8 for 21 messages, of which
the server has 0.6. With a load of 20 the same took 3.4 and 1.2 ms. On the engine nothing could be told with such loads:
single rounds of the same way differed sixtyfold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from openai import AsyncOpenAI

from r1ray.config import EnvironmentConfig
from r1ray.conversation import ChatRenderer, ConversationSettings, make_renderer
from r1ray.endpoint.server import Endpoint
from r1ray.rollout.agent_line import AgentLine
from r1ray.rollout.engine import TrajectoryRequest, one_segment
from r1ray.rollout.placement import Placement
from r1ray.rollout.turn_sampler import GroupTurns, TurnSampler
from r1ray.turns import Access, Message
from r1ray.types import Sampling, Trajectory, VersionSpan
from tests.benchmarks.bench_turns import MAX_TOKENS, made_prompt, make_endless, started
from tests.conversation.tokenizers_made import CALCULATOR, QWEN, made_tokenizer
from tests.rollout.agents import client_of
from tests.rollout.scripted import state

AT_ONCE = 64
QUESTION = "What is 37*82+15?"


def line_of(number: int, renderer: ChatRenderer, sample: Any, *, max_tokens: int, limit: int) -> AgentLine:
    """Return the line of one trajectory, whose limits are out of reach."""
    return AgentLine(
        request_of(number, max_tokens=max_tokens),
        renderer,
        EnvironmentConfig(max_turns=1_000_000, max_trajectory_tokens=limit),
        sample=sample,
        end=lambda name: False,
        max_prompt_tokens=limit,
        max_row_tokens=sys.maxsize,
    )


def request_of(number: int, *, max_tokens: int, given: Any = None) -> TrajectoryRequest:
    return TrajectoryRequest(
        group_id=f"0/{number}",
        index=0,
        prompt=made_prompt(QUESTION, "agent"),
        sampling=Sampling(1.0, 1.0, max_tokens),
        seed=number,
        given=given,
    )


# ---------------------------------------------------------------------- without an engine


async def without_engine(num_calls: int) -> None:
    """Print the CPU time of a call."""
    renderer = make_renderer(made_tokenizer(QWEN), settings=ConversationSettings(model="made", renderer="template"))
    said = np.array(renderer.prompt([Message("user", "I have it.")], ())[3:-3], dtype=np.int32)

    async def sample(request: TrajectoryRequest) -> Trajectory:
        assert request.given is not None
        spans = (VersionSpan(0, 0, len(said)),)
        return one_segment(
            group_id=request.group_id,
            index=0,
            prompt_token_ids=request.given,
            token_ids=said,
            logprobs=np.zeros(len(said), dtype=np.float32),
            versions=spans,
        )

    endpoint = Endpoint("127.0.0.1")
    asked = [{"role": "user", "content": QUESTION}]
    long = [*asked, *({"role": ("assistant", "user")[i % 2], "content": f"{QUESTION} {i}"} for i in range(20))]
    tools = {"tools": [CALCULATOR]}
    for title, messages, more in (
        ("1 message", asked, {}),
        ("1 message, a tool", asked, tools),
        ("1 message, streamed", asked, {"stream": True}),
        ("21 messages, a tool", long, tools),
    ):
        line = line_of(0, renderer, sample, max_tokens=64, limit=100_000)
        access = await endpoint.open(line)
        async with client_of(access) as client:
            milliseconds = await cpu_of(lambda: call(client, messages, **more), num_calls)  # noqa: B023
        endpoint.close(access)
        print(f"{title}: {milliseconds:.2f} ms of CPU a call", flush=True)
    line = line_of(0, renderer, sample, max_tokens=64, limit=100_000)
    bare = await Bare.to(await endpoint.open(line))
    milliseconds = await cpu_of(lambda: bare.call(asked), num_calls)
    print(f"1 message, a client that sends bytes and counts those that come: {milliseconds:.2f} ms", flush=True)
    line = line_of(0, renderer, sample, max_tokens=64, limit=100_000)
    access, history = await endpoint.open(line), list(asked)

    async def goes_on() -> None:
        if len(history) > 21:
            del history[1:]
        answer = await call(client, history, **tools)
        history.extend([{"role": "assistant", "content": answer.choices[0].message.content}, asked[0]])

    async with client_of(access) as client:
        milliseconds = await cpu_of(goes_on, num_calls)
    share = line.counts().num_extending / num_calls
    print(f"1 to 21 messages, each call behind the one before: {milliseconds:.2f} ms; {share:.0%} go on", flush=True)
    await endpoint.stop()


@dataclass
class Bare:
    """A client that costs next to nothing."""

    access: Access
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, access: Access) -> Bare:
        address = urlsplit(access.base_url)
        return cls(access, *await asyncio.open_connection(address.hostname, address.port))

    async def call(self, messages: Any) -> None:
        body = json.dumps({"model": "policy", "messages": messages})
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {self.access.api_key}\r\n"
        self.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        found = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 200 " in found
        size = re.search(rb"content-length: (\d+)", found)
        assert size is not None
        await self.reader.readexactly(int(size[1]))


async def call(client: AsyncOpenAI, messages: Any, **more: Any) -> Any:
    answer: Any = await client.chat.completions.create(model="policy", messages=messages, **more)
    if "stream" in more:
        async for _ in answer:
            pass
    return answer


async def cpu_of(work: Callable[[], Awaitable[object]], num_calls: int) -> float:
    """Return the CPU time of one of many calls, the lowest of five parts of them, in milliseconds."""
    parts = []
    for _ in range(5):
        await work()
        before = time.process_time()
        for _ in range(num_calls // 5):
            await work()
        parts.append(1000 * (time.process_time() - before) / (num_calls // 5))
    return min(parts)


# ---------------------------------------------------------------------- on a real engine


async def on_engine(num_rounds: int, num_tokens: int) -> None:
    """Print calls a second by the endpoint, and by the engine itself, by turns."""
    with tempfile.TemporaryDirectory() as name:
        tokenizer = make_endless(Path(name), num_heads=3)
        renderer = make_renderer(tokenizer, settings=ConversationSettings(model=name))
        engine = await started(Path(name), AT_ONCE, {})
        given = np.array(renderer.prompt((Message("user", QUESTION),), ()), dtype=np.int32)
        placement = Placement()
        placement.update([state(engine, slots=AT_ONCE)])
        sampler, turns, endpoint = TurnSampler(placement, deadline_s=600.0), GroupTurns(), Endpoint("127.0.0.1")

        async def sample(request: TrajectoryRequest) -> Trajectory:
            return await sampler.sample(turns, request)

        limit = MAX_TOKENS // 2
        lines = [line_of(each, renderer, sample, max_tokens=num_tokens, limit=limit) for each in range(AT_ONCE)]
        accesses = [await endpoint.open(line) for line in lines]
        clients = [client_of(access) for access in accesses]
        bare = [await Bare.to(access) for access in accesses]
        asked = [{"role": "user", "content": QUESTION}]

        async def direct(number: int) -> None:
            made = await engine.generate(request_of(number, max_tokens=num_tokens, given=given))
            assert made.trajectory.num_policy_tokens == num_tokens

        async def by_endpoint(number: int) -> None:
            await bare[number].call(asked)

        async def by_openai(number: int) -> None:
            answer = await call(clients[number], asked)
            assert answer.usage.completion_tokens == num_tokens

        ways = {"direct": direct, "endpoint": by_endpoint, "endpoint, openai": by_openai}
        found: dict[str, list[float]] = {way: [] for way in ways}
        for turn in range(num_rounds + 1):
            for way, one in ways.items():
                start = time.monotonic()
                await asyncio.gather(*map(one, range(AT_ONCE)))
                if turn:  # the first is a warm-up
                    found[way].append(AT_ONCE / (time.monotonic() - start))
            print(", ".join(f"{way} {rates[-1]:.0f}" for way, rates in found.items() if rates), flush=True)
        for way, rates in found.items():
            ratios = [rate / before for rate, before in zip(rates, found["direct"], strict=True)]
            best = max(rates) / max(found["direct"])
            print(
                f"{way}: {np.median(rates):.0f} calls/s in the middle, {max(rates):.0f} at best; of direct "
                f"{np.median(ratios):.2f} in the middle of pairs, {best:.2f} at best",
                flush=True,
            )
        for client, each in zip(clients, bare, strict=True):
            await client.close()
            each.writer.close()
        await endpoint.stop()
        engine.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--without-engine", action="store_true")
    parser.add_argument("--without-calls", action="store_true", help="no CPU time of single calls")
    arguments = parser.parse_args()
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_LOGGING_LEVEL": "ERROR"}
    if not arguments.without_calls:
        asyncio.run(without_engine(arguments.calls))
    if not arguments.without_engine:
        asyncio.run(on_engine(arguments.rounds, arguments.tokens))


if __name__ == "__main__":
    main()
