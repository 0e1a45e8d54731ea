"""A run of on-policy distillation from two teachers of other sizes, its replay, and a teacher of other tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.real.running import SMALL, environment, metrics, own, r1ray

pytestmark = [pytest.mark.real, pytest.mark.long]
STEPS = 8


def make_teacher(student: Path, folder: Path, *, seed: int, heads: int) -> Path:
    """A model of another size with the student's tokenizer, that finds few tokens likely."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig.from_pretrained(student)
    config.update({"hidden_size": 32 * heads, "num_attention_heads": heads, "num_key_value_heads": heads})
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10.0 if parameter.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(student).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts of two domains."""
    path = tmp_path_factory.mktemp("rows") / "train.jsonl"
    made: list[dict[str, Any]] = [
        {"prompt": f"What is {n}+1?", "check": {"type": "math", "answer": str(n + 1)}, "domain": domain}
        for n in range(16)
        for domain in ("sums", "others")
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path, rows: Path) -> Path:
    """The folder of a run that was made in two parts: the second goes on from a checkpoint."""
    work = tmp_path_factory.mktemp("distilled")
    large = make_teacher(llama_folder, work / "large", seed=1, heads=4)
    small = make_teacher(llama_folder, work / "small", seed=2, heads=1)
    for steps in (STEPS // 2, STEPS):
        r1ray(
            *("run", "recipe=on_policy_distill", *own(llama_folder, rows, None, work)),
            *(each for each in SMALL if not each.startswith(("eval.", "steps=", "algo.group_size", "algo.prompts"))),
            *(f"algo.teacher.model={small}", f"algo.teacher.domains={{sums: {large}}}", "algo.prompts_per_step=32"),
            *("name=distilled", "data.template=none", "data.max_prompt_tokens=64", f"steps={steps}"),
            *("learner.lr=1e-2", "algo.clip_low=10", "algo.clip_high=10", "checkpoint.every=2"),
            cwd=work,
        )
    return work / "distilled"


def test_the_student_comes_nearer_to_each_of_its_teachers_also_after_a_resume(distilled: Path) -> None:
    lines = [row for row in metrics(distilled) if "teacher/kl" in row]
    assert [row["step"] for row in lines] == list(range(1, STEPS + 1))
    first, last = lines[0], lines[-1]
    before, after = lines[STEPS // 2 - 1], lines[STEPS // 2]
    assert after["teacher/kl"] < 0.5 * (before["teacher/kl"] + first["teacher/kl"]), "it goes on where it was"
    assert first["teacher/kl"] > 0.5
    for name in ("teacher/kl", "teacher/kl/sums"):
        assert last[name] < 0.7 * first[name]
    assert "kl/ref" not in first and "reward/mean" in first, "rewards are logged all the same"


def test_a_step_is_computed_again_with_its_teachers(distilled: Path) -> None:
    printed = r1ray("replay", str(distilled), "step=3", cwd=distilled.parent)
    assert "teacher/kl" in printed


def test_a_teacher_of_other_tokens_is_refused_before_anything_starts(
    distilled: Path, llama_folder: Path, qwen_folder: Path, rows: Path
) -> None:
    asked = ["recipe=on_policy_distill", f"algo.teacher.model={qwen_folder}", "data.template=none", "name=refused"]
    small = ["data.max_prompt_tokens=64", "algo.max_completion_tokens=24"]
    refused = subprocess.run(
        [sys.executable, "-m", "r1ray", "run", *own(llama_folder, rows, None, distilled.parent), *asked, *small],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 2 and "its tokenizer is not that of model=" in refused.stdout + refused.stderr
    assert not (distilled.parent / "refused").exists()
