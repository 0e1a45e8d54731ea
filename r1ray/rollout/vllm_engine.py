"""A rollout engine: vLLM's ``AsyncLLM``, generating trajectories while its weights are replaced under it.

    generate(request) -> one trajectory          abort(ids) -> their generate returns what there is
    pause -> (weight transfer) -> commit(version) -> resume          driven by the publisher
    sleep -> wake("weights") -> (the same) -> wake("kv_cache") -> resume          where it shares its devices

An engine may be spread over nodes. Then part 0 is the engine, and each other part the workers on its node, to vLLM a
node without a server ("headless"). Plain classes; ``r1ray.cluster`` makes Ray actors of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from transformers import AutoConfig
from vllm import SamplingParams
from vllm.distributed.weight_transfer.base import WeightTransferInitRequest
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

from r1ray.config import RolloutConfig
from r1ray.config.specs import EngineShardSpec, EngineSpec
from r1ray.errors import EngineLost, PromptTooLong, UserError, WeightSyncError
from r1ray.rollout.architectures import reads_images
from r1ray.rollout.engine import Generated, TrajectoryRequest, joined_experts, one_segment
from r1ray.rollout.engine_clock import EngineClock
from r1ray.rollout.processes import processes_below, stopped
from r1ray.rollout.weight_update import WeightUpdate
from r1ray.runtime.imports import children_import_fast
from r1ray.runtime.model_class import auto_class
from r1ray.runtime.remote_code import is_allowed
from r1ray.runtime.router_settings import missing_router_settings
from r1ray.types import EngineTimes, Float32Array, Int32Array, Prompt, Status, Trajectory, VersionSpan
from r1ray.weights import adapter
from r1ray.weights.network import interface_of, own_address
from r1ray.weights.snapshot import SnapshotPlace, read_header
from r1ray.weights.snapshot_file import check

logger = logging.getLogger(__name__)
STATUS: dict[str, Status] = {"stop": "finished", "length": "truncated", "abort": "aborted"}
"""By vLLM's reason for the end of an output."""
KEPT_PROMPTS = 1024
KV_COUNT_S = 0.1
CPU_BLOCK_TOKENS = 32  # of keys and values; the least that vLLM takes there
POLL_S = 0.5


def engine_args(config: RolloutConfig, spec: EngineSpec, part: EngineShardSpec | None = None) -> AsyncEngineArgs:
    """vLLM's arguments; ``part`` is of an engine that is spread over nodes. ``processed_logprobs`` are those of the
    distribution that is sampled from: temperature applied, and with top_p 1 over the whole vocabulary."""
    if problem := config.why_not_seeded(config.section, spec.num_gpus, spec.max_model_len):
        raise UserError(f"{problem}.")
    sizes = config.parallel_sizes(spec.num_gpus)
    arguments: dict[str, Any] = {
        "model": spec.model,
        "trust_remote_code": is_allowed(),
        "dtype": config.dtype,
        "quantization": config.quantization,
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
    if reads_images(spec.model):
        arguments["language_model_only"] = True
    if spec.weight_backend is not None:
        arguments["weight_transfer_config"] = {"backend": spec.weight_backend}
    if spec.returns_experts:
        arguments["enable_return_routed_experts"] = True
    if part is not None:
        arguments |= {
            "nnodes": config.nodes_per_actor,
            "node_rank": part.node_rank,
            "master_addr": part.master_address,
            "master_port": part.master_port,
        }
    if spec.num_gpus:
        arguments["gpu_memory_utilization"] = config.gpu_memory_utilization
        arguments["enable_sleep_mode"] = spec.sleeps
    else:
        # Compiled graphs would keep the packed weights of the version they were traced with.
        arguments["enforce_eager"] = True
        # vLLM's own is 128 on CPUs: prompts and turns below that would be computed again for each trajectory and turn.
        arguments["block_size"] = CPU_BLOCK_TOKENS
    if missing := missing_router_settings(AutoConfig.from_pretrained(spec.model, trust_remote_code=is_allowed())):
        arguments["hf_overrides"] = missing
    return AsyncEngineArgs(**(arguments | config.engine_args))


def start_llm(arguments: AsyncEngineArgs) -> AsyncLLM:
    """Start an engine with its core, a process of its own."""
    with children_import_fast():
        return AsyncLLM.from_engine_args(arguments)


def linear_layers(model: str) -> list[str]:
    """The last names of a model's linear layers without the output layer, as peft's ``all-linear`` takes them."""
    with torch.device("meta"):
        made = auto_class(model).from_config(
            AutoConfig.from_pretrained(model, trust_remote_code=is_allowed()), trust_remote_code=is_allowed()
        )
    head = made.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in made.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    return sorted(linear)


def use_network(part: EngineShardSpec | None) -> None:
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


class VLLMShard:
    """The workers of an engine on one of its other nodes. They take orders from the engine alone."""

    def __init__(self, config: RolloutConfig, spec: EngineSpec, part: EngineShardSpec, key: str = "model") -> None:
        """Raises UserError where vLLM refuses the settings."""
        use_network(part)
        with explained(f"{key}={spec.model}"):
            self._settings = engine_args(config, spec, part).create_engine_config(headless=True)

    def work(self) -> None:
        """Join the engine, which has to be starting, and return when a worker has ended: the engine is of no use
        then."""
        MultiprocExecutor(self._settings, monitor_workers=False).start_worker_monitor(inline=True)


@dataclass(frozen=True, slots=True)
class _Running:
    """A trajectory that is under way."""

    request_id: str = field(default_factory=lambda: uuid4().hex)
    aborted: asyncio.Event = field(default_factory=asyncio.Event)


class VLLMEngine:
    """The RolloutEngine role on one vLLM engine."""

    def __init__(self, config: RolloutConfig, spec: EngineSpec, part: EngineShardSpec | None = None) -> None:
        self._config = config
        use_network(part)
        with explained(f"model={spec.model}"):
            self._llm = start_llm(engine_args(config, spec, part))
        self._tokenizer = self._llm.get_tokenizer()
        if self._tokenizer.eos_token_id is None:
            raise UserError(f"model={spec.model}: its tokenizer has no end-of-sequence token.")
        self._max_prompt_tokens, self._add_special_tokens = spec.max_prompt_tokens, spec.add_special_tokens
        self._max_model_len = spec.max_model_len
        # vLLM opens the path of an adapter that it does not have, which never comes to be: see r1ray.weights.adapter.
        self._adapter = LoRARequest(adapter.NAME, adapter.ID, "not-a-file") if spec.adapter else None
        self._version: int | None = None
        self._num_commits = 0
        self._update = WeightUpdate(self._llm, takes_adapters=spec.adapter is not None)
        self._clock = EngineClock()
        self._running: dict[str, _Running] = {}
        self._prompts: dict[str, list[int]] = {}
        self._kv_count, self._kv_counted_at = 0, 0.0
        self._is_awake = True
        self._serving = asyncio.Event()
        """Cleared from :meth:`pause` to :meth:`resume`: a request belongs to the version that it starts under."""

    async def ready(self) -> int:
        """Number of vLLM workers (tensor- and pipeline-parallel ranks), once the engine answers."""
        await self._llm.check_health()
        await allocate_for_pipeline(self._llm)
        return int(self._llm.vllm_config.parallel_config.world_size)

    # ------------------------------------------------------------------ generation

    async def generate(self, request: TrajectoryRequest) -> Generated:
        """Sample one trajectory, or one turn, or go on with one that was aborted. Raises PromptTooLong and
        EngineLost."""
        prompt_ids = self._prompt_ids(request.prompt) if request.given is None else self._given_ids(request)
        if request.turn_id in self._running:  # whoever asked before is lost, and waits no more
            await self.abort([request.turn_id])
        own = self._running[request.turn_id] = _Running()
        try:
            with self._clock.running(is_eval=request.is_eval):
                await _first(self._serving, own.aborted)
                if own.aborted.is_set():
                    return Generated(self._ended(request, prompt_ids, None, seconds=0.0), self._kv_tokens())
                started = time.monotonic()
                output = await self._sampled(request, prompt_ids, own.request_id)
                trajectory = self._ended(request, prompt_ids, output, seconds=time.monotonic() - started)
        finally:
            if self._running.get(request.turn_id) is own:
                del self._running[request.turn_id]
        return Generated(trajectory, self._kv_tokens())

    async def abort(self, ids: Sequence[str]) -> None:
        """See :class:`r1ray.interfaces.RolloutEngine`. vLLM then ends a request with what it has of it."""
        aborted = [self._running[each] for each in ids if each in self._running]
        for each in aborted:
            each.aborted.set()
        await self._llm.abort([each.request_id for each in aborted])

    async def times(self) -> EngineTimes:
        """Return how this engine has spent its time."""
        return self._clock.times()

    async def until_dead(self) -> None:
        """Raise EngineLost once vLLM has died, or one of its processes is stopped. (If this actor dies, so does the
        call.)"""
        processes, before = processes_below(), set[int]()
        while not self._llm.errored:
            now = stopped(processes)
            if both := before & now:
                raise EngineLost(f"a process of vLLM is stopped: {', '.join(map(str, sorted(both)))}")
            before = now
            await asyncio.sleep(POLL_S)
        raise EngineLost(f"vLLM has died: {self._llm.dead_error}")

    async def ping(self) -> None:
        """Answer, once every worker of vLLM has: between two steps of the engine."""
        await self._llm.collective_rpc("check_health")

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        """Return a prompt's tokens. The trajectories of a group come one after the other, so that the last prompts are
        kept."""
        ids = self._prompts.get(prompt.text)
        if ids is None:
            ids = self._tokenizer(prompt.text, add_special_tokens=self._add_special_tokens)["input_ids"]
            if len(ids) > self._max_prompt_tokens:
                raise PromptTooLong(f"prompt {prompt.id} has {len(ids)} tokens")
            while len(self._prompts) >= KEPT_PROMPTS:
                del self._prompts[next(iter(self._prompts))]
            self._prompts[prompt.text] = ids
        return ids

    def _given_ids(self, request: TrajectoryRequest) -> list[int]:
        assert request.given is not None
        if len(request.given) >= self._max_model_len:
            raise PromptTooLong(f"trajectory {request.id} has {len(request.given)} tokens")
        return list(request.given.tolist())

    async def _sampled(
        self, request: TrajectoryRequest, prompt_ids: list[int], request_id: str
    ) -> RequestOutput | None:
        """Return what vLLM samples; None if nothing is left to sample."""
        asked, begun = request.sampling, _begun_ids(request)
        if len(begun) >= asked.max_tokens:
            return None
        sampling = SamplingParams(
            temperature=asked.temperature,
            top_p=asked.top_p,
            max_tokens=asked.max_tokens - len(begun),
            seed=request.seed % 2**63 if self._config.seeded else None,
            logprobs=0 if asked.with_logprobs else None,  # the sampled token's own
            flat_logprobs=asked.with_logprobs,
            stop=list(asked.stop),
            stop_token_ids=list(asked.stop_token_ids),
            include_stop_str_in_output=bool(asked.stop),
            detokenize=bool(asked.stop),  # once at the end is cheaper than after every token
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        # The salt keeps prefixes that an older policy computed out of the cache of this one.
        salt = f"policy-{self._version}-{self._num_commits}"
        prompt = {"prompt_token_ids": [*prompt_ids, *begun], "cache_salt": salt}
        return await self._final(prompt, sampling, request_id)

    async def _final(self, prompt: dict[str, Any], sampling: SamplingParams, request_id: str) -> RequestOutput:
        """Return the one output of a request whose output kind is FINAL_ONLY."""
        try:
            stream = self._llm.generate(prompt, sampling, request_id=request_id, lora_request=self._adapter)
            outputs = [output async for output in stream]
        except EngineDeadError as error:
            raise EngineLost(str(error)) from error
        assert len(outputs) == 1 and outputs[0].finished
        return outputs[0]

    def _ended(
        self, request: TrajectoryRequest, prompt_ids: list[int], output: RequestOutput | None, *, seconds: float
    ) -> Trajectory:
        """Return what was sampled before and now as one trajectory. Without output it is aborted, or truncated if it
        had been at its limit."""
        before = request.begun.policy_segments[0] if request.begun is not None else None
        sampled = output.outputs[0] if output is not None else None
        reason = sampled.finish_reason if sampled is not None else "abort"
        if sampled is None and len(_begun_ids(request)) >= request.sampling.max_tokens:
            reason = "length"
        if reason not in STATUS:
            raise RuntimeError(f"vLLM ended trajectory {request.id} with {reason}")
        token_ids = [*_begun_ids(request), *(sampled.token_ids if sampled is not None else ())]
        logprobs = [*(before.logprobs if before is not None else ())]
        spans = [*(before.versions if before is not None else ())]
        if sampled is not None:
            offset = len(token_ids) - len(sampled.token_ids)
            logprobs += sampled.logprobs.logprobs if request.sampling.with_logprobs else ()
            new = sampled.weight_versions or ()
            spans += [VersionSpan(int(each.version), each.start + offset, each.end + offset) for each in new]
        # An output that stops does so on a stop string, or on a token: the end of the sequence, or of a turn.
        stop = sampled.stop_reason if sampled is not None and isinstance(sampled.stop_reason, str) else ""
        ended = reason == "stop" and not stop
        if stop and sampled is not None:
            text = (before.text if before is not None else "") + sampled.text
        else:
            text = self._decode(token_ids[:-1] if ended else token_ids)
        return one_segment(
            group_id=request.group_id,
            index=request.index,
            prompt_token_ids=np.asarray(prompt_ids, dtype=np.int32),
            token_ids=np.asarray(token_ids, dtype=np.int32),
            logprobs=np.asarray(logprobs, dtype=np.float32),
            versions=tuple(spans),
            text=text,
            status=STATUS[reason],
            stop=stop,
            experts=None if request.is_eval else joined_experts(before, getattr(sampled, "routed_experts", None)),
            seconds=seconds,
        )

    def _kv_tokens(self) -> int:
        """Return the tokens whose keys and values vLLM holds for what is under way; a tenth of a second old at most."""
        now = time.monotonic()
        if now - self._kv_counted_at > KV_COUNT_S:
            states = self._llm.output_processor.request_states.values()
            self._kv_counted_at = now
            self._kv_count = sum(each.prompt_len + each.detokenizer.num_output_tokens() for each in states)
        return self._kv_count

    def _decode(self, token_ids: list[int]) -> str:
        return str(self._tokenizer.decode(token_ids, clean_up_tokenization_spaces=False))

    # ------------------------------------------------------------------ weights

    async def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info))

    async def shutdown_weight_transfer_engine(self) -> None:
        """Leave the transfer group."""
        await self._llm.shutdown_weight_transfer_engine()

    async def pause(self, arriving: int | None = None) -> None:
        """Freeze what is being generated; it goes on where it stopped after :meth:`resume`.

        Args:
            arriving: the version that the next weight update brings.
        """
        self._serving.clear()
        self._clock.pause()
        if arriving is not None:
            self._update.arriving = arriving
        await self._llm.pause_generation(mode="keep", clear_cache=False)

    async def start_weight_update(self) -> None:
        await self._update.start()

    async def update_weights(self, update_info: dict[str, Any]) -> None:
        await self._update.update(update_info)

    async def finish_weight_update(self) -> None:
        await self._update.finish()

    async def load_snapshot(self, place: SnapshotPlace) -> bool:
        """Take the weights of a version from the snapshot. They are compared with their fingerprints while the engine
        samples; it pauses for the load alone. Returns False where the version is not here, or not on every node of this
        engine; then nothing has changed."""
        if self._config.nodes_per_actor > 1:
            return False
        try:
            if read_header(place.path).version != place.version:
                return False
        except WeightSyncError:
            return False
        await asyncio.to_thread(check, place)
        await self.pause(place.version)
        await self._update.start()
        no_tensors: dict[str, Any] = {"names": [], "dtype_names": [], "shapes": []}
        await self._update.update(no_tensors | {"snapshot": place.path, "version": place.version})
        await self._update.finish()
        return True

    async def settle(self) -> int | None:
        """See :meth:`WeightUpdate.settle`."""
        return await self._update.settle()

    async def commit(self, version: int) -> None:
        """Label tokens sampled from here on with ``version``."""
        await self._llm.update_weight_version(str(version))
        self._version = version
        self._num_commits += 1

    async def sleep(self, level: int) -> None:
        """Give the device up until :meth:`wake`: the cache of keys and values, and the weights, which level 1 keeps in
        host memory and level 2 does not. What is under way stands still, and is computed again in the end."""
        await self.pause()
        self._is_awake = False
        if level == 2:
            self._update.forget()
        await self._llm.sleep(level, mode="keep")
        logger.info("asleep, at level %d", level)

    async def wake(self, part: str) -> None:
        """Have a part on the device again: ``weights``, then ``kv_cache``, with which it serves. Raises WeightSyncError
        where weights that were given up have not come before that."""
        if part == "kv_cache":
            self._update.check_closed()  # vLLM goes on by itself with what is under way
        await self._llm.wake_up([part])
        logger.info("awake: %s", part)
        if part == "kv_cache":
            self._is_awake = True
            await self.resume()

    async def resume(self) -> None:
        """Go on with what was paused. Raises WeightSyncError while a weight update is open, or broken."""
        if not self._is_awake:
            raise WeightSyncError("an engine that sleeps cannot serve")
        self._update.check_closed()
        await self._llm.resume_generation()
        self._clock.resume()
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
        output = await self._final(prompt, sampling, uuid4().hex)
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


def _begun_ids(request: TrajectoryRequest) -> list[int]:
    """Return the tokens that an aborted trajectory has already."""
    return request.begun.policy_segments[0].token_ids.tolist() if request.begun is not None else []


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of the events is set."""
    if not any(event.is_set() for event in events):
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _first_line(error: Exception) -> str:
    """One line of what may be a page: pydantic's errors have the sentence in their third line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Value error")), lines[0] if lines else type(error).__name__)
