"""A rollout engine: vLLM's ``AsyncLLM``, generating groups while its weights are replaced under it.

    generate(request) -> chunks of trajectories, as they finish
    pause -> (weight transfer) -> commit(version) -> resume          driven by the publisher

An engine may be spread over nodes. Then part 0 is the engine, and each other part the workers on its node, to vLLM a
node without a server ("headless"). Plain classes; ``r1ray.cluster`` makes Ray actors of them.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import prod
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from vllm import SamplingParams
from vllm.distributed.weight_transfer.base import WeightTransferInitRequest, WeightTransferUpdateRequest
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

from r1ray.config import RolloutConfig
from r1ray.config.specs import EngineSpec, PartSpec
from r1ray.errors import EngineLost, PromptTooLong, UserError
from r1ray.types import Float32Array, GroupRequest, Int32Array, Trajectory, VersionSpan
from r1ray.weights import adapter
from r1ray.weights.network import interface_of, own_address


def engine_args(config: RolloutConfig, spec: EngineSpec, part: PartSpec | None = None) -> AsyncEngineArgs:
    """vLLM's arguments; ``part`` is of an engine that is spread over nodes. ``processed_logprobs`` are those of the
    distribution that is sampled from: temperature applied, and with top_p 1 over the whole vocabulary."""
    if problem := config.why_not_seeded("rollout", spec.num_gpus, spec.max_model_len):
        raise UserError(f"{problem}.")
    sizes = config.parallel_sizes(spec.num_gpus)
    arguments: dict[str, Any] = {
        "model": spec.model,
        "dtype": config.dtype,
        "max_model_len": spec.max_model_len,
        "max_num_seqs": config.max_num_seqs,
        "max_num_batched_tokens": config.batched_tokens(spec.num_gpus, spec.max_model_len),
        "seed": spec.seed,
        "logprobs_mode": "processed_logprobs",
        "enable_prefix_caching": True,
        "disable_log_stats": True,
        # By itself vLLM would take Ray's executor inside a placement group, and with it others' bundles.
        "distributed_executor_backend": "mp" if prod(sizes.values()) > 1 else "uni",
        **sizes,
    }
    if spec.adapter is not None:
        arguments |= {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": next(rank for rank in adapter.RANKS if rank >= spec.adapter.rank),
            "lora_dtype": getattr(torch, spec.adapter.dtype),
            # With room for an adapter of the output layer, log-probabilities of prompts end vLLM 0.32.
            "lora_target_modules": list(spec.adapter.targets or linear_layers(spec.model)),
            "worker_extension_cls": "r1ray.weights.adapter.AdapterWorker",
        }
    if spec.weight_backend is not None:
        arguments["weight_transfer_config"] = {"backend": spec.weight_backend}
    if part is not None:
        arguments |= {
            "nnodes": config.nodes_per_actor,
            "node_rank": part.node_rank,
            "master_addr": part.master_address,
            "master_port": part.master_port,
        }
    if spec.num_gpus:
        arguments["gpu_memory_utilization"] = config.gpu_memory_utilization
    else:
        # Compiled graphs would keep the packed weights of the version they were traced with.
        arguments["enforce_eager"] = True
    return AsyncEngineArgs(**(arguments | config.engine_args))


def linear_layers(model: str) -> list[str]:
    """The last names of a model's linear layers without the output layer, as peft's ``all-linear`` takes them."""
    with torch.device("meta"):
        made = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    head = made.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in made.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(linear)


def use_network(part: PartSpec | None) -> None:
    """Tell vLLM and Gloo which of this machine's addresses the other parts reach; both would guess. (NCCL guesses too,
    and is told by NCCL_SOCKET_IFNAME.)"""
    if part is not None:
        address = own_address(part.master_address, part.master_port)
        os.environ["VLLM_HOST_IP"] = address
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface_of(address))


@contextmanager
def explained(key: str) -> Iterator[None]:
    """What the user's model and settings do not allow, as a UserError that begins with ``key``."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: vLLM refuses it with these settings: {_first_line(error)}") from error


async def allocate_for_pipeline(llm: AsyncLLM) -> None:
    """To be awaited before the first request. vLLM makes the tensors that a pipeline's later stages receive into while
    it warms up, which on CPUs it does not: a batch of nothing makes them."""
    parallel, device = llm.vllm_config.parallel_config, llm.vllm_config.device_config.device_type
    if device == "cpu" and parallel.pipeline_parallel_size > 1:
        await llm.collective_rpc("execute_dummy_batch")


class VLLMPart:
    """The workers of an engine on one of its other nodes. They take orders from the engine alone."""

    def __init__(self, config: RolloutConfig, spec: EngineSpec, part: PartSpec, key: str = "model") -> None:
        """Raises UserError where vLLM refuses the settings."""
        use_network(part)
        with explained(f"{key}={spec.model}"):
            self._settings = engine_args(config, spec, part).create_engine_config(headless=True)

    def work(self) -> None:
        """Join the engine, which has to be starting, and return when a worker has ended: the engine is of no use
        then."""
        MultiprocExecutor(self._settings, monitor_workers=False).start_worker_monitor(inline=True)


class VLLMEngine:
    """The RolloutEngine role on one vLLM engine."""

    def __init__(self, config: RolloutConfig, spec: EngineSpec, part: PartSpec | None = None) -> None:
        self._config = config
        use_network(part)
        with explained(f"model={spec.model}"):
            self._llm = AsyncLLM.from_engine_args(engine_args(config, spec, part))
        self._tokenizer = self._llm.get_tokenizer()
        if self._tokenizer.eos_token_id is None:
            raise UserError(f"model={spec.model}: its tokenizer has no end-of-sequence token.")
        self._max_prompt_tokens, self._add_special_tokens = spec.max_prompt_tokens, spec.add_special_tokens
        # vLLM opens the path of an adapter that it does not have, which never comes to be: see r1ray.weights.adapter.
        self._adapter = LoRARequest(adapter.NAME, adapter.ID, "not-a-file") if spec.adapter else None
        self._version: int | None = None
        self._num_commits = 0
        self._is_updating = False
        """Whether a weight update was started and not finished."""
        self._serving = asyncio.Event()
        """Cleared from :meth:`pause` to :meth:`resume`: a request belongs to the version that it starts under."""

    async def ready(self) -> int:
        """Number of vLLM workers (tensor- and pipeline-parallel ranks), once the engine answers."""
        await self._llm.check_health()
        await allocate_for_pipeline(self._llm)
        return int(self._llm.vllm_config.parallel_config.world_size)

    # ------------------------------------------------------------------ generation

    async def generate(self, request: GroupRequest) -> AsyncIterator[tuple[Trajectory, ...]]:
        """Sample ``request.num_completions`` completions; each is yielded with whatever else has just finished.
        Raises PromptTooLong."""
        encoded = self._tokenizer(request.prompt.text, add_special_tokens=self._add_special_tokens)
        prompt_ids = encoded["input_ids"]
        if len(prompt_ids) > self._max_prompt_tokens:
            raise PromptTooLong(f"prompt {request.prompt.id} has {len(prompt_ids)} tokens")
        finished: asyncio.Queue[Trajectory | BaseException] = asyncio.Queue()

        async def sample(index: int) -> None:
            try:
                finished.put_nowait(await self._sample(request, index, prompt_ids))
            except Exception as error:
                finished.put_nowait(error)

        tasks = [asyncio.create_task(sample(index)) for index in range(request.num_completions)]
        try:
            remaining = request.num_completions
            while remaining:
                arrived = [await finished.get()]
                while not finished.empty():
                    arrived.append(finished.get_nowait())
                for item in arrived:
                    if isinstance(item, BaseException):
                        raise item
                yield tuple(item for item in arrived if isinstance(item, Trajectory))
                remaining -= len(arrived)
        finally:
            for task in tasks:
                task.cancel()

    async def _sample(self, request: GroupRequest, index: int, prompt_ids: list[int]) -> Trajectory:
        asked = request.sampling
        sampling = SamplingParams(
            temperature=asked.temperature,
            top_p=asked.top_p,
            max_tokens=asked.max_tokens,
            seed=(request.seed + index) % 2**63 if self._config.seeded else None,
            logprobs=0 if asked.with_logprobs else None,  # the sampled token's own
            flat_logprobs=asked.with_logprobs,
            stop=list(asked.stop),
            include_stop_str_in_output=bool(asked.stop),
            detokenize=bool(asked.stop),  # once at the end is cheaper than after every token
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        await self._serving.wait()
        # The salt keeps prefixes that an older policy computed out of the cache of this one.
        prompt = {"prompt_token_ids": prompt_ids, "cache_salt": f"policy-{self._version}-{self._num_commits}"}
        started = time.monotonic()
        output = await self._final(prompt, sampling)
        seconds = time.monotonic() - started
        return self._trajectory(request, index, prompt_ids, output, seconds=seconds)

    async def _final(self, prompt: dict[str, Any], sampling: SamplingParams) -> RequestOutput:
        """The one output of a request whose output kind is FINAL_ONLY."""
        try:
            stream = self._llm.generate(prompt, sampling, request_id=uuid4().hex, lora_request=self._adapter)
            outputs = [output async for output in stream]
        except EngineDeadError as error:
            raise EngineLost(str(error)) from error
        assert len(outputs) == 1 and outputs[0].finished
        return outputs[0]

    def _trajectory(
        self, request: GroupRequest, index: int, prompt_ids: list[int], output: RequestOutput, *, seconds: float
    ) -> Trajectory:
        sampled = output.outputs[0]
        token_ids = list(sampled.token_ids)
        if sampled.finish_reason not in ("stop", "length"):
            raise RuntimeError(f"vLLM ended trajectory {index} of {request.occurrence} with {sampled.finish_reason}")
        # An output that stops does so on a stop string, or on an end-of-sequence token (a model may have several).
        at_string = isinstance(sampled.stop_reason, str)
        stopped = sampled.finish_reason == "stop" and not at_string
        text = sampled.text if at_string else self._decode(token_ids[:-1] if stopped else token_ids)
        logprobs = sampled.logprobs.logprobs if request.sampling.with_logprobs else ()
        return Trajectory.completion(
            group_id=request.occurrence,
            index=index,
            prompt_token_ids=np.asarray(prompt_ids, dtype=np.int32),
            token_ids=np.asarray(token_ids, dtype=np.int32),
            logprobs=np.asarray(logprobs, dtype=np.float32),
            versions=tuple(VersionSpan(int(s.version), s.start, s.end) for s in sampled.weight_versions or ()),
            text=text,
            status="truncated" if sampled.finish_reason == "length" else "finished",
            stop=str(sampled.stop_reason) if at_string else "",
            seconds=seconds,
        )

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, clean_up_tokenization_spaces=False))

    # ------------------------------------------------------------------ weights

    async def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info))

    async def shutdown_weight_transfer_engine(self) -> None:
        """Leave the transfer group. An update that a failed round left open is closed first; it holds nothing that
        will be served, because the next round sends everything."""
        if self._is_updating:
            with suppress(Exception):
                await self.finish_weight_update()
            self._is_updating = False
        await self._llm.shutdown_weight_transfer_engine()

    async def pause(self) -> None:
        """Freeze what is being generated; it goes on where it stopped after :meth:`resume`."""
        self._serving.clear()
        await self._llm.pause_generation(mode="keep", clear_cache=False)

    async def start_weight_update(self) -> None:
        self._is_updating = True
        await self._llm.start_weight_update()

    async def update_weights(self, update_info: dict[str, Any]) -> None:
        await self._llm.update_weights(WeightTransferUpdateRequest(update_info))

    async def finish_weight_update(self) -> None:
        await self._llm.finish_weight_update()
        self._is_updating = False
        if self._adapter is not None:
            await self._llm.collective_rpc("activate_adapter")

    async def commit(self, version: int) -> None:
        """Label tokens sampled from here on with ``version``."""
        await self._llm.update_weight_version(str(version))
        self._version = version
        self._num_commits += 1

    async def resume(self) -> None:
        await self._llm.resume_generation()
        self._serving.set()

    async def logprobs(self, sequences: Sequence[Int32Array]) -> Float32Array:
        """log p of tokens 1..T-1 of each sequence ([T] int32), end to end, float32, at temperature 1 (the parity
        probe)."""
        return np.concatenate(await asyncio.gather(*map(self._logprobs, sequences)))

    async def _logprobs(self, token_ids: Int32Array) -> Float32Array:
        ids = [int(token) for token in token_ids]
        sampling = SamplingParams(
            max_tokens=1, temperature=1.0, prompt_logprobs=0, detokenize=False, output_kind=RequestOutputKind.FINAL_ONLY
        )
        prompt = {"prompt_token_ids": ids, "cache_salt": f"probe-{self._version}"}
        output = await self._final(prompt, sampling)
        assert output.prompt_logprobs is not None
        return np.asarray(
            [table[token].logprob for token, table in zip(ids[1:], output.prompt_logprobs[1:], strict=True)],
            dtype=np.float32,
        )

    async def call_workers(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method of vLLM's workers by name: for worker extensions given in ``rollout.engine_args``."""
        return list(await self._llm.collective_rpc(method, args=arguments))

    def shutdown(self) -> None:
        self._llm.shutdown()


def _first_line(error: Exception) -> str:
    """One line of what may be a page: pydantic's errors have the sentence in their third line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Value error")), lines[0] if lines else type(error).__name__)
