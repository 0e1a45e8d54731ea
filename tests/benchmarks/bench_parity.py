"""The smallest change of one tensor that the layers of a publish's verification see without its exact one.

    python -m tests.benchmarks.bench_parity [--model FOLDER]

An engine has one tensor off by a share of its size, in a random direction. Printed is the smallest share, of powers of
four, at which the fresh tokens of a step are suspicious (r1ray.loop.upkeep.parity), and at which the parity probe
fails. Without --model: an untrained Llama with 24 layers. (What an engine holds is compared exactly at every publish,
so that no share is too small there.)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

SHARES = [4.0**-power for power in range(7, -1, -1)]
WAYS = ("fresh", "probe")
PROMPTS, PROMPT_TOKENS, SAMPLED_TOKENS = 16, 32, 32


def make_model(folder: Path) -> None:
    """An untrained Llama with 24 layers."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 24, "vocab_size": 1024}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": False}
    LlamaForCausalLM(LlamaConfig(**sizes, **heads)).save_pretrained(folder)


def measure(folder: str, dtype: str) -> None:
    """Print the smallest share for each way and tensor."""
    import torch
    from transformers import AutoModelForCausalLM
    from vllm import LLM, SamplingParams

    from r1ray.cluster.publish import disparity
    from r1ray.config import WeightsConfig
    from r1ray.learner.packed import pack_sequences
    from r1ray.learner.policy import PolicyModel
    from r1ray.loop.upkeep.parity import KL, MEAN, is_suspicious

    llm = LLM(
        model=folder,
        dtype=dtype,
        max_model_len=PROMPT_TOKENS + SAMPLED_TOKENS,
        enforce_eager=True,
        skip_tokenizer_init=True,
        worker_extension_cls="tests.real.extensions.Perturbed",
        logprobs_mode="processed_logprobs",
    )
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    layers, vocabulary = model.config.num_hidden_layers, model.config.vocab_size
    policy = PolicyModel(model).eval()
    prompts = np.random.default_rng(0).integers(3, vocabulary, (PROMPTS, PROMPT_TOKENS)).tolist()

    def learner(sequences: list[list[int]], start: int) -> Any:
        rows = [(torch.tensor(ids), torch.arange(len(ids)) >= start) for ids in sequences]
        with torch.no_grad():
            return policy(pack_sequences(rows, device=torch.device("cpu")), 1.0)[0].float().numpy()

    def probe() -> tuple[float, float, float]:
        asked = SamplingParams(max_tokens=1, prompt_logprobs=0, detokenize=False)
        outputs = llm.generate([{"prompt_token_ids": ids} for ids in prompts], asked, use_tqdm=False)
        found = [
            table[token].logprob
            for ids, output in zip(prompts, outputs, strict=True)
            for token, table in zip(ids[1:], output.prompt_logprobs[1:], strict=True)
        ]
        return disparity(np.array(found, dtype=np.float32), learner(prompts, 1))

    def fresh() -> dict[str, float]:
        asked = SamplingParams(max_tokens=SAMPLED_TOKENS, ignore_eos=True, logprobs=0, detokenize=False)
        outputs = llm.generate([{"prompt_token_ids": ids} for ids in prompts], asked, use_tqdm=False)
        sampled = [output.outputs[0] for output in outputs]
        found = [
            table[token].logprob for one in sampled for token, table in zip(one.token_ids, one.logprobs, strict=True)
        ]
        sequences = [[*ids, *one.token_ids] for ids, one in zip(prompts, sampled, strict=True)]
        _, mean, kl = disparity(np.array(found, dtype=np.float32), learner(sequences, PROMPT_TOKENS))
        return {MEAN: mean, KL: kl}

    usual = fresh()
    mean_bound, kl_bound = WeightsConfig().bounds(dtype)
    _, mean, kl = probe()
    print(
        f"{dtype}: right weights: probe mean {mean:.2g}, KL {kl:.2g}; fresh mean {usual[MEAN]:.2g}, KL {usual[KL]:.2g}"
    )
    for name in (f"model.layers.{layers // 2}.mlp.down_proj.weight", "model.layers.0.self_attn.o_proj.weight"):
        seen: dict[str, float] = {}
        for share in SHARES:
            llm.collective_rpc("perturb", args=(name, share))
            _, mean, kl = probe()
            if "probe" not in seen and not (mean <= mean_bound and kl <= kl_bound):
                seen["probe"] = share
            if "fresh" not in seen and is_suspicious(fresh(), [usual], dtype):
                seen["fresh"] = share
            if len(seen) == 2:
                break
        shown = ", ".join(f"{way} {seen[way]:.2g}" if way in seen else f"{way} none up to 1" for way in WAYS)
        print(f"{dtype}: smallest share of {name} that is seen: {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    if options.dtype:
        measure(options.model, options.dtype)
        return
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_LOGGING_LEVEL": "ERROR"}
    with tempfile.TemporaryDirectory() as folder:
        if options.model is None:
            make_model(Path(folder))
        for dtype in ("float32", "bfloat16"):
            command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.bench_parity", "--dtype", dtype]
            subprocess.run([*command, "--model", options.model or folder], check=True, env=os.environ | environment)


if __name__ == "__main__":
    main()
