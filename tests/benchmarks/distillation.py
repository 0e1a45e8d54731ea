"""On-policy distillation beside fine-tuning and reinforcement learning of the same student, on the quickstart's task.

usage: python -m tests.benchmarks.distillation [FOLDER [key=value ...]]

    SECONDS=120 SEED=0 TEACHER=PATH   environment: of training in each run; of everything; a model that is there

The student is half as large as the quickstart's model, which teaches it after its reinforcement learning, and was
pretrained on the same corpus. Each method has three learning rates and as many seconds of training (steps alone,
without the start). A FOLDER that was used before is gone on with. Prints a row for each run, and the fewest tokens that
each method was trained on until it had 0.9 of the teacher's pass@1.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from r1ray.evaluation.statistics import Estimate, bootstrap
from r1ray.examples.pretrain import make_model, pretrain
from r1ray.examples.prompts import distinct
from r1ray.examples.running_total.corpus import sample_document
from r1ray.examples.running_total.maker import EVAL_SEED, write_prompts
from r1ray.examples.running_total.task import Expression, prompt_of, sample_expression
from r1ray.examples.running_total.tokenizer import make_tokenizer
from r1ray.reward.extract import final_answer
from tests.real.running import end, environment, metrics, r1ray, start

STUDENT_HEADS, STUDENT_STEPS = 2, 2800
NUM_TRAIN, NUM_EVAL, SAMPLES, MAX_TOKENS = 4096, 128, 8, 80
SHARE = 0.9
"""Of the teacher's pass@1."""
RATES = {
    "on_policy_distill": (5e-4, 1e-3, 2e-3),
    "sft": (5e-4, 1e-3, 2e-3),
    "r1_zero": (2.5e-4, 5e-4, 1e-3),
}
EXPORT_EVERY = {"on_policy_distill": 5, "sft": 40, "r1_zero": 5}
OF_METHOD = {
    "on_policy_distill": ("algo.group_size=1", "algo.prompts_per_step=256", "algo.kl_coefficient=0"),
    "sft": (
        *("supervised.epochs=1000", "supervised.sequences_per_step=64", "supervised.max_tokens=128"),
        *("learner.schedule=constant", "learner.lr_floor=0", "steps=1"),
    ),
    "r1_zero": (),
}
LIMIT_S = 1800.0
"""Of one run with its start."""


class Run(NamedTuple):
    """A method with a learning rate."""

    method: str
    lr: float

    @property
    def name(self) -> str:
        return f"{self.method}-{self.lr:g}"


def held_out() -> list[Expression]:
    """The quickstart's held-out questions."""
    return distinct(partial(sample_expression, random.Random(EVAL_SEED), "eval"), NUM_EVAL)


def answers(
    model: Any, tokenizer: Any, expressions: Sequence[Expression], *, samples: int, temperature: float, top_p: float
) -> Iterator[tuple[Expression, str, int]]:
    """Answers to each expression, with their tokens; expressions of one length at a time, so that nothing is padded."""
    by_length: dict[int, list[Expression]] = {}
    for expression in expressions:
        by_length.setdefault(len(expression.operands), []).append(expression)
    for group in by_length.values():
        for begin in range(0, len(group), 256):
            part = group[begin : begin + 256]
            ids = torch.tensor(tokenizer([prompt_of(e) for e in part], add_special_tokens=False)["input_ids"])
            with torch.no_grad():
                found = model.generate(
                    ids,
                    do_sample=True,
                    temperature=temperature,
                    top_p=top_p,
                    top_k=0,
                    num_return_sequences=samples,
                    max_new_tokens=MAX_TOKENS,
                )
            for index, tokens in enumerate(found[:, ids.shape[1] :].tolist()):
                length = tokens.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in tokens else len(tokens)
                text = tokenizer.decode(tokens[:length], skip_special_tokens=True)
                yield part[index // samples], text, length


def pass_at_1(folder: Path, tokenizer: Any) -> Estimate:
    """pass@1 of a model on the held-out questions, with its interval over questions."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model, right = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), {}
    for expression, text, _ in answers(model, tokenizer, held_out(), samples=SAMPLES, temperature=0.6, top_p=0.95):
        right.setdefault(expression.text, []).append(float(final_answer(text) == str(expression.answer)))
    return bootstrap(list(right.values()), seed=0)


def make_student(folder: Path, *, seed: int) -> None:
    """A model of half the size, pretrained on the quickstart's corpus."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, seed=seed, num_heads=STUDENT_HEADS)
    pretrain(model, tokenizer, sample_document, seed=seed, steps=STUDENT_STEPS, tokens_per_step=1024, log=print)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_teacher(folder: Path, *, seed: int) -> Path:
    """The quickstart's model after its reinforcement learning."""
    run = folder / "teacher"
    if not list(run.glob("hf/*/config.json")):
        words = ("experiment=quickstart", f"seed={seed}", f"output_dir={folder}", "name=teacher", "eval.every=0")
        r1ray("run", *words, "stop.window=0", "eval.final_samples=2", cwd=folder, timeout_s=LIMIT_S)
    return max((run / "hf").iterdir(), key=lambda each: int(each.name))


def write_answers(path: Path, teacher: Path, train: Sequence[Expression]) -> dict[str, float]:
    """What the teacher says rightly to the training questions, as rows of fine-tuning; returns what that cost."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    tokenizer, begin, tokens, rows = make_tokenizer(), time.monotonic(), 0, []
    model = AutoModelForCausalLM.from_pretrained(teacher, dtype=torch.float32)
    for expression, text, length in answers(model, tokenizer, train, samples=1, temperature=1.0, top_p=1.0):
        tokens += length
        if final_answer(text) == str(expression.answer):
            rows.append({"id": str(len(rows)), "prompt": prompt_of(expression), "response": text})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"seconds": time.monotonic() - begin, "tokens": float(tokens), "rows": float(len(rows))}


def overrides(run: Run, folder: Path, teacher: Path, *, seed: int) -> list[str]:
    words = [
        *("experiment=quickstart", "prepare.maker=null", f"recipe={run.method}", f"seed={seed}", "data.template=none"),
        *(f"model={folder / 'student'}", f"output_dir={folder}", f"name={run.name}", f"learner.lr={run.lr:g}"),
        *("stop.window=0", "eval.every=0", "steps=100000", "checkpoint.every=100000"),
        f"checkpoint.export_every={EXPORT_EVERY[run.method]}",
    ]
    if run.method == "sft":
        words += [f"supervised.train={folder / 'answers.jsonl'}", "supervised.eval_rows=1"]
    else:
        words += [f"data.train={folder / 'train.parquet'}", "deadlines.start_s=600"]
    if run.method == "on_policy_distill":
        words += [f"algo.teacher.model={teacher}"]
    return [*words, *OF_METHOD[run.method]]


def train(run: Run, words: Sequence[str], folder: Path, *, seconds: float) -> list[dict[str, float]]:
    """Train until the steps have taken so many seconds, and return the lines of the steps."""
    process = start("run", *words, cwd=folder, env=environment(), into=folder / f"{run.name}.txt")
    until, steps = time.monotonic() + LIMIT_S, []
    try:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(1.0)
            steps = _steps(folder / run.name)
            if sum(each["time/step_s"] for each in steps) >= seconds:
                break
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)
    except subprocess.TimeoutExpired:
        pass  # what it exported is there
    finally:
        end(process)
    return _steps(folder / run.name)


def _steps(folder: Path) -> list[dict[str, float]]:
    path = folder / "metrics.jsonl"
    return [row for row in metrics(folder) if "time/step_s" in row] if path.exists() else []


def measure(run: Run, folder: Path, teacher: Path, more: Sequence[str], *, seed: int, seconds: float) -> dict[str, Any]:
    """Make a run, and return where each of its exports stands."""
    steps = train(run, [*overrides(run, folder, teacher, seed=seed), *more], folder, seconds=seconds)
    spent_s = trained = generated = 0.0
    found: list[dict[str, Any]] = []
    tokenizer = make_tokenizer()
    for row in steps:
        spent_s += row["time/step_s"]
        of_rate = row["time/learn_s"] if run.method == "sft" else row["time/step_s"]
        trained += row["throughput/trained_tokens_per_s"] * of_rate
        generated += row.get("throughput/generated_tokens_per_s", 0.0) * row["time/step_s"]
        export = folder / run.name / "hf" / f"{row['step']:.0f}"
        if (export / "config.json").is_file() and spent_s <= 1.05 * seconds:
            score = pass_at_1(export, tokenizer)
            spent = {"step": row["step"], "seconds": spent_s, "trained": trained, "generated": generated}
            found.append({**spent, "pass@1": [score.value, score.low, score.high]})
    return {**run._asdict(), "exports": found}


def reached(one: dict[str, Any], target: float) -> dict[str, Any] | None:
    """Return the first export with so high a pass@1."""
    return next((each for each in one["exports"] if each["pass@1"][0] >= target), None)


def table(found: Sequence[dict[str, Any]], *, teacher: Estimate, student: Estimate) -> str:
    """Return a row for each run, and what the best of each method needed."""
    target = SHARE * teacher.value
    lines = [
        f"teacher {_of([teacher.value, teacher.low, teacher.high])}, student before "
        f"{_of([student.value, student.low, student.high])}; {SHARE:g} of the teacher is {target:.3f}",
        "| method | learning rate | seconds | trained tokens | generated tokens | last pass@1 | tokens until 0.9 |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        if not one["exports"]:
            lines.append(f"| {one['method']} | {one['lr']:g} | failed | | | | |")
            continue
        last, first = one["exports"][-1], reached(one, target)
        until = "not reached" if first is None else f"{first['trained']:,.0f} ({first['seconds']:.0f} s)"
        lines.append(
            f"| {one['method']} | {one['lr']:g} | {last['seconds']:.0f} | {last['trained']:,.0f} | "
            f"{last['generated']:,.0f} | {_of(last['pass@1'])} | {until} |"
        )
    for method in RATES:
        of_method = [one for one in found if one["method"] == method and one["exports"]]
        there = [each["trained"] for one in of_method if (each := reached(one, target))]
        best = max((one["exports"][-1]["pass@1"] for one in of_method), default=None)
        shown = "not run" if best is None else f"best last pass@1 {_of(best)}"
        lines.append(f"{method}: {shown}, fewest tokens until 0.9 {f'{min(there):,.0f}' if there else 'not reached'}")
    return "\n".join(lines)


def _of(values: Sequence[float]) -> str:
    return f"{values[0]:.3f} [{values[1]:.3f}, {values[2]:.3f}]"


def main(arguments: Sequence[str]) -> int:
    """Make what is missing, and print the table."""
    seed, seconds = int(os.environ.get("SEED", "0")), float(os.environ.get("SECONDS", "120"))
    folder = Path(arguments[0] if arguments else tempfile.mkdtemp(prefix="distillation-")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(2)
    tokenizer, rng = make_tokenizer(), random.Random(seed)
    train_set = [sample_expression(rng, "train") for _ in range(NUM_TRAIN)]
    given = os.environ.get("TEACHER")
    teacher = Path(given).resolve() if given else make_teacher(folder, seed=seed)
    if not (folder / "student" / "config.json").exists():
        make_student(folder / "student", seed=seed)
    write_prompts(folder / "train.parquet", train_set)
    if not (folder / "answers.json").exists():
        cost = write_answers(folder / "answers.jsonl", teacher, train_set)
        (folder / "answers.json").write_text(json.dumps(cost))
    cost = json.loads((folder / "answers.json").read_text())
    print(
        f"the teacher's answers: {cost['rows']:.0f} right ones, {cost['tokens']:,.0f} tokens, {cost['seconds']:.0f} s"
    )
    of_teacher, of_student = pass_at_1(teacher, tokenizer), pass_at_1(folder / "student", tokenizer)
    results = folder / "results.jsonl"
    found = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    made = {(one["method"], one["lr"]) for one in found}
    # The middle rate of each method first, so that a run that is cut short compares them too.
    wanted = [Run(method, RATES[method][index]) for index in (1, 0, 2) for method in RATES]
    for run in (each for each in wanted if tuple(each) not in made):
        found.append(measure(run, folder, teacher, arguments[1:], seed=seed, seconds=seconds))
        with results.open("a") as file:
            file.write(json.dumps(found[-1]) + "\n")
        print(json.dumps(found[-1]), flush=True)
    print(table(found, teacher=of_teacher, student=of_student))
    return int(any(not one["exports"] for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
