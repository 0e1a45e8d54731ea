"""Tokens a second of ``r1ray eval`` beside vLLM alone on the same prompts, sampling and seeds.

usage: python -m tests.benchmarks.bench_evaluation [ROUNDS]

vLLM alone is its offline ``LLM.generate``: every request at once, no Ray, nothing judged or kept. Both have one thread
and hold as many sequences. Neither's time has the start of its engine in it, nor has vLLM's a first generation that
warms it up; r1ray's has. They take turns.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

QUESTIONS, SAMPLES, MAX_TOKENS, MAX_NUM_SEQS = 64, 8, 128, 128
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "RAY_USAGE_STATS_ENABLED": "0",
}
ALONE = """
import json, sys, time
from vllm import LLM, SamplingParams
model, prompts, samples, max_tokens, seqs = sys.argv[1], json.loads(sys.argv[2]), *map(int, sys.argv[3:])
llm = LLM(model, dtype="float32", max_num_seqs=seqs, max_model_len=512, enforce_eager=True, enable_prefix_caching=True)
def sampling(seed, limit=max_tokens):
    return SamplingParams(temperature=0.6, top_p=0.95, max_tokens=limit, seed=seed, detokenize=False)
llm.generate(prompts[:8], [sampling(0, 4)] * 8, use_tqdm=False)
asked = [(prompt, sampling(i * samples + j)) for i, prompt in enumerate(prompts) for j in range(samples)]
start = time.monotonic()
outputs = llm.generate([prompt for prompt, _ in asked], [how for _, how in asked], use_tqdm=False)
seconds = time.monotonic() - start
print(json.dumps({"tokens_per_s": sum(len(o.outputs[0].token_ids) for o in outputs) / seconds}))
"""


def make_model(folder: Path) -> None:
    """A Qwen3 of 25 million parameters with the quickstart's tokenizer; untrained, it ends by chance or by length."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from r1ray.examples.running_total.tokenizer import make_tokenizer

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=8,
        head_dim=64,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def alone(model: Path, prompts: list[str]) -> float:
    """Tokens a second of vLLM."""
    numbers = map(str, (SAMPLES, MAX_TOKENS, MAX_NUM_SEQS))
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(model), json.dumps(prompts), *numbers]
    ended = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    return float(json.loads(ended.stdout.splitlines()[-1])["tokens_per_s"])


def evaluated(model: Path, data: Path, output_dir: Path, seed: int) -> float:
    """Tokens a second of ``r1ray eval``."""
    command = [
        *(sys.executable, "-W", "ignore", "-m", "r1ray", "eval", f"model={model}", "benchmark=prompts", f"data={data}"),
        *("template=none", f"samples={SAMPLES}", f"max_tokens={MAX_TOKENS}", f"seed={seed}"),
        *("rollout.dtype=float32", f"rollout.max_num_seqs={MAX_NUM_SEQS}", f"output_dir={output_dir}"),
    ]
    subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, check=True)
    (result,) = (output_dir / "evaluations").glob("*/result.json")
    return float(json.loads(result.read_text())["tokens_per_s"])


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_model(folder / "model")
        prompts = [f"User:{i + 10}a+4b+3c-5d+3\nAssistant:" for i in range(QUESTIONS)]
        rows = [{"id": str(i), "prompt": p, "check": {"type": "math", "answer": "7"}} for i, p in enumerate(prompts)]
        (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        ratios = []
        for number in range(rounds):
            raw = alone(folder / "model", prompts)
            ours = evaluated(folder / "model", folder / "prompts.jsonl", folder / f"out{number}", number)
            ratios.append(ours / raw)
            print(f"round {number}: vLLM alone {raw:.0f} tokens/s, r1ray eval {ours:.0f} tokens/s", flush=True)
    print(f"evaluation over vLLM alone: {statistics.median(ratios):.3f} (goal >= 0.95)")


if __name__ == "__main__":
    main()
