"""Trajectories of several turns beside the same tokens in one turn, on a real engine and a real environment worker.

    python -m tests.benchmarks.bench_turns [--turns 4] [--tokens 64] [--slots 16] [--latency 0.02] [--heads 3]

First 256 worlds at once on one environment worker, without an engine. Then 64 trajectories of four turns. After each
turn a tool takes its time, which is spread tenfold: from ``--latency`` seconds to ten times that, log-uniform. Last, 64
trajectories of one turn, with as many policy tokens; what the tools said is in their prompts. Printed are trajectories
a second of both, their ratio (goal: at least 0.8), and the share of the time in which the engine had nothing to do.

Two cores, beside other work (load 3 to 9): 0.4 million parameters with 64 tokens a turn 0.91, 0.61, 0.95, 0.80;
20 million (``--heads 24``) 0.77, 0.88, 0.88, and with 32 tokens 0.75, 0.67. What further turns cost is what of their
history is in no whole block of the engine, and places that stand empty for a step: blocks have 32 tokens on CPUs, and
an eighth more trajectories are under way than are generated (with blocks of 128 and no more trajectories than places
it was 0.60 to 0.84). 256 worlds: 1.4 to 1.9 s.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import ray
import torch

from r1ray.checks import MathAnswer
from r1ray.cluster.environments import EnvironmentPool
from r1ray.cluster.host import Handle, host, import_path
from r1ray.config import EnvironmentConfig, RolloutConfig, WorldConfig
from r1ray.config.specs import EngineSpec
from r1ray.conversation import ChatRenderer, ConversationSettings, make_renderer
from r1ray.environments.registry import source_of
from r1ray.examples.calculator_agent.tokenizer import make_tokenizer
from r1ray.examples.pretrain import make_model
from r1ray.interfaces import Scorer
from r1ray.rollout.episode import Episodes
from r1ray.rollout.group_worker import GroupWorker
from r1ray.rollout.placement import EngineState
from r1ray.rollout.vllm_engine import VLLMEngine
from r1ray.turns import Action, Done, Message
from r1ray.types import GroupRequest, Prompt, Sampling, Trajectory

NAME = "waiting"
PROMPT = "What is 37*82+15?"
MAX_TOKENS = 512
GROUPS, GROUP_SIZE, WORLDS = 8, 8, 256


@dataclass(frozen=True)
class Run:
    """Trajectories, and what they took."""

    trajectories: Sequence[Trajectory]
    seconds: float
    idle_s: float

    @property
    def a_second(self) -> float:
        return len(self.trajectories) / self.seconds

    @property
    def policy_tokens(self) -> int:
        return sum(each.num_policy_tokens for each in self.trajectories)


def make_endless(folder: Path, *, num_heads: int) -> Any:
    """Write an untrained model that says anything but the end of a turn; return its tokenizer."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed=0, num_heads=num_heads)
    inputs = model.get_input_embeddings().weight
    with torch.no_grad():
        outputs = inputs.clone()
        inputs[:, 0], outputs[:, 0] = 5.0, 0.0  # every hidden state is large there
        outputs[tokenizer.all_special_ids, 0] = -10.0
    model.config.tie_word_embeddings = False
    model.config.max_position_embeddings = MAX_TOKENS
    model.lm_head.weight = torch.nn.Parameter(outputs)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


async def started(folder: Path, slots: int, engine_args: dict[str, Any]) -> VLLMEngine:
    """Return an engine that serves version 1."""
    spec = EngineSpec(
        model=str(folder),
        max_prompt_tokens=MAX_TOKENS,
        max_model_len=MAX_TOKENS,
        seed=0,
        weight_backend=None,
        num_gpus=0,
        add_special_tokens=False,
    )
    engine = VLLMEngine(RolloutConfig(dtype="float32", max_num_seqs=slots, engine_args=engine_args), spec)
    await engine.ready()
    await engine.pause()
    await engine.commit(1)
    await engine.resume()
    return engine


async def run(worker: GroupWorker, engine: VLLMEngine, prompts: Sequence[Prompt], *, num_tokens: int, name: str) -> Run:
    """Generate all groups at once, one of each prompt; together they have so many trajectories."""
    before, start = await engine.times(), time.monotonic()
    requests = [
        GroupRequest(
            group_id=f"{name}/{number}",
            prompt=prompt,
            group_size=GROUPS * GROUP_SIZE // len(prompts),
            sampling=Sampling(1.0, 1.0, num_tokens),
            seed=number,
        )
        for number, prompt in enumerate(prompts)
    ]
    groups = await asyncio.gather(*map(worker.sample, requests))
    seconds, after = time.monotonic() - start, await engine.times()
    return Run([each for group in groups for each in group], seconds, after.idle_s - before.idle_s)


async def compared(arguments: argparse.Namespace, environments: EnvironmentConfig, actor: Handle) -> None:
    """Print what several turns cost beside one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokenizer = make_endless(folder, num_heads=arguments.heads)
        renderer: ChatRenderer = make_renderer(tokenizer, settings=ConversationSettings(model=name))
        engine_args = {} if arguments.block is None else {"block_size": arguments.block}
        engine = await started(folder, arguments.slots, engine_args)
        pool = EnvironmentPool([actor], start_s=60.0)
        worker = GroupWorker(
            no_scorer(),
            deadline_s=600.0,
            episodes=Episodes(pool, renderer, environments, max_prompt_tokens=MAX_TOKENS),
        )
        at_once = RolloutConfig(max_num_seqs=arguments.slots).slots
        await worker.set_engines([EngineState("engine", 0, engine, at_once, "serving")])
        num_tokens, prompts = arguments.tokens, GROUPS * [made_prompt(PROMPT, NAME)]
        await run(worker, engine, prompts, num_tokens=2, name="warm")
        for repeat in range(arguments.repeats):
            several = await run(worker, engine, prompts, num_tokens=num_tokens, name=f"several {repeat}")
            given = [each.num_context_tokens for each in several.trajectories]
            start, size = renderer.decode(renderer.prompt((Message("user", PROMPT),), ())), sum(given) // len(given)
            longer = [
                made_prompt(start + digits(f"{repeat}/{number}", size), "") for number in range(GROUPS * GROUP_SIZE)
            ]
            one = await run(worker, engine, longer, num_tokens=arguments.turns * num_tokens, name=f"one {repeat}")
            report(several, one)
        engine.shutdown()


def report(several: Run, one: Run) -> None:
    """Print both, and their ratio."""
    for title, found in (("several turns", several), ("one turn", one)):
        print(
            f"{title}: {found.a_second:.2f} trajectories/s, {found.policy_tokens} policy tokens in "
            f"{found.seconds:.1f} s, engine idle {found.idle_s / found.seconds:.0%}",
            flush=True,
        )
    waits = [each.world.seconds for each in several.trajectories if each.world is not None]
    print(f"  waited for the world: {sum(waits) / len(waits):.2f} s a trajectory")
    print(f"  ratio {several.a_second / one.a_second:.2f} (goal: at least 0.80)", flush=True)


async def crowded(actor: Handle, turns: int) -> None:
    """Print how 256 worlds at once fare."""
    pool, errors = EnvironmentPool([actor], start_s=60.0), list[BaseException]()

    async def one(number: int) -> None:
        try:
            world = await pool.enter(made_prompt(PROMPT, NAME), number)
            for turn in range(turns):
                answer = await world.step(Action(content="37", turn=turn))
            assert isinstance(answer, Done)
            await world.leave()
        except Exception as error:  # whatever it is, it is counted
            errors.append(error)

    await one(0)  # the actor starts
    start = time.monotonic()
    await asyncio.gather(*map(one, range(WORLDS)))
    seconds = time.monotonic() - start
    print(f"{WORLDS} worlds at once, {turns} turns each: {seconds:.1f} s, {len(errors)} errors", flush=True)
    assert not errors, errors[0]


def made_prompt(text: str, environment: str) -> Prompt:
    return Prompt(id="p", text=text, check=MathAnswer("1"), domain="math", language="en", environment=environment)


def digits(seed: str, size: int) -> str:
    """Return so many digits, each a token. Others for each trajectory, as tools' results are: no cache has them."""
    return "".join(random.Random(seed).choices("0123456789", k=size))


def no_scorer() -> Scorer:
    """Return what is never asked: nothing is scored here."""
    return cast(Scorer, None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=64, help="policy tokens of a turn")
    parser.add_argument("--slots", type=int, default=16, help="trajectories that the engine has at once")
    parser.add_argument("--latency", type=float, default=0.02, help="of the fastest tool call, in seconds")
    parser.add_argument(
        "--heads", type=int, default=3, help="width of the model, 32 for each: 24 are 20 million parameters"
    )
    parser.add_argument("--block", type=int, help="tokens of a block of keys and values; default: a run's")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    of_vllm = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_LOGGING_LEVEL": "ERROR"}
    # Ray has its workers wait for every other process of a machine: on a busy one a world would take what it does not.
    of_vllm["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # as runs have it
    os.environ |= of_vllm | {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
    options = {"turns": arguments.turns, "latency_s": arguments.latency}
    world = WorldConfig(path="tests.benchmarks.waiting:Waiting", options=options)
    environments = EnvironmentConfig(worlds={NAME: world}, max_trajectory_tokens=MAX_TOKENS - 24)
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    actor = host(
        "r1ray.environments.worker:EnvironmentWorker",
        *(environments, {NAME: source_of(NAME, environments)}),
        is_async=True,
        num_cpus=0,
        runtime_env={"env_vars": import_path() | {"OMP_NUM_THREADS": "1"}},
    )
    asyncio.run(crowded(actor, arguments.turns))
    asyncio.run(compared(arguments, environments, actor))


if __name__ == "__main__":
    main()
