"""A run that trains adapters, and evaluates on an engine of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.running import SMALL, environment, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path, arithmetic_jsonl: Path) -> Path:
    """The folder of a run that trains adapters, and evaluates on an engine of its own."""
    work = tmp_path_factory.mktemp("adapters")
    files = own(llama_folder, arithmetic_jsonl, arithmetic_jsonl, work)
    r1ray(
        *("run", *files, *SMALL, "name=adapters", "learner.lora.rank=4"),
        *("eval.num_actors=1", "eval.every=1", "rollout.cpus_per_actor=0.5"),
        *(
            "algo.reference_refresh_updates=0",
            "algo.minibatches_per_step=1",
            "data.template=none",
            "data.max_prompt_tokens=64",
            "learner.lr=1e-2",
            "algo.kl_coefficient=0.1",
        ),
        cwd=work,
    )
    return work / "adapters"


def test_an_engine_of_its_own_evaluates_the_first_and_the_last_version_and_those_between_that_it_can(
    adapters: Path,
) -> None:
    """The probe compares it with the learner whenever it gets a version."""
    rows = [row for row in metrics(adapters) if "eval/sums/pass@1" in row]
    versions = [row["policy_version"] for row in rows]
    assert versions[0] == 0 and versions[-1] == 3
    assert versions == sorted(set(versions))
    assert all("reward/mean" not in row for row in rows), "their lines are their own"


def test_adapters_reach_the_engines_as_part_of_the_weights(adapters: Path) -> None:
    """The parity probe of every publish compares the engine, which knows no adapters, with the learner."""
    rows = [row for row in metrics(adapters) if "reward/mean" in row]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[0]["kl/ref"] < 1e-9 < 1e-3 < rows[-1]["kl/ref"], "the reference is the model without its adapters"
    assert max(row["publish/probe_max_logprob_diff"] for row in rows) < 1e-3
    assert max(row["mismatch/max_logprob_diff"] for row in rows) < 1e-3


@pytest.mark.long
def test_the_export_says_the_same_in_transformers_and_in_vllm(adapters: Path) -> None:
    program = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from vllm import LLM, SamplingParams
folder, prompt = sys.argv[1], "User:24a+4b+3c-5\\nAssistant:"
tokenizer = AutoTokenizer.from_pretrained(folder)
ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
length = {"min_new_tokens": 24, "max_new_tokens": 24}
theirs = model.generate(torch.tensor([ids]), do_sample=False, **length)[0, len(ids):].tolist()
llm = LLM(folder, dtype="float32", enforce_eager=True, max_model_len=64, seed=0)
sampling = SamplingParams(temperature=0, min_tokens=24, max_tokens=24)
ours = list(llm.generate([{"prompt_token_ids": ids}], sampling, use_tqdm=False)[0].outputs[0].token_ids)
print("SAME" if ours == theirs and len(ours) == 24 else f"DIFFERENT {ours} {theirs}")
"""
    env = environment(
        VLLM_CPU_KVCACHE_SPACE="1", VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_OMP_THREADS_BIND="nobind",
        VLLM_LOGGING_LEVEL="ERROR", HF_HUB_OFFLINE="1",
    )  # fmt: skip
    command = [sys.executable, "-c", program, str(adapters / "hf" / "3")]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.strip().endswith("SAME"), done.stdout[-2000:] + done.stderr[-2000:]
