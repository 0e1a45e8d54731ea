"""Multi-head latent attention (DeepSeek) on vLLM's CPU engines, whose rotary operator turns its queries wrongly."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest

from tests.real.running import LEFT_OPEN

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.filterwarnings(LEFT_OPEN)]
IDS = [5, 9, 11, 3, 20, 17, 8, 4, 30, 12, 6, 25]


@pytest.fixture
def deepseek_folder(tmp_path: Path, qwen_folder: Path) -> Path:
    """An untrained DeepSeek-V3 without experts, with the one head size that CPU engines have."""
    import torch
    from transformers import AutoTokenizer, DeepseekV3Config, DeepseekV3ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(qwen_folder)
    torch.manual_seed(0)
    config = DeepseekV3Config(
        vocab_size=max(64, len(tokenizer)),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        first_k_dense_replace=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        q_lora_rank=32,
        kv_lora_rank=512,
        qk_rope_head_dim=64,
        qk_nope_head_dim=32,
        v_head_dim=32,
        max_position_embeddings=256,
        eos_token_id=tokenizer.eos_token_id,
    )
    DeepseekV3ForCausalLM(config).save_pretrained(tmp_path / "deepseek")
    tokenizer.save_pretrained(tmp_path / "deepseek")
    return tmp_path / "deepseek"


def test_an_engine_on_cpus_says_what_transformers_says(deepseek_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from vllm import LLM, SamplingParams

    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    model = AutoModelForCausalLM.from_pretrained(deepseek_folder, dtype=torch.float32)
    with torch.no_grad():
        table = torch.log_softmax(model(torch.tensor([IDS])).logits[0], dim=-1)
    expected = table[:-1].gather(1, torch.tensor(IDS[1:])[:, None])[:, 0].numpy()
    llm = LLM(str(deepseek_folder), dtype="float32", max_model_len=64, enforce_eager=True)
    try:
        (output,) = llm.generate([{"prompt_token_ids": IDS}], SamplingParams(max_tokens=1, prompt_logprobs=0))
    finally:
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()
    assert output.prompt_logprobs is not None
    found = [table[token].logprob for token, table in zip(IDS[1:], output.prompt_logprobs[1:], strict=True) if table]
    assert np.abs(np.array(found) - expected).max() < 1e-4
