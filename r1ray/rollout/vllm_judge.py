"""A judge on a vLLM engine: its replies are held to a JSON schema while they are generated.

    ask(prompt, schema) --chat template--> tokens --guided sampling--> text --> object of the schema

A plain class, as :class:`r1ray.rollout.vllm_engine.VLLMEngine` is; its weights never change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from uuid import uuid4

from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.v1.engine.exceptions import EngineDeadError

from r1ray.config import RolloutConfig
from r1ray.config.specs import EngineShardSpec, EngineSpec, JudgeSpec
from r1ray.conversation.harmless import Harmless
from r1ray.data.replies import Said, ask_until_valid
from r1ray.errors import EngineLost, InfrastructureError
from r1ray.rollout.vllm_engine import (
    VLLMShard,
    allocate_for_pipeline,
    engine_args,
    explained,
    start_llm,
    use_network,
)

GUIDED = {"structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}}
"""Between the parts of an object a model could write blanks without end. vLLM reads the switch here alone: that of a
request changes nothing."""


def _as_engine(config: RolloutConfig, spec: JudgeSpec) -> tuple[RolloutConfig, EngineSpec]:
    engine = EngineSpec(
        model=spec.model,
        max_prompt_tokens=spec.max_model_len - spec.max_tokens,
        max_model_len=spec.max_model_len,
        seed=spec.seed,
        weight_backend=None,
        num_gpus=spec.num_gpus,
        add_special_tokens=True,
    )
    return replace(config, engine_args=GUIDED | config.engine_args), engine


class VLLMJudgeShard(VLLMShard):
    """A judge's workers on one of its other nodes."""

    def __init__(self, config: RolloutConfig, spec: JudgeSpec, part: EngineShardSpec) -> None:
        super().__init__(*_as_engine(config, spec), part, key="judge.model")


class VLLMJudge:
    """The Judge role on one vLLM engine."""

    def __init__(self, config: RolloutConfig, spec: JudgeSpec, part: EngineShardSpec | None = None) -> None:
        use_network(part)
        with explained(f"judge.model={spec.model}"):
            self._llm = start_llm(engine_args(*_as_engine(config, spec), part))
        self._tokenizer = self._llm.get_tokenizer()
        self._harmless = Harmless(self._tokenizer)
        self._config, self._spec = config, spec
        self._allocated: asyncio.Task[None] | None = None

    async def ready(self) -> int:
        """Number of vLLM workers (tensor- and pipeline-parallel ranks), once the engine answers."""
        await self._llm.check_health()
        await self._allocate()
        return int(self._llm.vllm_config.parallel_config.world_size)

    async def _allocate(self) -> None:
        """Once, by whoever comes first: nobody asks a judge that Ray has started again whether it is ready."""
        if self._allocated is None:
            self._allocated = asyncio.create_task(allocate_for_pipeline(self._llm))
        await self._allocated

    async def ask(self, prompt: str, schema: Mapping[str, object]) -> Mapping[str, object]:
        """See :class:`r1ray.reward.judged.Judge`. Raises InfrastructureError, and EngineLost where the engine died."""
        await self._allocate()
        prompt_ids = self._prompt_ids(prompt)
        limit = self._spec.max_model_len - self._spec.max_tokens
        if len(prompt_ids) > limit:
            raise InfrastructureError(
                f"judge.model={self._spec.model}: a question has {len(prompt_ids)} tokens, and {limit} fit "
                f"(judge.max_model_len={self._spec.max_model_len} - judge.max_tokens={self._spec.max_tokens})"
            )
        attempt = partial(self._try, prompt_ids, dict(schema))
        return await ask_until_valid(attempt, schema, judge=f"judge.model={self._spec.model}")

    def _prompt_ids(self, prompt: str) -> list[int]:
        """The prompt as one message of the user. A judged text that spells a special token (the end of a turn) is not
        to become one."""
        prompt = self._harmless(prompt)
        has_template = bool(self._tokenizer.chat_template)
        if has_template:
            messages = [{"role": "user", "content": prompt}]
            prompt = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return list(self._tokenizer(prompt, add_special_tokens=not has_template)["input_ids"])

    async def _try(self, prompt_ids: list[int], schema: dict[str, object], temperature: float, number: int) -> Said:
        sampling = SamplingParams(
            temperature=temperature,
            seed=(self._spec.seed + number) % 2**63 if self._config.seeded else None,
            max_tokens=self._spec.max_tokens,
            structured_outputs=StructuredOutputsParams(json=schema),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        prompt = {"prompt_token_ids": prompt_ids}
        try:
            outputs = [output async for output in self._llm.generate(prompt, sampling, request_id=uuid4().hex)]
        except EngineDeadError as error:
            raise EngineLost(str(error)) from error
        assert len(outputs) == 1 and outputs[0].finished
        reply = outputs[0].outputs[0]
        if reply.finish_reason not in ("stop", "length"):
            raise InfrastructureError(f"vLLM ended a reply of the judge with {reply.finish_reason}")
        return Said(reply.text, is_whole=reply.finish_reason == "stop")

    def shutdown(self) -> None:
        self._llm.shutdown()
