"""``r1ray score``: the rewards by themselves, for a file of responses.

    {"id", "check", "response", "prompt"?, "language"?}  -->  {"id", "outcome", "score", "parts", "extracted",
                                                               "seconds", "detail"}

A response is a text, or the messages of several turns (:mod:`r1ray.evaluation.recorded`); files of a rollout log are
read too. Rows stream: a window of them is scored at a time, and outcomes are written in the order of the rows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TextIO

import pyarrow as pa
import pyarrow.parquet as pq

from r1ray.config import RewardConfig, SandboxConfig
from r1ray.data.checks import MalformedRow, parse_check, read_row
from r1ray.data.own_columns import carried
from r1ray.data.prompt_language import prompt_language
from r1ray.data.template import question_in
from r1ray.errors import OwnFunctionFailed, UserError
from r1ray.evaluation.recorded import as_given, id_of, response_of
from r1ray.evaluation.score_process import IsolatedScorer
from r1ray.reward.check_problems import reference_problem
from r1ray.reward.failure_book import FailureBook, body, failures_of, headline
from r1ray.reward.scorer import RewardScorer
from r1ray.runtime.user_paths import file_of
from r1ray.turns import InEnvironment
from r1ray.types import Prompt, Response, Scored, ScoringFailed, Unscorable

logger = logging.getLogger(__name__)

WINDOW = 256
"""Rows under way at a time."""
MAX_REPORTED = 20
NOT_CARRIED = ("response", "segments", "prompt_tokens")
"""Columns that reward functions do not get with the prompt."""
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """A row that can be scored."""

    id: Any
    prompt: Prompt
    response: Response
    world: InEnvironment | None = None


def read_rows(path: str) -> Iterator[tuple[int, Row | str]]:
    """Line or row number from 1, and the row, or what is wrong with it. Raises UserError for a file that is none."""
    file = file_of(path, key="", needs="JSON lines or Parquet with the columns id, check and response")
    if file.suffix == ".parquet":
        try:
            batches = pq.ParquetFile(file).iter_batches(batch_size=WINDOW)
            yield from enumerate(
                (row for batch in batches for row in batch.to_pylist(maps_as_pydicts="lossy")), start=1
            )
        except (pa.ArrowException, OSError, OverflowError, ValueError) as error:
            raise UserError(f"{path}: cannot be read as Parquet: {error}.") from error
        return
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {error}"
                continue
            yield number, row if isinstance(row, dict) else f"needs a JSON object, found {str(row)[:60]!r}"


def question_of(row: Mapping[str, Any]) -> Question:
    """Return what is to be scored of a row. Raises MalformedRow."""
    row = as_given(row)
    response, world = response_of(row)
    check = row.get("check")
    if isinstance(check, str):  # Parquet files often hold it as JSON
        try:
            check = json.loads(check)
        except (ValueError, RecursionError) as error:
            raise MalformedRow(f"check is no JSON object: {error}") from error
    prompt = row.get("prompt")
    text = prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False) if prompt else ""
    return Question(
        row.get("id"),
        Prompt(
            id=str(row.get("id")),
            text=text,
            check=parse_check(check),
            domain=str(row.get("domain") or ""),
            language=str(row.get("language") or prompt_language(_asked(prompt, text))),
            columns=json.loads(carried({name: value for name, value in row.items() if name not in NOT_CARRIED})[0]),
            environment=world.name if world is not None else "",
        ),
        response,
        world,
    )


def _asked(prompt: object, text: str) -> str:
    """Return the question itself: of chat messages, what the user says; of a text, what its template is around."""
    if not isinstance(prompt, list):
        return question_in(text)
    turns = [turn for turn in prompt if isinstance(turn, dict) and turn.get("role") == "user"]
    return "\n".join(str(turn.get("content")) for turn in turns)


async def score_row(scorer: RewardScorer | IsolatedScorer, number: int, row: Row | str, book: FailureBook) -> Row:
    """The outcome of one row; what is wrong with the row is an outcome too, and so is what a reward function did wrong,
    of which ``book`` shows each kind. Raises OwnFunctionFailed where ``on_error=stop`` says so."""
    started = time.monotonic()
    found: Row = {"id": id_of(row) if isinstance(row, dict) else None, "outcome": "malformed", "score": None}
    found |= {"parts": {}, "extracted": None, "seconds": 0.0, "detail": ""}
    try:
        if isinstance(row, str):
            raise MalformedRow(row)
        question = read_row(lambda row, number: question_of(row), row, number)
    except MalformedRow as error:
        return found | {"detail": f"line {number}: {error}"}
    try:
        problem = reference_problem(question.prompt.check)
        if problem is not None:
            return found | {"outcome": "unscorable", "detail": problem}
        outcome, extracted = await scorer.outcome(question.prompt, question.response, question.world)
        for failure in failures_of(outcome):
            if failure.on_error == "stop":
                raise OwnFunctionFailed(f"{headline(failure, question.prompt.id)}.\n{body(failure)}")
            book.note(failure, question.prompt.id)
    except UserError:
        raise
    except Exception as error:  # one row must not end the file
        outcome, extracted = ScoringFailed(f"{type(error).__name__}: {error}"), None
    found |= {"extracted": extracted, "seconds": round(time.monotonic() - started, 6)}
    if isinstance(outcome, Scored):
        words = [word for word in (outcome.label, outcome.detail) if word]
        words += map(str, outcome.failures)
        return found | {
            "outcome": "scored",
            "score": outcome.total,
            "parts": outcome.parts,
            "detail": ": ".join(words),
        }
    return found | {"outcome": _kind(outcome), "detail": outcome.reason}


def _kind(outcome: Unscorable | ScoringFailed) -> str:
    if isinstance(outcome, Unscorable):
        return "unscorable"
    return "reward_error" if outcome.failures else "infrastructure_error"


async def score_rows(
    rows: Iterator[tuple[int, Row | str]],
    reward: RewardConfig,
    sandbox: SandboxConfig,
    write: Callable[[Row], None],
    *,
    is_isolated: bool = True,
) -> None:
    """Score rows, and have each outcome written in their order.

    Args:
        rows: as :func:`read_rows` yields them.
        is_isolated: functions of the user's are called in a process of their own, which they may end.

    Raises UserError, SandboxUnavailable and OwnFunctionFailed.
    """
    book = FailureBook()
    has_own = is_isolated and any(part.function is not None for part in reward.parts.values())
    scorer = IsolatedScorer(reward, sandbox) if has_own else RewardScorer(reward, sandbox, programs=None)
    under_way: deque[asyncio.Task[Row]] = deque()
    try:
        for number, row in rows:
            under_way.append(asyncio.create_task(score_row(scorer, number, row, book)))
            if len(under_way) >= WINDOW:
                write(await under_way.popleft())
        while under_way:
            write(await under_way.popleft())
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        scorer.close()


def score_file(path: str, reward: RewardConfig, sandbox: SandboxConfig, sink: TextIO) -> None:
    """Score every row of a file; one outcome a line goes to ``sink``, a summary to the log.

    Raises:
        UserError: no such file, nothing in it that could be scored, or a language whose tools are not installed.
        SandboxUnavailable: programs are to be run, and there is no isolation that holds.
    """
    outcomes: Counter[str] = Counter()
    lacking: Counter[str] = Counter()
    of_worlds = [name for name, part in reward.parts.items() if part.from_environment]
    malformed: list[str] = []
    total = 0.0
    started = time.monotonic()

    def write(row: Row) -> None:
        nonlocal total
        sink.write(json.dumps(row, default=str) + "\n")
        outcomes[row["outcome"]] += 1
        total += row["score"] or 0.0
        if row["outcome"] == "scored":
            lacking.update(name for name in of_worlds if name not in row["parts"])
        if row["outcome"] == "malformed":
            malformed.append(row["detail"])
            if len(malformed) <= MAX_REPORTED:
                logger.warning(f"{path}: {row['detail']}")

    asyncio.run(score_rows(read_rows(path), reward, sandbox, write))
    sink.flush()
    if not outcomes.total() - outcomes["malformed"]:
        raise UserError(f"{path}: no row that can be scored" + (f"; {malformed[0]}" if malformed else ": it is empty."))
    for name, count in lacking.items():
        logger.warning(
            f"reward.parts.{name}.from_environment=true: {count} of {outcomes['scored']} rows that were scored do not "
            "have it: score runs no environment, and an environment's parts stand in final_rewards and turn_rewards."
        )
    counts = ", ".join(f"{count} {kind}" for kind, count in outcomes.most_common())
    mean = f"mean score {total / outcomes['scored']:.4f}" if outcomes["scored"] else "no score"
    logger.info(f"{counts}; {mean}; {outcomes.total() / (time.monotonic() - started):.0f} rows/s")
