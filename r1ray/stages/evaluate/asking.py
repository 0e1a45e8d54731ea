"""Questions put to a model that engines hold, one line of a file for each that is answered: what was interrupted asks
only the rest."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from r1ray.cluster.launch_evaluation import RunningEvaluation
from r1ray.config import Deadlines, RolloutConfig
from r1ray.errors import InfrastructureError, UserError
from r1ray.evaluation.records import Answered, from_json, to_json
from r1ray.evaluation.sampling import answer_questions
from r1ray.types import Prompt, Sampling

logger = logging.getLogger(__name__)

SAY_EVERY_S = 15.0


def read_answers(path: Path) -> dict[int, Answered]:
    """What is answered already, by number. Raises UserError where something else is in the file."""
    try:
        return {number: from_json(row) for number, row in read_lines(path)}
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: holds something else than answers ({error}); remove it, and ask again.") from error


def check_answers(answered: Mapping[int, Answered], prompts: Mapping[int, Prompt], path: Path, *, samples: int) -> None:
    """Raise UserError where answers are not those to the prompts."""
    for number, question in answered.items():
        if number not in prompts or question.id != prompts[number].id or len(question.samples) != samples:
            raise UserError(f"{path}: answer {number} is of {question.id}, and not of this question; remove the file.")


async def ask(
    running: RunningEvaluation,
    prompts: Mapping[int, Prompt],
    path: Path,
    *,
    name: str,
    samples: int,
    sampling: Sampling,
    seed: int,
    rollout: RolloutConfig,
    deadlines: Deadlines,
    world_s: float = 0.0,
    groups: Callable[[int], dict[str, str]] = lambda number: {},
) -> tuple[dict[int, Answered], float]:
    """Ask what ``path`` has no answer to; returns every answer, and the seconds that asking took. ``world_s``: as of
    :func:`~r1ray.evaluation.questions.ask_each`.

    Raises:
        InfrastructureError: samples that could not be scored; the other questions are kept.
    """
    mend(path)
    answered = read_answers(path)
    check_answers(answered, prompts, path, samples=samples)
    missing = {number: prompt for number, prompt in prompts.items() if number not in answered}
    resumed = f", {len(answered)} of them answered before" if answered else ""
    logger.info(f"{name}: {len(prompts)} questions x {samples} samples{resumed}")
    if not missing:
        return answered, 0.0
    failed: list[str] = []
    start = time.monotonic()
    watch = _Watch(len(prompts), len(missing))
    with path.open("a", encoding="utf-8") as file:

        def keep(number: int, question: Answered) -> None:
            broken = [sample.detail for sample in question.samples if sample.fault == "machine"]
            if broken:
                failed.append(f"{question.id}: {broken[0]}")
            else:
                answered[number] = question
                append_line(file, number, to_json(question))
            watch.note(question)

        rank = running.reward_model

        async def score(prompt: str, texts: Sequence[str]) -> Sequence[float]:
            assert rank is not None
            return await rank.score([(prompt, text) for text in texts])

        await answer_questions(
            running.groups,
            missing,
            name=name,
            samples=samples,
            sampling=sampling,
            seed=seed,
            slots=rollout.asked_at_a_time,
            deadline_s=deadlines.generate_s,
            world_s=world_s,
            groups=groups,
            with_texts=True,
            rank=score if rank is not None else None,
            keep=keep,
        )
    if failed:
        raise InfrastructureError(
            f"{name}: {len(failed)} of {len(prompts)} questions have samples that could not be scored ({failed[0]}); "
            "the others are kept, and the same command asks these again."
        )
    return answered, time.monotonic() - start


def read_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Number and content of every whole line. Raises UserError for a line that is none."""
    if not path.exists():
        return []
    rows = []
    with path.open("rb") as lines:
        for index, line in enumerate(lines, start=1):
            if not line.endswith(b"\n"):  # cut off by a crash, or still being written
                break
            try:
                row = json.loads(line)
                rows.append((int(row.pop("number")), row))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise UserError(f"{path}: line {index} is broken; remove it, and it is asked again.") from error
    return rows


def mend(path: Path) -> None:
    """Remove a last line that a crash cut off. For who alone writes the file."""
    if path.exists():
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(whole.rfind(b"\n") + 1)


def append_line(file: TextIO, number: int, row: Mapping[str, Any]) -> None:
    file.write(json.dumps({"number": number, **row}, ensure_ascii=False) + "\n")
    file.flush()


class _Watch:
    """A line now and then."""

    def __init__(self, total: int, num_missing: int) -> None:
        self._total, self._before = total, total - num_missing
        self._done = self._tokens = self._right = self._judged = 0
        self._start = self._last = time.monotonic()

    def note(self, question: Answered) -> None:
        self._done += 1
        self._tokens += sum(sample.num_tokens for sample in question.samples)
        self._right += sum(sample.is_right for sample in question.samples)
        self._judged += sum(sample.value is not None for sample in question.samples)
        now, done = time.monotonic(), self._before + self._done
        if now - self._last < SAY_EVERY_S or done == self._total:
            return
        self._last, seconds = now, now - self._start
        left = seconds / self._done * (self._total - done)
        logger.info(
            f"  {done}/{self._total} questions, {self._right / max(1, self._judged):.3f} right so far, "
            f"{self._tokens / seconds:.0f} tokens/s, {left // 60:.0f}:{left % 60:02.0f} left"
        )
