"""The math verifier, which compares a response's text with a reference, from any thread and any event loop."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from queue import SimpleQueue

from r1ray.data.answer_forms import DEFAULT_FORMS
from r1ray.errors import DeadlineExceeded, InfrastructureError, UnscorableError
from r1ray.reward.extract import final_answer
from r1ray.reward.math.exact import decide
from r1ray.reward.math.guard import is_safe
from r1ray.reward.math.normalise import clean
from r1ray.reward.math.process import ChildDied, KillableProcess, ProcessorTimeExceeded
from r1ray.reward.math.reference_answer import reference_problem
from r1ray.reward.math.simplified import is_simplified
from r1ray.runtime.deadline import within
from r1ray.types import Score

__all__ = ["MathVerifier", "reference_problem"]

QUEUE_S = 600.0
"""Longest time that a request waits for its turn and its answer. Each request in front of it is bounded by its own
deadline."""
MORE_PROCESSES = "reward.verifier.num_processes"
"""The configuration key that shortens this wait."""
CACHE_SIZE = 4096
LONG_TEXT = 200_000
"""Length above which a text is searched for its answer in a thread, so that the event loop is not blocked."""


class MathVerifier:
    """Scores answers. Simple ones are decided here, in microseconds; the rest by math-verify in killable processes.

    Example: ``MathVerifier().score_sync("29", "<think>25+4</think> <answer>29</answer>").value`` is 1.0.

    Args:
        num_processes: number of checks that run at once.
        deadline_s: processor time of one check by math-verify; above it the label is ``timeout``.
        memory_mib: address space of one check.
        require_simplified: a right value in a form that can be simplified further counts as wrong.
    """

    def __init__(
        self,
        *,
        num_processes: int = 1,
        deadline_s: float = 2.0,
        memory_mib: int = 3072,
        require_simplified: bool = False,
    ) -> None:
        if num_processes < 1 or deadline_s <= 0 or memory_mib < 512:
            raise ValueError(
                f"MathVerifier needs num_processes >= 1, deadline_s > 0 and memory_mib >= 512, not {num_processes}, "
                f"{deadline_s} and {memory_mib}."
            )
        self._require_simplified = require_simplified
        self._all: list[KillableProcess] = []
        self._idle: SimpleQueue[KillableProcess] = SimpleQueue()
        try:
            for _ in range(num_processes):
                process = KillableProcess(deadline_s=deadline_s, memory_mib=memory_mib)
                self._all.append(process)
                self._idle.put(process)
        except InfrastructureError:
            self.close_processes()
            raise
        self._threads = ThreadPoolExecutor(num_processes, thread_name_prefix="math-verify")
        self._cache: OrderedDict[tuple[str, str], Score] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._is_closed = False

    async def score(self, reference: str, text: str, *, forms: frozenset[str] = DEFAULT_FORMS) -> Score:
        """See :meth:`score_sync`. Other tasks of the event loop continue meanwhile."""
        if len(text) > LONG_TEXT:
            answer = await asyncio.to_thread(final_answer, text, forms=forms)
        else:
            answer = final_answer(text, forms=forms)
        early = self._without_process(reference, answer)
        if early is not None:
            return early
        assert answer is not None
        # This deadline only ends the waiting. The thread ends by its own deadline.
        return await within(
            QUEUE_S,
            asyncio.wrap_future(self._submit(reference, answer)),
            waiter="a caller",
            owner="its turn of the math verifier",
            key=MORE_PROCESSES,
        )

    def score_sync(self, reference: str, text: str) -> Score:
        """Compare the final answer of a text with the reference. The value is 1 or 0, and the label one of ``correct``,
        ``wrong``, ``no_answer`` and ``timeout``. Raises UnscorableError for a reference that cannot be read, and
        InfrastructureError if this machine fails.
        """
        answer = final_answer(text)
        early = self._without_process(reference, answer)
        if early is not None:
            return early
        assert answer is not None
        try:
            return self._submit(reference, answer).result(QUEUE_S)
        except FutureTimeout as error:
            raise DeadlineExceeded(
                f"A caller waited {QUEUE_S:g} s for its turn of the math verifier. Raise {MORE_PROCESSES}."
            ) from error

    def close(self) -> None:
        """Kill every process. Idempotent."""
        self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.close_processes()

    def close_processes(self) -> None:
        """Kill every process and keep the rest."""
        for process in self._all:
            process.close()

    def __enter__(self) -> MathVerifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Ids of the processes that are running."""
        return tuple(pid for process in self._all for pid in process.pids)

    # -- steps

    def _without_process(self, reference: str, answer: str | None) -> Score | None:
        """Return the score if strings and numbers decide, or if it is known already; else None."""
        if self._is_closed:
            raise InfrastructureError("The math verifier is closed.")
        problem = reference_problem(reference)
        if problem is not None:
            raise UnscorableError(f"The reference {reference[:80]!r} cannot be used: {problem}.")
        if answer is None:
            return Score(0.0, "no_answer", None, "no answer in an accepted form after the reasoning")
        with self._cache_lock:
            known = self._cache.get((reference, answer))
            if known is not None:
                self._cache.move_to_end((reference, answer))
        if known is not None:
            return known
        # A model's text must never stop training, whatever it does to a rule. A text that raises is no right answer.
        # The type of the error is kept in the score, and the tests know no text that raises one.
        try:
            verdict = decide(reference, answer)
        except Exception as error:
            return self._remember(reference, answer, Score(0.0, "wrong", answer, f"unreadable: {type(error).__name__}"))
        if verdict is None:
            left, right = clean(reference), clean(answer)
            if is_safe(left) and is_safe(right):
                return None
            return self._remember(reference, answer, Score(0.0, "wrong", answer, "compared as text only"))
        return self._remember(reference, answer, self._marked(reference, answer, is_equal=verdict))

    def _marked(self, reference: str, answer: str, *, is_equal: bool) -> Score:
        if is_equal and self._require_simplified:
            try:
                is_simple = is_simplified(reference, answer)
            except Exception as error:  # as for the comparison of values
                return Score(0.0, "wrong", answer, f"unreadable: {type(error).__name__}")
            if not is_simple:
                return Score(0.0, "wrong", answer, "right, but not in simplified form")
        return Score(1.0, "correct", answer) if is_equal else Score(0.0, "wrong", answer)

    def _remember(self, reference: str, answer: str, score: Score) -> Score:
        with self._cache_lock:
            self._cache[reference, answer] = score
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return score

    def _submit(self, reference: str, answer: str) -> Future[Score]:
        try:
            return self._threads.submit(self._by_process, reference, answer)
        except RuntimeError as error:
            raise InfrastructureError("The math verifier is closed.") from error

    def _by_process(self, reference: str, answer: str) -> Score:
        """Return the score by math-verify. Runs in one of as many threads as there are processes."""
        process = self._idle.get_nowait()
        try:
            for _ in range(2):
                try:
                    verdict = process.ask(clean(reference), clean(answer))
                except ProcessorTimeExceeded:
                    return self._remember(reference, answer, Score(0.0, "timeout", answer, "the check took too long"))
                except ChildDied:
                    continue
                if verdict == "bad_reference":  # the validity of a reference never depends on an answer
                    return self._remember(reference, answer, Score(0.0, "wrong", answer, "compared as text only"))
                return self._remember(reference, answer, self._marked(reference, answer, is_equal=verdict == "equal"))
            # Not remembered: the cause may have been a lack of memory on this machine, and not the answer.
            return Score(0.0, "wrong", answer, "the check died on it twice")
        finally:
            self._idle.put(process)
