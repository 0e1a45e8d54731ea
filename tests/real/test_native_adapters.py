"""Adapters inside a vLLM engine: what it holds is what was trained, and it computes what peft computes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from transformers import AutoModelForCausalLM

from r1ray.config import LoraConfig, RolloutConfig
from r1ray.config.specs import AdapterSpec, EngineSpec
from r1ray.learner.lora import add_adapters
from r1ray.rollout.vllm_engine import VLLMEngine
from r1ray.weights.adapter import PREFIX
from tests.real.running import LEFT_OPEN, SMALL, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings(LEFT_OPEN)]
LORA = LoraConfig(rank=4, alpha=32.0)
SEQUENCES = [np.arange(3, 23, dtype=np.int32), np.arange(30, 60, dtype=np.int32)]


class Both:
    """A peft model, and an engine that gets its adapters."""

    def __init__(self, folder: Path, dtype: str, runner: asyncio.Runner) -> None:
        self._runner = runner
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
        add_adapters(self.model, LORA)
        config = RolloutConfig(
            dtype=dtype, max_num_seqs=8, engine_args={"worker_extension_cls": "tests.real.extensions.HeldAdapter"}
        )
        spec = EngineSpec(
            model=str(folder),
            max_prompt_tokens=32,
            max_model_len=64,
            seed=0,
            weight_backend=None,
            num_gpus=0,
            add_special_tokens=False,
            adapter=AdapterSpec(LORA.rank, dtype, None),
        )

        async def start() -> VLLMEngine:
            return VLLMEngine(config, spec)

        self.engine = runner.run(start())

    def train(self, size: float) -> dict[str, torch.Tensor]:
        """B becomes something of that size; returns what the engine got."""
        torch.manual_seed(0)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(0, size)
        sent = {
            PREFIX + name.replace(".default.", "."): p.detach().contiguous()
            for name, p in self.model.named_parameters()
            if ".lora_" in name
        }
        self._runner.run(self.engine.call_workers("put", save(sent), LORA.rank, LORA.alpha))
        return sent

    def held(self, path: str) -> dict[str, torch.Tensor]:
        (data,) = self._runner.run(self.engine.call_workers("held", path))
        return load(data)

    def found(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self._runner.run(self.engine.logprobs(SEQUENCES))

    def expected(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        parts = []
        for sequence in SEQUENCES:
            ids = torch.from_numpy(sequence.astype(np.int64))
            with torch.no_grad():
                table = torch.log_softmax(self.model(ids[None]).logits[0].float(), dim=-1)
            parts.append(table[:-1].gather(1, ids[1:, None])[:, 0].numpy())
        return np.concatenate(parts)


@pytest.fixture(scope="module", params=["float32", pytest.param("bfloat16", marks=pytest.mark.long)])
def both(request: pytest.FixtureRequest, llama_folder: Path) -> Iterator[Both]:
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        made = Both(llama_folder, request.param, runner)
        yield made
        made.engine.shutdown()
        del made
        gc.collect()


@pytest.mark.parametrize("size", [1e-4, 1e-1])
def test_the_engine_holds_what_was_trained_to_the_last_bit(both: Both, size: float) -> None:
    sent = both.train(size)
    held = both.held("model.layers.1.self_attn.o_proj")
    name = PREFIX + "model.layers.1.self_attn.o_proj.lora_{}.weight"
    assert torch.equal(held["A"][: LORA.rank], sent[name.format("A")])
    assert torch.equal(held["B"][:, : LORA.rank], sent[name.format("B")] * (LORA.alpha / LORA.rank))


def test_the_engine_computes_what_peft_computes(both: Both) -> None:
    is_exact = both.model.dtype == torch.float32
    both.train(0.0)
    base = both.expected()
    for size in (1e-2, 1e-1):
        both.train(size)
        expected = both.expected()
        assert np.abs(both.found() - expected).max() < (1e-5 if is_exact else 0.1)
    assert np.abs(expected - base).max() > 0.1, "and that is something else than the model without them"


def test_merged_into_bfloat16_most_of_a_small_change_is_lost() -> None:
    """What native adapters are for."""
    torch.manual_seed(0)
    weight, change = 0.02 * torch.randn(256, 256), 8.0 * (1e-4 * torch.randn(256, 4)) @ (0.05 * torch.randn(4, 256))
    base = weight.bfloat16()
    merged = (base.float() + change).bfloat16().float() - base.float()
    assert (merged - change).norm() > 0.3 * change.norm()


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_after_ten_steps_engine_and_learner_differ_alike_from_the_base_model(
    dtype: str, tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path
) -> None:
    files = own(llama_folder, arithmetic_jsonl, None, tmp_path)
    r1ray(
        *("run", *files, *SMALL, "name=native", "learner.lora.rank=4", "learner.lora.publish=native", "steps=10"),
        *("algo.reference_refresh_updates=0", "algo.kl_coefficient=0.1", "learner.lr=1e-2", "data.template=none"),
        *("data.max_prompt_tokens=64", f"rollout.dtype={dtype}", f"learner.dtype={dtype}"),
        cwd=tmp_path,
    )
    rows = metrics(tmp_path / "native")
    assert rows[-1]["step"] == 10
    assert rows[-1]["kl/ref"] > 1e-3, "the learner differs from the base model"
    largest = max(row["publish/probe_mean_logprob_diff"] for row in rows)
    assert largest < (1e-5 if dtype == "float32" else 0.05), "and the engine does not differ from the learner"
