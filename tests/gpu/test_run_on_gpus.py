"""The same runs with CUDA and NCCL, on machines that have the devices; see README.md here for what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from r1ray.cluster.joining import local_gpus
from tests.real.mixtures import mixture_folder
from tests.real.running import SMALL, balanced, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.gpu]

BFLOAT16 = ("rollout.dtype=bfloat16", "learner.dtype=bfloat16")


def needs_gpus(count: int) -> pytest.MarkDecorator:
    found = local_gpus()
    return pytest.mark.skipif(found < count, reason=f"needs {count} CUDA devices, found {found}")


@needs_gpus(2)
def test_weights_reach_the_engine_over_nccl_and_are_verified(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", running_total / "heldout.parquet", tmp_path / "runs")
    settings = [*SMALL, *BFLOAT16, "weights.backend=nccl", "data.template=none", "data.max_prompt_tokens=16"]
    r1ray("run", *files, *settings, "name=nccl", cwd=tmp_path, timeout_s=600)
    rows = metrics(tmp_path / "runs" / "nccl")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert balanced(rows)
    assert all(row["publish/probe_mean_logprob_diff"] < 0.15 and row["publish/probe_kl"] < 0.03 for row in rows)
    assert all(row["mismatch/max_logprob_diff"] < 0.5 and row["grad_norm"] > 0 for row in rows[1:])


@needs_gpus(2)
def test_adapters_reach_the_engine_over_nccl_by_themselves(
    tmp_path: Path, llama_folder: Path, arithmetic_jsonl: Path
) -> None:
    files = own(llama_folder, arithmetic_jsonl, None, tmp_path / "runs")
    settings = [*SMALL, *BFLOAT16, "weights.backend=nccl", "data.template=none", "data.max_prompt_tokens=64"]
    adapters = ["learner.lora.rank=4", "algo.reference_refresh_updates=0", "algo.kl_coefficient=0.1", "learner.lr=1e-2"]
    r1ray("run", *files, *settings, *adapters, "name=adapters", cwd=tmp_path, timeout_s=600)
    rows = metrics(tmp_path / "runs" / "adapters")
    assert rows[-1]["kl/ref"] > 1e-3, "the learner differs from the base model"
    assert all(row["publish/probe_mean_logprob_diff"] < 0.15 for row in rows), "and the engine not from the learner"


@needs_gpus(4)
@pytest.mark.parametrize("zero_stage", [2, 3])
def test_sharded_learners_publish_to_a_tensor_parallel_engine(
    tmp_path: Path, qwen_folder: Path, running_total: Path, zero_stage: int
) -> None:
    files = own(qwen_folder, running_total / "train.parquet", None, tmp_path / "runs")
    settings = [*SMALL, *BFLOAT16, "weights.backend=nccl", "data.template=none", "data.max_prompt_tokens=16"]
    placed = ["learner.num_ranks=2", f"learner.zero_stage={zero_stage}", "rollout.gpus_per_actor=2"]
    r1ray("run", *files, *settings, *placed, "name=sharded", cwd=tmp_path, timeout_s=600)
    rows = metrics(tmp_path / "runs" / "sharded")
    assert balanced(rows)
    assert all(row["publish/probe_mean_logprob_diff"] < 0.15 and row["publish/probe_kl"] < 0.03 for row in rows)


@needs_gpus(1)
def test_fine_tuning_on_a_gpu_lowers_the_loss(tmp_path: Path, qwen_folder: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "24a+4b+3", "response": "24a+4=28b+3=31"}\n' * 32)
    files = [f"model={qwen_folder}", f"supervised.train={rows}", f"output_dir={tmp_path / 'runs'}", "name=sft"]
    settings = ["data.template=none", "supervised.sequences_per_step=8", "supervised.max_tokens=64"]
    settings += ["learner.max_tokens_per_microbatch=256", "learner.lr=1e-3"]
    r1ray("run", "recipe=sft", *files, *settings, cwd=tmp_path, timeout_s=600)
    losses = [row["loss/total"] for row in metrics(tmp_path / "runs" / "sft") if "loss/total" in row]
    assert losses[-1] < losses[0]


@needs_gpus(2)
def test_the_learner_s_routers_take_the_experts_that_the_engine_chose(
    tmp_path: Path, qwen_folder: Path, running_total: Path
) -> None:
    files = own(mixture_folder("qwen3_moe", qwen_folder, tmp_path), running_total / "train.parquet", None, tmp_path)
    settings = [*SMALL, *BFLOAT16, "weights.backend=nccl", "data.template=none", "data.max_prompt_tokens=16"]
    r1ray("run", *files, *settings, "learner.router.replay=true", "name=replay", cwd=tmp_path, timeout_s=600)
    rows = metrics(tmp_path / "replay")
    assert balanced(rows)
    assert all(row["mismatch/max_logprob_diff"] < 0.5 and row["grad_norm"] > 0 for row in rows[1:])
