"""Texts for people from evaluations in training: one answer, and a few questions before and after training.

rollouts/eval_step=000120.parquet --first_answer--> text;  the first and the last such file --before_and_after--> text
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from r1ray.data.template import question_in
from r1ray.runtime.harmless import harmless, in_one_line
from r1ray.telemetry.rollout_rows import RolloutRow
from r1ray.telemetry.rollouts import EVALUATION, read_rollouts, rollout_steps

NUM_QUESTIONS = 3
ASKED, ANSWERED = 200, 300
"""Lengths of a question and of an answer. Unit: characters."""
LOOKED_AT = 64
"""Number of questions of the last evaluation that are looked up in the first."""
COLUMNS = (
    *("group_id", "prompt_id", "prompt_text", "response_text", "outcome", "reward", "rewards"),
    *("status", "num_policy_tokens"),
)


def first_answer(folder: Path, step: int) -> str | None:
    """Return the first answer to the first question of an evaluation, with its reward. Every evaluation uses the same
    question, so that answers can be compared. None if nothing was stored.

    Args:
        folder: ``rollouts`` of a run.
    """
    if step not in rollout_steps(folder, name=EVALUATION):
        return None
    row = next(_first_answers(folder, step), None)
    if row is None:
        return None
    return (
        f"sample of the evaluation after step {step}, question {row['prompt_id']}: {_judged(row)}\n"
        f"  asked:    {_question(row)}\n  answered: {_answer(row)}"
    )


def before_and_after(folder: Path) -> str | None:
    """Return the first questions with their answers in the first and in the last evaluation; None if there are not two
    evaluations, or no common questions."""
    steps = rollout_steps(folder, name=EVALUATION)
    if len(steps) < 2:
        return None
    before = {_key(row): row for row in islice(_first_answers(folder, steps[0]), LOOKED_AT)}
    pairs = [
        (before[_key(row)], row) for row in islice(_first_answers(folder, steps[-1]), LOOKED_AT) if _key(row) in before
    ][:NUM_QUESTIONS]
    if not pairs:
        return None
    lines = [f"answers after step {steps[0]} and after step {steps[-1]}:"]
    for first, last in pairs:
        lines.append(f"  asked:  {_question(last)}")
        lines += [
            f"  {name:<7} {_answer(row)}  ({_judged(row)})" for name, row in (("before:", first), ("after:", last))
        ]
    return "\n".join(lines)


def _first_answers(folder: Path, step: int) -> Iterator[RolloutRow]:
    """Yield the first row of each question."""
    last = None
    for row in read_rollouts(folder, step=step, columns=COLUMNS, name=EVALUATION):
        if row["group_id"] != last:
            last = row["group_id"]
            yield row


def _key(row: RolloutRow) -> tuple[str, str]:
    return row["group_id"], row["prompt_id"]


def _question(row: RolloutRow) -> str:
    return in_one_line(question_in(row["prompt_text"]), length=ASKED)


def _answer(row: RolloutRow) -> str:
    """Return the beginning and the end of an answer, because its result is at the end."""
    text = " ".join((row["response_text"] or "").split())
    if len(text) > 2 * ANSWERED:
        text = f"{text[:ANSWERED]} [...] {text[-ANSWERED:]}"
    return harmless(text) or "(nothing)"


def _judged(row: RolloutRow) -> str:
    reward = row["reward"]
    if row["outcome"] != "scored" or reward is None:
        return "not scored"
    parts = ", ".join(f"{name} {value:.3g}" for name, value in row["rewards"].items())
    cut = f", cut after {row['num_policy_tokens']} tokens" if row["status"] == "truncated" else ""
    return f"reward {reward:.3f}" + (f": {parts}" if parts else "") + cut
