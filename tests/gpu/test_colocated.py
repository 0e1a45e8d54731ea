"""One GPU that engine and learner use in turn has in its memory, phase by phase, what ``r1ray plan`` says.

Two steps of a model of Qwen2.5-0.5B's shape with random weights, made here. Five minutes; what it prints belongs into
README.md here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from r1ray import main as cli
from r1ray.cluster.joining import local_gpus
from r1ray.cluster.probe import found_gpus
from r1ray.planning.shapes import SHIPPED
from tests.gpu.phases import Phase, peaks, phases_of, sampled, samples_of
from tests.real.running import balanced, metrics, own, r1ray

RUN = (
    *("cluster=one_gpu", "steps=2", "algo.prompts_per_step=8", "algo.group_size=8", "algo.minibatches_per_step=2"),
    *("algo.max_completion_tokens=496", "data.max_prompt_tokens=16", "data.template=none"),
    *("learner.max_tokens_per_microbatch=4096", "weights.probe_every=1", "eval.every=0", "checkpoint.every=0"),
    '+reward.parts.even={weight: 1.0, function: "tests.real.rewards:even"}',
)
PHASES = {"generation": ("generation",), "learn": ("forward and backward", "update"), "publish": ("publish",)}
LOG = """\
2026-11-30 12:00:00,000 rollout-0 INFO asleep, at level 2
2026-11-30 12:00:04,500 rollout-0 INFO awake: weights
2026-11-30 12:00:05,000 rollout-0 INFO something else
2026-11-30 12:00:06,000 rollout-0 INFO awake: kv_cache
2026-11-30 12:00:10,000 rollout-0 INFO asleep, at level 2
"""
TABLE = """\
2026/11/30 12:00:00.100, 500
2026/11/30 12:00:02.000, 9000
2026/11/30 12:00:05.000, 3000
2026/11/30 12:00:05.900, 20000
2026/11/30 12:00:08.000, 20500
"""


def make_model(folder: Path, **smaller: int) -> Path:
    """Save a model of Qwen2.5-0.5B's sizes, and a tokenizer with a word for each row of its embedding. (Its type is
    Qwen3: see :func:`r1ray.examples.pretrain.make_model`.)"""
    import torch
    from tokenizers import models
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from r1ray.examples.running_total.tokenizer import make_tokenizer

    sizes = json.loads((SHIPPED / "Qwen--Qwen2.5-0.5B.json").read_text()) | {"head_dim": 64} | smaller
    tokenizer = make_tokenizer()
    words = tokenizer.get_vocab()
    words |= {f"word{index}": index for index in range(len(words), sizes["vocab_size"])}
    tokenizer.backend_tokenizer.model = models.WordLevel(words, unk_token="<pad>")
    config = Qwen3Config(**sizes | {"model_type": "qwen3"}, eos_token_id=tokenizer.eos_token_id)
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen3ForCausalLM(config)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def planned(capsys: pytest.CaptureFixture[str], *overrides: str) -> dict[str, dict[str, float]]:
    """Return what ``r1ray plan`` says: the bytes of each phase on the device, and the seconds of a step."""
    capsys.readouterr()  # what libraries printed before
    assert cli.main(["plan", *RUN, *overrides, "--json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    moments = {name: sum(items.values()) for name, items in plan["actors"][0]["moments"].items()}
    return {"bytes": {phase: max(map(moments.__getitem__, names)) for phase, names in PHASES.items()}} | {
        "seconds": plan["time"]
    }


def test_the_phases_are_those_between_the_turns_of_an_engines_log() -> None:
    found = phases_of(LOG)
    assert [(phase.name, phase.end - phase.begin) for phase in found] == [
        ("learn", 4.5),
        ("publish", 1.5),
        ("generation", 4.0),
    ]
    mib = 2.0**20
    assert peaks(found, samples_of(TABLE)) == {"learn": 8500 * mib, "publish": 2500 * mib, "generation": 20000 * mib}
    assert peaks([Phase("learn", 0, 1)], samples_of(TABLE)) == {"learn": 0.0}


def test_the_run_is_planned_to_fit_small_gpus(capsys: pytest.CaptureFixture[str]) -> None:
    for gpu, memory in (("a10g", 22.0), ("rtx4090", 23.5)):
        found = planned(capsys, "model=qwen2.5_0.5b", "data.train=t", f"plan.gpu={gpu}")
        assert all(0 < size < memory * 2**30 for size in found["bytes"].values())
        assert found["seconds"]["hand_over"] > 0


@pytest.mark.real
@pytest.mark.gpu
@pytest.mark.skipif(local_gpus() < 1, reason=f"needs a CUDA device, found {local_gpus()}")
def test_two_steps_take_the_memory_and_the_time_that_the_plan_says(
    tmp_path: Path, running_total: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    model = make_model(tmp_path / "model")
    files = own(model, running_total / "train.parquet", None, tmp_path / "runs")
    memory = f"plan.memory_gib={found_gpus().gpus[0].memory_mib / 1024}"
    expected = planned(capsys, *files, memory)
    with sampled(tmp_path / "used.csv"):
        r1ray("run", *files, *RUN, "name=turns", cwd=tmp_path, timeout_s=540)
    run_dir = tmp_path / "runs" / "turns"
    rows = metrics(run_dir)
    phases = phases_of("".join(path.read_text() for path in sorted((run_dir / "logs").glob("*.log"))))
    found = peaks(phases, samples_of((tmp_path / "used.csv").read_text()))
    with capsys.disabled():
        for name, size in expected["bytes"].items():
            print(f"\n{name}: {found[name] / 2**30:.2f} GiB, planned {size / 2**30:.2f}", end="")
        for row in rows:
            seconds = ", ".join(f"{name} {row[f'time/{name}_s']:.2f}" for name in ("hand_over", "sleep", "wake"))
            print(f"\nstep {row['step']:.0f}: {seconds} s; planned {expected['seconds']['hand_over']:.2f}", end="")
    assert [row["step"] for row in rows] == [0, 1, 2] and balanced(rows)
    assert all(row["publish/probe_mean_logprob_diff"] < 0.15 and row["publish/probe_kl"] < 0.03 for row in rows)
    assert all(row["grad_norm"] > 0 for row in rows[1:])
    assert found["generation"] == pytest.approx(expected["bytes"]["generation"], rel=0.1)
    assert found["learn"] == pytest.approx(expected["bytes"]["learn"], rel=0.1)
    assert 0 < found["publish"] < 1.1 * expected["bytes"]["publish"], "part of it is over before it is measured"
    assert rows[-1]["time/hand_over_s"] < 2 * expected["seconds"]["hand_over"]
