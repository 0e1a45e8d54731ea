"""The DeepSpeed learner against plain PyTorch: two ranks, four micro-batches, every ZeRO stage."""

from __future__ import annotations

import os
import pickle
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from r1ray.algo.batching import plan_shards
from r1ray.types import Completion, Pick, StepStats, VersionSpan

pytestmark = pytest.mark.real
STAGES = (0, 1, 2, 3)
SCALE = 1000.0
"""With epsilon 1e6, lr 1e9 and beta_1 0, AdamW moves parameters by -1000 times the gradient (to 1e-7)."""
ALGO = {
    "clip_low": 0.2,
    "clip_high": 0.2,
    "kl_coefficient": 0.1,
    "aggregation": "seq_mean",
    "group_size": 8,
    "prompts_per_step": 2,
    "minibatches_per_step": 1,
    "temperature": 0.8,
}
LEARNER = {
    "dtype": "float32",
    "lr": 1e9,
    "epsilon": 1e6,
    "betas": [0.0, 0.9],
    "grad_clip": 1e9,
    "num_ranks": 2,
    "max_tokens_per_microbatch": 32,
}


def completions(seed: int) -> list[Completion]:
    """Sixteen random completions of unlike lengths, with log pi_old near, but not at, the policy's."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(16):
        prompt, length = int(rng.integers(2, 6)), int(rng.integers(1, 14))
        made.append(
            Completion(
                occurrence=f"0/{index // 8}",
                index=index % 8,
                prompt_token_ids=rng.integers(3, 262, prompt).astype(np.int32),
                token_ids=rng.integers(3, 262, length).astype(np.int32),
                logprobs=(-np.log(288) / 0.8 + rng.normal(0, 0.3, length) + 1.4).astype(np.float32),
                text="",
                finish_reason="stop",
                versions=(VersionSpan(0, 0, length),),
            )
        )
    return made


def job_step(seed: int, *, advantage: float) -> tuple[Any, list[tuple[Completion, ...]], list[float]]:
    rows = completions(seed)
    advantages = [advantage * float(a) for a in np.random.default_rng(seed + 1).normal(size=len(rows))]
    picks = [Pick(i, 0, advantages[i], len(c.prompt_token_ids) + len(c.token_ids)) for i, c in enumerate(rows)]
    shards = plan_shards(
        picks,
        [len(c.token_ids) for c in rows],
        num_minibatches=1,
        num_ranks=2,
        max_tokens_per_microbatch=LEARNER["max_tokens_per_microbatch"],  # type: ignore[arg-type]
        learner_version=0,
        seed=0,
    )
    assert len(shards[0].minibatches[0].microbatches) >= 4
    return shards, [(row,) for row in rows], advantages


Terms = list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]


def plain_logprobs(model: Any, reference: Any, rows: list[Completion]) -> Terms:
    """log pi_theta, pi_old and pi_ref of each sequence: one by one, full logits, no batching, float64."""
    terms = []
    for row in rows:
        ids = torch.tensor(np.concatenate([row.prompt_token_ids, row.token_ids]).astype(np.int64))[None]
        start = len(row.prompt_token_ids)

        def logp(network: Any, ids: torch.Tensor = ids, start: int = start) -> torch.Tensor:
            table = torch.log_softmax(network(input_ids=ids).logits[0] / ALGO["temperature"], dim=-1)
            return table[start - 1 : -1].gather(1, ids[0, start:, None])[:, 0]

        with torch.no_grad():
            ref = logp(reference)
        terms.append((logp(model), torch.tensor(row.logprobs, dtype=torch.float64), ref))
    return terms


def plain_loss(terms: Terms, advantages: list[float]) -> torch.Tensor:
    """-J as DESIGN writes it."""
    total = torch.zeros((), dtype=torch.float64)
    for (ours, old, ref), advantage in zip(terms, advantages, strict=True):
        ratio = torch.exp(ours - old)
        surrogate = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        k3 = torch.exp(ref - ours) - (ref - ours) - 1
        total = total - (surrogate - ALGO["kl_coefficient"] * k3).mean() / len(terms)
    return total


def plain_gspo(terms: Terms, advantages: list[float]) -> torch.Tensor:
    """GSPO's ratio of whole sequences, without a KL."""
    total = torch.zeros((), dtype=torch.float64)
    for (ours, old, _), advantage in zip(terms, advantages, strict=True):
        ratio = torch.exp((ours - old).mean())
        total = total - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage) / len(terms)
    return total


def plain_rloo(terms: Terms, advantages: list[float]) -> torch.Tensor:
    """RLOO with KL in the reward: of each group's eight, against the mean of the other seven."""
    kl = [(old - ref).sum() for _, old, ref in terms]
    total = torch.zeros((), dtype=torch.float64)
    for i, ((ours, _, _), advantage) in enumerate(zip(terms, advantages, strict=True)):
        group = kl[i // 8 * 8 : i // 8 * 8 + 8]
        charge = kl[i] - (sum(group) - kl[i]) / 7
        total = total - (advantage - ALGO["kl_coefficient"] * charge) * ours.sum() / len(terms)
    return total


def load(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, qwen_folder: Path) -> tuple[Path, dict[str, Any]]:
    """Both ranks, all stages, in two processes. The first step moves the policy a little away from the reference,
    the second one is compared."""
    out = tmp_path_factory.mktemp("learner")
    steps = [job_step(0, advantage=1e-5), job_step(7, advantage=1.0)]
    job = {
        "model": str(qwen_folder),
        "stages": STAGES,
        "resume": (1, 3),
        "learner": LEARNER,
        "algo": ALGO,
        "steps": [(shards, chunks) for shards, chunks, _ in steps],
        "advantages": [advantages for _, _, advantages in steps],
    }
    run_two_ranks(job, out)
    return out, job


def run_two_ranks(job: dict[str, Any], out: Path) -> None:
    """``tests.real.learner_rank`` in two processes."""
    (out / "job.pickle").write_bytes(pickle.dumps(job))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "tests.real.learner_rank"]
    env = os.environ | {"DS_ACCELERATOR": "cpu", "OMP_NUM_THREADS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
    with ExitStack() as opened:
        ranks = []
        for rank in range(2):
            log = opened.enter_context((out / f"rank{rank}.log").open("w"))
            arguments = [str(rank), "2", str(port), str(out / "job.pickle"), str(out)]
            process = subprocess.Popen([*command, *arguments], env=env, stdout=log, stderr=subprocess.STDOUT)
            ranks.append(process)
            opened.callback(process.wait)
            opened.callback(process.kill)
        deadline = time.monotonic() + 300
        while any(process.poll() is None for process in ranks) and not any(process.poll() for process in ranks):
            assert time.monotonic() < deadline, "the ranks did not end"
            time.sleep(0.2)
        failed = [rank for rank, process in enumerate(ranks) if process.poll()]
        assert not failed, "\n".join((out / f"rank{rank}.log").read_text()[-3000:] for rank in failed)


def compare_gradients(loss: torch.Tensor, model: Any, after: Any) -> torch.Tensor:
    """The gradient of the plain loss, once it is found to be how far the learner moved the parameters."""
    loss.backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    moved = zip(model.parameters(), after.parameters(), strict=True)
    found = torch.cat([(before - later).detach().flatten() / SCALE for before, later in moved])
    assert expected.norm() > 1e-3
    assert ((found - expected).norm() / expected.norm()).item() < 1e-5
    return expected


@pytest.mark.parametrize("stage", STAGES)
def test_the_gradient_of_two_ranks_is_that_of_plain_torch(
    trained: tuple[Path, dict[str, Any]], qwen_folder: Path, stage: int
) -> None:
    out, job = trained
    model, after, reference = load(out / f"zero{stage}-step1"), load(out / f"zero{stage}-step2"), load(qwen_folder)
    (_, chunks), advantages = job["steps"][1], job["advantages"][1]
    loss = plain_loss(plain_logprobs(model, reference, [chunk[0] for chunk in chunks]), advantages)
    expected = compare_gradients(loss, model, after)

    stats: StepStats = pickle.loads((out / f"stats-zero{stage}.pickle").read_bytes())[1]
    assert stats.metrics["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert stats.metrics["grad_norm"] == pytest.approx(expected.norm().item(), rel=1e-4)
    assert stats.metrics["kl/ref"] > 0, "the second step is not at the reference"
    assert 0 < stats.metrics["clip_fraction"] < 1
    assert stats.trained_tokens == sum(len(c[0].prompt_token_ids) + len(c[0].token_ids) for c in chunks)


@pytest.mark.parametrize("stage", [1, 3])
def test_a_step_done_again_from_a_checkpoint_is_the_same_step(trained: tuple[Path, dict[str, Any]], stage: int) -> None:
    out, _ = trained
    _, after, again = pickle.loads((out / f"stats-zero{stage}.pickle").read_bytes())
    assert after.metrics == again.metrics


PRESETS = {
    "gspo": (plain_gspo, {"ratio": "sequence", "kl_coefficient": 0.0}),
    "rloo": (
        plain_rloo,
        {
            "surrogate": "reinforce",
            "kl_estimator": "k1",
            "kl_placement": "reward",
            "aggregation": "seq_sum",
            "advantage_baseline": "leave_one_out",
            "advantage_std": "none",
        },
    ),
}


@pytest.mark.parametrize("name", PRESETS)
def test_other_objectives_have_the_gradient_of_plain_torch_too(tmp_path: Path, qwen_folder: Path, name: str) -> None:
    """Those whose groups or sequences matter beyond a token: the KL of a group lies on both ranks."""
    plain, changes = PRESETS[name]
    shards, chunks, advantages = job_step(7, advantage=1.0)
    algo = ALGO | changes
    job = {"model": str(qwen_folder), "stages": (1,), "resume": (), "learner": LEARNER, "algo": algo}
    run_two_ranks(job | {"steps": [(shards, chunks)]}, tmp_path)
    model = load(qwen_folder)
    loss = plain(plain_logprobs(model, load(qwen_folder), [chunk[0] for chunk in chunks]), advantages)
    compare_gradients(loss, model, load(tmp_path / "zero1-step1"))
    stats: StepStats = pickle.loads((tmp_path / "stats-zero1.pickle").read_bytes())[0]
    assert stats.metrics["loss/total"] == pytest.approx(loss.item(), rel=1e-5)
    assert ("kl/ref" in stats.metrics) == (name == "rloo")
