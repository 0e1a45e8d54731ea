"""Accuracy reward: 1 for a final answer that is right by the prompt's own check (paper section 2.2.2)."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from r1ray.algo.consensus import Equivalent
from r1ray.checks import (
    Check,
    Choice,
    CodeTests,
    Countdown,
    ExternalCommand,
    Instructions,
    Judged,
    MathAnswer,
    Pairwise,
    Reading,
    ReasoningTask,
)
from r1ray.config import SandboxConfig, VerifierConfig
from r1ray.data.answer_forms import answer_forms
from r1ray.errors import InfrastructureError
from r1ray.reward.choice import choice_score
from r1ray.reward.code import CodeGrader
from r1ray.reward.command import command_score
from r1ray.reward.countdown import countdown_score
from r1ray.reward.equivalence import equivalence_of
from r1ray.reward.format import judged_text
from r1ray.reward.instructions import instructions_score
from r1ray.reward.judged import Judge, judged_score
from r1ray.reward.math.verifier import MathVerifier
from r1ray.reward.pairwise import pairwise_score
from r1ray.reward.program import extract_program
from r1ray.reward.reading import reading_score
from r1ray.reward.task import TaskGrader
from r1ray.sandbox.job import Limits
from r1ray.sandbox.languages import require
from r1ray.sandbox.packages import find_packages
from r1ray.sandbox.pool import Sandbox
from r1ray.types import Prompt, Response, Score

CACHE_ENTRIES = 4096


class Accuracy:
    """The accuracy reward: 1 if the answer is right, else 0. The verifier decides for math, tests for programs, and a
    module of its own for each other kind of check."""

    def __init__(
        self,
        verifier: VerifierConfig,
        sandbox: SandboxConfig,
        programs: frozenset[str] | None,
        judge: Judge | None = None,
        *,
        forms: frozenset[str] | None = None,
    ) -> None:
        """
        Args:
            programs: languages of the programs to be scored; if there are none, no sandbox is made. None: unknown, and
                the sandbox is made for the first program.
            judge: gives the grades of judged and pairwise checks; None: there are no such checks.
            forms: accepted forms of answers; None: those that each prompt asks for.

        Raises:
            SandboxUnavailable: this machine offers no working isolation.
            UserError: the tools of a language, or a package that programs may import, are not installed.
        """
        find_packages(sandbox.packages)  # fails now rather than at the first program, which may come late
        self._config, self._may_open, self._forms = sandbox, programs is None, forms
        self._judge, self._commands = judge, asyncio.Semaphore(os.cpu_count() or 1)
        self._grader: CodeGrader | None = None
        self._tasks: TaskGrader | None = None
        self._making_tasks = asyncio.Lock()
        self.sandbox: Sandbox | None = None
        self._required: set[str] = set()
        self._scores: OrderedDict[bytes, asyncio.Future[Score]] = OrderedDict()
        if programs:
            require(set(programs), key="the data")
            self._required |= programs
            self._open()
        self._verifier = MathVerifier(
            num_processes=verifier.num_processes,
            deadline_s=verifier.deadline_s,
            memory_mib=verifier.memory_mib,
            require_simplified=verifier.require_simplified,
        )

    def _open(self) -> CodeGrader:
        self.sandbox = open_sandbox(self._config)
        self._threads = ThreadPoolExecutor(self.sandbox.num_slots, thread_name_prefix="grader")
        self._grader = grader_of(self._config, self.sandbox)
        return self._grader

    async def __call__(self, prompt: Prompt, response: Response) -> Score:
        """See :class:`r1ray.interfaces.RewardFn`."""
        check, text = prompt.check, judged_text(prompt, response)
        forms = self.forms_of(prompt)
        if isinstance(check, MathAnswer):
            return await self._verifier.score(check.answer, text, forms=forms)
        if isinstance(check, CodeTests):
            return await self._code(check, text)
        if isinstance(check, Choice):
            return choice_score(check, text, forms=forms)
        if isinstance(check, Reading):
            return reading_score(check, text, forms=forms)
        if isinstance(check, Countdown):
            return countdown_score(check, text)
        if isinstance(check, Instructions):
            return await asyncio.to_thread(instructions_score, check, text)
        if isinstance(check, Judged):
            return await judged_score(check, prompt.text, text, self._need_judge())
        if isinstance(check, Pairwise):
            return await pairwise_score(check, text, self._need_judge())
        if isinstance(check, ReasoningTask):
            return await (await self._need_tasks()).score(check, text)
        if isinstance(check, ExternalCommand):
            async with self._commands:  # the deadline starts when the command does
                return await command_score(check, prompt.text, response.text)
        return Score(0.0, "no_reference")

    def forms_of(self, prompt: Prompt) -> frozenset[str]:
        """Return the forms in which an answer to a prompt is accepted."""
        return answer_forms(prompt.text) if self._forms is None else self._forms

    def equivalence(self, check: Check) -> Equivalent | None:
        """See :func:`r1ray.reward.equivalence.equivalence_of`."""
        return equivalence_of(check, self._verifier)

    async def _need_tasks(self) -> TaskGrader:
        """Return the grader of tasks, which is made for the first task."""
        async with self._making_tasks:
            if self._tasks is None:
                self._tasks = await asyncio.to_thread(TaskGrader, self._config)
            return self._tasks

    def _need_judge(self) -> Judge:
        if self._judge is None:
            raise InfrastructureError("the answer needs a judge, and the scorer was given none")
        return self._judge

    async def _code(self, check: CodeTests, text: str) -> Score:
        """Score a program. A program of a group is graded once, however many completions contain it."""
        if self._grader is None and not self._may_open:
            raise InfrastructureError(
                "the program needs a sandbox, and there is none: no prompt of the data asks for code"
            )
        if check.language not in self._required:
            require({check.language}, key="the data")
            self._required.add(check.language)
        grader = self._grader or self._open()
        program = extract_program(text, check.language)
        key = hashlib.sha256(repr((check, program)).encode("utf-8", "surrogatepass")).digest()
        score = self._scores.get(key)
        if score is None or (score.done() and (score.cancelled() or score.exception() is not None)):
            loop = asyncio.get_running_loop()
            score = loop.run_in_executor(self._threads, grader.score, check, text)
            self._scores[key] = score
            if len(self._scores) > CACHE_ENTRIES:
                self._scores.popitem(last=False)
        return await asyncio.shield(score)

    def close(self) -> None:
        """End the verifier's processes and the sandbox."""
        self._verifier.close()
        if self._tasks is not None:
            self._tasks.close()
        if self.sandbox is not None:
            self.sandbox.close()
            self._threads.shutdown(wait=False, cancel_futures=True)


def open_sandbox(config: SandboxConfig) -> Sandbox:
    """Make the sandbox of a configuration. Raises SandboxUnavailable."""
    return Sandbox(num_slots=config.num_slots, mode=config.mode, python=config.python, allowed=config.packages)


def grader_of(config: SandboxConfig, sandbox: Sandbox) -> CodeGrader:
    """Return the code grader of a configuration."""
    limits = Limits(cpu_s=config.cpu_s, memory_mib=config.memory_mib, output_kib=config.output_kib)
    return CodeGrader(sandbox, limits=limits, partial=config.partial, total_cpu_s=config.total_cpu_s)
