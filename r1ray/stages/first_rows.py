"""The first rows of prompts: what the model reads, and what a right and a wrong answer are paid.

    prompts --answers in several forms--> RewardScorer, as in the run --Shown--> lines for people

What is said of forms was tried: nothing is known of them here. Functions of the user's, and models, are not called.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from r1ray.checks import CallCase, Check, Choice, CodeTests, ExternalCommand, MathAnswer, OwnCheck, Reading, StdioCase
from r1ray.config import EvaluationConfig, RunConfig
from r1ray.data.checks import CHECK_TYPES, LETTERS
from r1ray.errors import InfrastructureError, R1RayError
from r1ray.reward.extract import SPECIAL_TOKEN
from r1ray.reward.scorer import ACCURACY, LAST_NUMBER, RewardScorer, resolve_parts
from r1ray.types import Prompt, Response, Scored

logger = logging.getLogger(__name__)

NUM_SHOWN = 2
MAX_TEXT, MAX_REFERENCE, MAX_PROGRAM = 400, 200, 100_000
"""Characters that are shown of a text and of a reference, and that a program with all results of its tests may have."""
OWN_CHECK_S = 5.0
"""Deadline of a check of the user's own."""
FORMS = ("\\boxed{ANSWER}", "<answer>ANSWER</answer>", "#### ANSWER", "Answer: ANSWER", "ANSWER")
"""In which a response may give its answer."""
PATTERNS = (
    "<think>REASONING</think> <answer>ANSWER</answer>",
    f"{SPECIAL_TOKEN}REASONING{SPECIAL_TOKEN}\\boxed{{ANSWER}}",
)
"""That a reward may ask for."""
PROGRAM = "```python\nANSWER\n```"
REASONING = {"en": "First I think about the question.", "zh": "我先想一想这个问题。"}
OTHERS = ("31337", "31338")


@dataclass(frozen=True, slots=True)
class Tried:
    """A response that was scored."""

    response: str
    total: float
    parts: dict[str, float]

    @property
    def is_right(self) -> bool:
        """Return whether the part that looks at the answer says so."""
        return any(self.parts.get(name, 0.0) >= 1.0 for name in (ACCURACY, LAST_NUMBER))

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {value + 0.0:g}" for name, value in self.parts.items())  # no -0
        return f"{one_line(self.response)} is paid {self.total + 0.0:g} ({parts})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One prompt, and all that there is to see of it."""

    prompt: Prompt
    accepted: tuple[str, ...] = ()
    """Forms of the right answer, by themselves, that count as right."""
    right: Tried | None = None
    """None: no right answer can be told from the check."""
    wrong: Tried | None = None
    problem: str = ""
    """Why nothing was scored."""

    @property
    def is_odd(self) -> bool:
        """Return whether a right answer is not paid more than a wrong one."""
        return self.right is not None and self.wrong is not None and self.right.total <= self.wrong.total

    def lines(self) -> list[str]:
        """Return what people are shown."""
        lines = [f"prompt {self.prompt.id}: {one_line(self.prompt.text)}"]
        lines.append(f"  reference: {reference_of(self.prompt.check)}")
        if self.problem:
            return [*lines, f"  not scored here: {one_line(self.problem)}"]
        if self.right is None:
            return [*lines, "  a right answer cannot be told from the reference", f"  another one: {self.wrong}"]
        accepted = " or ".join(map(one_line, self.accepted)) or "none of those that were tried"
        return [*lines, f"  accepted: {accepted}", f"  a right one: {self.right}", f"  a wrong one: {self.wrong}"]


def first_rows(config: RunConfig | EvaluationConfig, prompts: Sequence[Prompt], *, max_tokens: int) -> list[Shown]:
    """Try answers to prompts, with those parts of the reward that are r1ray's own. Raises UserError.

    Args:
        max_tokens: of a response.
    """
    parts = {part.name: part.config for part in resolve_parts(config.reward) if part.is_own}
    if ACCURACY in parts:
        parts[ACCURACY] = replace(parts[ACCURACY], deadline_s=min(OWN_CHECK_S, parts[ACCURACY].deadline_s))
    combine = "gated" if config.reward.combine == "gated" and config.reward.gate in parts else "sum"
    verifier = replace(config.reward.verifier, num_processes=1)
    reward = replace(config.reward, parts=parts, models={}, combine=combine, verifier=verifier)
    return asyncio.run(_try_all(RewardScorer(reward, config.sandbox, None, max_tokens), prompts, max_tokens))


def say_first_rows(
    config: RunConfig | EvaluationConfig, prompts: Mapping[str, Sequence[Prompt]], *, max_tokens: int
) -> None:
    """Log what there is to see of the first prompts of each file. Raises UserError.

    Args:
        prompts: by the keys of their files.
        max_tokens: of a response.
    """
    firsts = {key: list(each[:NUM_SHOWN]) for key, each in prompts.items()}
    found = iter(first_rows(config, [prompt for each in firsts.values() for prompt in each], max_tokens=max_tokens))
    left = not_called(config)
    but = f" (without {', '.join(left)}, which only the run asks)" if left else ""
    for key, each in firsts.items():
        shown = [next(found) for _ in each]
        lines = [line for one in shown for line in one.lines()]
        title = f"{key}: the first prompts as the model reads them, and what answers are paid{but}"
        logger.info("\n  ".join([title, *lines]))
        if not left and any(one.is_odd for one in shown):
            logger.warning(f"{key}: a right answer is not paid more than a wrong one: see above")


def not_called(config: RunConfig | EvaluationConfig) -> list[str]:
    """Return the names of the parts that :func:`first_rows` leaves out."""
    return [part.name for part in resolve_parts(config.reward) if not part.is_own]


def known_answer(check: Check) -> str | None:
    """Return a right answer, or a right program, as far as the check says one."""
    if isinstance(check, MathAnswer):
        return check.answer
    if isinstance(check, Choice):
        return check.letter
    if isinstance(check, Reading):
        return "|".join(check.answers[0])
    if isinstance(check, OwnCheck):
        answer = json.loads(check.data).get("answer")
        return None if answer is None else str(answer)
    return _program_of(check) if isinstance(check, CodeTests) else None


def responses(prompt: Prompt, answer: str) -> list[str]:
    """Return an answer to a prompt in every form, then in every pattern."""
    is_program = isinstance(prompt.check, CodeTests)
    inner = PROGRAM.replace("ANSWER", answer) if is_program else answer
    forms = [PROGRAM] if is_program else list(FORMS)
    patterns = [pattern.replace("\\boxed{ANSWER}", "ANSWER") if is_program else pattern for pattern in PATTERNS]
    reasoning = REASONING.get(prompt.language, REASONING["en"])
    dressed = [pattern.replace("REASONING", reasoning).replace("ANSWER", inner) for pattern in patterns]
    if prompt.text.rstrip().endswith("<think>"):  # the prompt has opened the reasoning
        dressed = [text.removeprefix("<think>") for text in dressed]
    return [*(form.replace("ANSWER", answer) for form in forms), *dressed]


def reference_of(check: Check) -> str:
    """Return a check as people read it.

    >>> reference_of(MathAnswer("5"))
    'math, answer 5'
    """
    fields = {field.name: getattr(check, field.name) for field in dataclasses.fields(check)}
    words = [f"{name} {value}" for name, value in fields.items() if value is not None]
    return one_line(", ".join([CHECK_TYPES[type(check)], *words]), MAX_REFERENCE)


def _program_of(check: CodeTests) -> str | None:
    """Return a program that has the results of all tests written in it."""
    if check.language != "python":
        return None
    results: dict[str, str] = {}
    for case in check.cases:
        if isinstance(case, StdioCase):
            results[case.stdin] = case.stdout
        elif isinstance(case, CallCase) and str(check.entry).isidentifier():
            results[json.dumps(json.loads(case.arguments))] = case.expected
        else:
            return None
    is_run = isinstance(check.cases[0], StdioCase)
    run = f"import sys\nprint({results!r}[sys.stdin.read()], end='')"
    called = f"import json\ndef {check.entry}(*given):\n    return json.loads({results!r}[json.dumps(list(given))])"
    program = run if is_run else called
    return program if len(program) <= MAX_PROGRAM else None


def _other_than(check: Check, answer: str | None) -> str:
    if isinstance(check, Choice):
        return next(letter for letter in LETTERS if letter != answer)
    other = next(text for text in OTHERS if text != answer)
    return f"print({other})" if isinstance(check, CodeTests) else other


async def _try_all(scorer: RewardScorer, prompts: Sequence[Prompt], max_tokens: int) -> list[Shown]:
    try:
        return [await _show(scorer, prompt, max_tokens) for prompt in prompts]
    finally:
        threading.Thread(target=scorer.close, name="close the scorer").start()  # its verifier may still be starting


async def _show(scorer: RewardScorer, prompt: Prompt, max_tokens: int) -> Shown:
    async def scored(response: str) -> Tried:
        whole = Response(response, finished=True, num_tokens=1 + len(response) // 4, max_tokens=max_tokens)
        outcome, _ = await scorer.outcome(prompt, whole)
        if not isinstance(outcome, Scored):
            raise InfrastructureError(outcome.reason)
        if outcome.failures:
            raise InfrastructureError(str(outcome.failures[0]))
        return Tried(response, outcome.total, outcome.parts)

    if isinstance(prompt.check, ExternalCommand):  # a harness may take minutes
        return Shown(prompt=prompt, problem="its command judges responses of the model alone")
    answer = known_answer(prompt.check)
    others = responses(prompt, _other_than(prompt.check, answer))
    try:
        if answer is None:
            return Shown(prompt=prompt, wrong=await scored(others[-len(PATTERNS)]))
        tried = [await scored(response) for response in responses(prompt, answer)]
        right = max(tried, key=lambda each: (each.is_right, each.total))
        accepted = tuple(each.response for each in tried[: -len(PATTERNS)] if each.is_right)
        return Shown(prompt=prompt, accepted=accepted, right=right, wrong=await scored(others[tried.index(right)]))
    except R1RayError as error:
        return Shown(prompt=prompt, problem=str(error))


def one_line(text: str, limit: int = MAX_TEXT) -> str:
    """Return a text on one line, with its middle left out where it is long."""
    return _short(text.replace("\n", "\\n"), limit)


def _short(text: str, limit: int) -> str:
    """Return a text with its middle left out where it is longer.

    >>> _short("abcdefgh", 4)
    'ab ... gh'
    """
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"
