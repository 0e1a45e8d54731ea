"""`r1ray run recipe=sft` and `recipe=reward_model` on the real parts: they learn, resume, and what they make loads."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from r1ray.library.saved_run import load_run
from tests.real.running import metrics, r1ray

pytestmark = pytest.mark.real
SMALL = (
    *("data.template=none", "learner.dtype=float32", "learner.lr=2e-3"),
    *("supervised.max_tokens=64", "supervised.sequences_per_step=32", "supervised.eval_every=20"),
    *("learner.max_tokens_per_microbatch=256", "learner.warmup_updates=0"),
)
LETTERS = "abcdefgh"


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def question(rng: random.Random) -> str:
    return "".join(rng.choice(LETTERS) for _ in range(rng.randint(3, 12)))


def dialogues(seed: int, number: int) -> list[dict[str, Any]]:
    """The answer is the last letter of the question, three times."""
    rng = random.Random(seed)
    asked = [question(rng) for _ in range(number)]
    return [{"prompt": f"{q}?", "response": q[-1] * 3} for q in asked]


def pairs(seed: int, number: int) -> list[dict[str, Any]]:
    """Preferred is the answer that has an exclamation mark in it."""
    rng = random.Random(seed)
    made = []
    for _ in range(number):
        good, bad = question(rng), question(rng)
        place = rng.randrange(len(good))
        made.append({"prompt": "say?", "chosen": good[:place] + "!" + good[place:], "rejected": bad})
    return made


def test_fine_tuning_learns_on_two_ranks_and_its_model_answers(tmp_path: Path, llama_folder: Path) -> None:
    train, held_out = (
        write(tmp_path / "train.jsonl", dialogues(0, 600)),
        write(tmp_path / "held.jsonl", dialogues(1, 64)),
    )
    arguments = ["run", "recipe=sft", f"model={llama_folder}", f"supervised.train={train}", "name=sft"]
    arguments += [f"supervised.eval={held_out}", f"output_dir={tmp_path}", "learner.num_ranks=2", *SMALL]
    arguments += ["supervised.epochs=6", "checkpoint.every=40", "learner.zero_stage=2"]
    printed = r1ray(*arguments, cwd=tmp_path)
    assert "600 dialogues" in printed
    rows = metrics(tmp_path / "sft")
    assert rows[-1]["step"] == 113 and rows[-1]["epoch"] == 6.0
    evaluated = [row["eval/held/loss"] for row in rows if "eval/held/loss" in row]
    assert evaluated[0] > 4.0 and evaluated[-1] < 0.3
    assert rows[-1]["lr"] == pytest.approx(2e-4), "the recipe's cosine ends at a tenth"
    assert max(row.get("learner/padding_share", 0.0) for row in rows) <= 0.03

    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "sft" / "hf" / "113"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    right = 0
    for row in dialogues(2, 20):
        ids = tokenizer(row["prompt"], return_tensors="pt")["input_ids"]
        out = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)
        right += tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True) == row["response"]
    assert right >= 16
    assert "finished before" in r1ray(*arguments, cwd=tmp_path)


def test_a_reward_model_learns_and_scores_alike_in_transformers(tmp_path: Path, llama_folder: Path) -> None:
    train, held_out = write(tmp_path / "train.jsonl", pairs(0, 400)), write(tmp_path / "held.jsonl", pairs(1, 100))
    arguments = ["run", "recipe=reward_model", f"model={llama_folder}", f"supervised.train={train}", "name=rm"]
    arguments += [f"supervised.eval={held_out}", f"output_dir={tmp_path}", "supervised.epochs=4", *SMALL]
    r1ray(*arguments, cwd=tmp_path)
    rows = metrics(tmp_path / "rm")
    evaluated = [row["eval/held/accuracy"] for row in rows if "eval/held/accuracy" in row]
    assert evaluated[0] < 0.8 and evaluated[-1] > 0.95

    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = max((tmp_path / "rm" / "hf").iterdir())
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    correct, margins = 0, []
    for row in pairs(1, 100):
        asked = tokenizer(row["prompt"])["input_ids"]
        answers = [tokenizer(row[kind])["input_ids"] for kind in ("chosen", "rejected")]
        with torch.no_grad():
            good, bad = (
                model(input_ids=torch.tensor([[*asked, *answer, tokenizer.eos_token_id]])).logits.item()
                for answer in answers
            )
        correct += good > bad
        margins.append(good - bad)
    assert correct / 100 == pytest.approx(evaluated[-1], abs=1e-6)
    assert sum(margins) / 100 == pytest.approx(rows[-1]["eval/held/margin"], abs=1e-3)


@pytest.mark.long
def test_engines_answer_with_the_model_before_and_after_it_is_tuned(tmp_path: Path, llama_folder: Path) -> None:
    train = write(tmp_path / "train.jsonl", dialogues(0, 200))
    asked = [{"prompt": row["prompt"], "check": {"type": "format"}} for row in dialogues(1, 8)]
    held_out = write(tmp_path / "prompts.jsonl", asked)
    arguments = ["run", "recipe=sft", f"model={llama_folder}", f"supervised.train={train}", "name=sft", *SMALL]
    arguments += [f"output_dir={tmp_path}", f"data.eval={held_out}", "supervised.samples=2", "supervised.epochs=1"]
    arguments += ["eval.final_num_prompts=4", "algo.max_completion_tokens=8", "rollout.max_num_seqs=8"]
    arguments += ["rollout.dtype=float32", "reward.parts.even.function=tests.real.rewards:even"]
    arguments += ["reward.parts.even.weight=1.0", "~reward.parts.accuracy", "~reward.parts.format"]
    printed = r1ray(*arguments, cwd=tmp_path)
    run = load_run(tmp_path / "sft")
    (before, after) = (run.evaluations(step=step).to_pylist() for step in (0, 7))
    assert len(before) == len(after) == 8 and all("even" in dict(row["rewards"]) for row in before + after)
    assert [row["prompt_text"] for row in before] == [row["prompt_text"] for row in after]
    assert "pass@1, last minus first evaluation: " in printed
    assert printed.index("pass@1, last minus") < printed.index(f"stage sft: the model is in {tmp_path}/sft/hf/7")
    manifest = json.loads((tmp_path / "sft" / "stages" / "sft" / "manifest.json").read_text())
    assert {"pass@1", "change/pass@1", "train_loss"} <= set(manifest["artifact"]["metrics"])
